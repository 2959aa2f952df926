"""One run of a comparison: trained if it is not there, then measured. Runs in its own process."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import GanzooError, describe
from ganzoo.plugins import CORE, installed
from ganzoo.runs import RunFolder, find_run_folder, read_json, write_json, write_text

if TYPE_CHECKING:
    from ganzoo.engine.recorder import Progress
    from ganzoo.recipe import Component, Recipe
    from ganzoo.specs import MetricSpec

TIMED_SAMPLES = 1000
CALIBRATION_SECONDS = 3.0


@dataclass(frozen=True)
class Job:
    """What a worker process is told; plain data, so that it travels to other machines."""

    recipe: str
    """The resolved recipe as TOML."""
    folder: str
    """The run's folder, there or not."""
    metrics: tuple[Mapping[str, Any], ...]
    """Tables of the metrics, their types qualified."""
    evaluate: dict[str, Any]
    """The table [evaluate] by which all runs of the comparison are measured."""
    display: Callable[[], Progress] | None = None
    """Makes what shows the progress in the worker's process; nothing is shown by default."""
    told: frozenset[tuple[str, str]] = frozenset()
    """Plugins and hooks of which it was said in a job before that they failed."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    folder: str
    message: str | None = None
    """Why the run failed, or None."""
    measures: dict[str, Any] = field(default_factory=dict)
    """What `ganzoo.evaluation.measure.measure` gives, with `sampling_seconds`."""
    told: frozenset[tuple[str, str]] = frozenset()
    """What the next job should know to have been said."""


def run_job(job: Job) -> Outcome:
    """Train, or go on with, the run of a job and measure it. An error becomes a message."""
    told: set[tuple[str, str]] = set()
    try:
        told = installed().told
        told.update(job.told)
        folder = train_if_needed(job)
        return Outcome(job.folder, None, measured(job, folder), frozenset(told))
    except GanzooError as error:
        return Outcome(job.folder, error.message, told=frozenset(told))
    except Exception as error:
        with suppress(GanzooError):
            write_text(RunFolder(Path(job.folder)).traceback, traceback.format_exc())
        message = f"measuring it failed: {describe(error)}"
        return Outcome(job.folder, message, told=frozenset(told))


def train_if_needed(job: Job) -> RunFolder:
    """The job's run, trained to its end."""
    from ganzoo import zoo

    progress = job.display() if job.display else None
    path = Path(job.folder)
    if not (path / "recipe.toml").exists():
        recipe = load_text(job.recipe)
        run = zoo.train(recipe, runs=path.parents[1], identity=path.name, progress=progress)
        return run.folder
    folder = find_run_folder(path)
    if read_json(folder.status).get("state") != "done":
        zoo.resume(path, progress=progress)
    return folder


def measured(job: Job, folder: RunFolder) -> dict[str, Any]:
    """The run's measures: those kept in its folder if they were taken in the same way."""
    from ganzoo.engine.environment import versions

    metrics = [metric_of(table) for table in job.metrics]
    asked = {
        "metrics": [metric.table(qualified=True) for metric in metrics],
        "evaluate": job.evaluate,
        "versions": {CORE: version(CORE), **versions(metric.plugin for metric in metrics)},
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    path = folder.measures(key)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_json(path, take_measures(load_text(job.recipe), folder, metrics, job.evaluate))
    kept: dict[str, Any] = read_json(path)
    return kept


def take_measures(
    recipe: Recipe,
    folder: RunFolder,
    metrics: list[Component[MetricSpec]],
    evaluate: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure a run anew, and how long 1,000 samples take."""
    from ganzoo.engine.sampling import Sampler
    from ganzoo.evaluation.measure import measure
    from ganzoo.recipe.settings import Evaluate

    settings = Evaluate.model_validate_json(json.dumps(evaluate))
    measures = measure(recipe, folder, metrics, evaluate=settings)
    sampler = Sampler(recipe, folder)
    sampler.sample(TIMED_SAMPLES)  # the first call is slower
    start = time.perf_counter()
    sampler.sample(TIMED_SAMPLES).cpu()
    measures["sampling_seconds"] = time.perf_counter() - start
    measures["parameters"] = {
        slot: sum(weight.numel() for weight in network.parameters())
        for slot, network in sampler.networks.items()
    }
    return measures


def metric_of(table: Mapping[str, Any]) -> Component[MetricSpec]:
    """The metric that a table with a qualified type describes."""
    from ganzoo import registry
    from ganzoo.recipe import Component

    keys = dict(table)
    name = keys.pop("type")
    entry = registry.installed().find("metric", name)
    spec = entry.spec.model_validate_json(json.dumps(keys))
    return Component(name, spec, entry.plugin)  # type: ignore[arg-type]


def load_text(text: str) -> Recipe:
    """The recipe that a resolved TOML text describes."""
    import tempfile

    from ganzoo.recipe import load_recipe

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        return load_recipe(file)


def iterations_per_second(recipe: str) -> float:
    """How fast a recipe trains here: it runs for a few seconds without a folder."""
    import torch

    from ganzoo.engine.backend import arithmetic, choose_device
    from ganzoo.engine.ranks import ranks_from_environment
    from ganzoo.engine.session import prepare
    from ganzoo.engine.training import run_iteration

    loaded = load_text(recipe)
    device = choose_device(loaded.engine.device)
    with arithmetic(device, deterministic=loaded.engine.deterministic):
        session = prepare(loaded, device, ranks_from_environment())
        done, start, limit = 0, math.inf, math.inf
        while time.perf_counter() < limit or done < 5:
            run_iteration(session)
            session.iteration += 1
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            done += 1
            if session.iteration == 5:  # the first iterations are slower
                done, start = 0, time.perf_counter()
                limit = start + CALIBRATION_SECONDS
        return done / (time.perf_counter() - start)
