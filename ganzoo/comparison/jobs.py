"""One run of a comparison: trained if necessary, then measured. A job has its own process."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.comparison.machine import at_most
from ganzoo.errors import GanzooError, PausedRun, describe
from ganzoo.plugins import CORE, installed
from ganzoo.recipe import load_component, load_recipe
from ganzoo.records import (
    StatisticsRow,
    TimingRow,
    damaged,
    read_json,
    read_rows,
    write_json,
    write_text,
)
from ganzoo.run import check_own
from ganzoo.runs import Environment, RunFolder, find_run_folder, remove_unfinished
from ganzoo.status import read_status

if TYPE_CHECKING:
    from ganzoo.data import DataDescription
    from ganzoo.engine.events import Listener
    from ganzoo.evaluation.document import RunMeasures
    from ganzoo.recipe import Recipe

TIMED_SAMPLES = 1000
CALIBRATION_SECONDS = 3.0


@dataclass(frozen=True)
class Job:
    """What a worker process has to do; plain data, so that it can be sent to other machines."""

    recipe: str
    """The resolved recipe as TOML."""
    folder: str
    """The run's folder, whether it exists or not."""
    metrics: tuple[Mapping[str, Any], ...]
    """Tables of the metrics, their types qualified."""
    extractor: Mapping[str, Any] | None
    """Table of the extractor, its type qualified; None where no metric reads features."""
    evaluate: Mapping[str, Any]
    """The table [evaluate] by which all runs of the comparison are measured."""
    data: str | None
    """Hash of the data as they are now; None where they are not there."""
    overrides: tuple[str, ...] = ()
    """How a run that exists is computed: `engine.device=cpu`."""
    pause: int | None = None
    """The iteration of a snapshot: train no further, and measure it alone. None for the end."""
    title: str = ""
    """What its run is called on a screen: `digits-dcgan, seed 0`."""
    reported: frozenset[tuple[str, str]] = frozenset()
    """Plugins and hooks whose failure was reported in an earlier job."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    folder: str
    message: str | None = None
    """Why the run failed, or None."""
    measures: RunMeasures | None = None
    """None for a run that failed, and for one that keeps no snapshot where it was to pause."""
    note: str | None = None
    """What a reader of the measures has to know."""
    reported: frozenset[tuple[str, str]] = frozenset()
    """`Job.reported`, and what was reported in this job."""


def run_job(job: Job, progress: Listener | None = None) -> Outcome:
    """Train, or resume, the run of a job and measure it. An error becomes a message.

    `progress` is told of the run that is trained.
    """
    reported: set[tuple[str, str]] = set()
    try:
        reported = installed().reported
        reported.update(job.reported)
        folder = train_if_needed(job, progress)
        if job.pause is not None and job.pause not in folder.snapshots():
            return Outcome(job.folder, reported=frozenset(reported))
        # What measures it takes no more than its share of the machine either.
        with at_most(threads_of(folder)):
            return replace(outcome_of(job, folder), reported=frozenset(reported))
    except GanzooError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Outcome(job.folder, error.message + hint, reported=frozenset(reported))
    except Exception as error:
        with suppress(GanzooError):
            write_text(RunFolder(Path(job.folder)).traceback, traceback.format_exc())
        message = f"measuring it failed: {describe(error)}"
        return Outcome(job.folder, message, reported=frozenset(reported))


def kept_outcome(job: Job) -> Outcome | None:
    """The outcome of a job whose run is trained and measured; None where anything is to be done,
    be it to say what is damaged."""
    try:
        folder = find_run_folder(job.folder)
        if not is_trained(job, folder) or not way_measured(job, folder).exists():
            return None
        check_own(folder, load_text(job.recipe))
        return outcome_of(job, folder)
    except GanzooError:
        return None


def train_if_needed(job: Job, progress: Listener | None) -> RunFolder:
    """The job's run, trained to its end or to where it pauses.

    Raises `RunError` where its folder has another recipe.
    """
    from ganzoo import zoo

    shown = progress or False
    path = Path(job.folder)
    if not (path / "recipe.toml").exists():
        recipe = load_text(job.recipe)
        with suppress(PausedRun):
            zoo.train(
                recipe,
                runs=path.parents[1],
                identity=path.name,
                progress=shown,
                pause=job.pause,
            )
        return find_run_folder(path)
    folder = find_run_folder(path)
    check_own(folder, load_text(job.recipe))
    if not is_trained(job, folder):
        with suppress(PausedRun):
            zoo.resume(path, *job.overrides, progress=shown, pause=job.pause)
    return folder


def threads_of(folder: RunFolder) -> int:
    """The threads that a run was trained with; 1 where that was not kept."""
    environment: Environment = read_json(folder.environment, Environment)
    found = environment["choices"].get("threads", "") if environment else ""
    return int(found) if found.isdecimal() and found != "0" else 1


def is_trained(job: Job, folder: RunFolder) -> bool:
    """Whether the run of a job is at its end, or where it pauses."""
    paused = job.pause is not None and job.pause in folder.snapshots()
    return paused or read_status(folder).get("state") == "done"


def outcome_of(job: Job, folder: RunFolder) -> Outcome:
    """The outcome of a job whose run is trained."""
    from ganzoo.engine.environment import read_description

    note = None
    if job.data is not None and job.data != read_description(folder).digest:
        note = "measured on other data than it was trained on, which have changed since"
    return Outcome(job.folder, None, measured(job, folder), note)


def way_measured(job: Job, folder: RunFolder) -> Path:
    """The file of measures that are taken as the job says.

    How many snapshots the recipe of the comparison wants is no part of the way: a run is measured
    at those that its own recipe keeps.
    """
    from ganzoo.engine.environment import read_description, versions

    metrics = [load_component("metric", table) for table in job.metrics]
    extractor = None if job.extractor is None else load_component("extractor", job.extractor)
    components = [*metrics, *([extractor] if extractor else [])]
    way: dict[str, Any] = {
        "components": [each.table(qualified=True) for each in components],
        "data": job.data or read_description(folder).digest,
        "evaluate": {key: value for key, value in job.evaluate.items() if key != "snapshots"},
        "versions": {CORE: version(CORE), **versions(each.plugin for each in components)},
    }
    if job.pause is not None:
        way["iteration"] = job.pause
    key = hashlib.sha256(json.dumps(way, sort_keys=True).encode()).hexdigest()[:12]
    return folder.measures(key)


def measured(job: Job, folder: RunFolder) -> RunMeasures:
    """The run's measures: those in its folder if they were taken in the same way, else new ones.

    Raises `RunError` where files of the run are damaged that a comparison reads or measures.
    """
    from ganzoo.engine.checkpoints import kept_snapshots
    from ganzoo.evaluation.document import RunMeasures

    path = way_measured(job, folder)
    read_json(folder.environment, Environment)
    read_rows(folder.statistics, StatisticsRow)
    read_rows(folder.timing, TimingRow)
    if job.pause is None:
        kept_snapshots(folder)
    if not path.exists():
        remove_unfinished(folder)
        path.parent.mkdir(exist_ok=True)
        write_json(path, take_measures(job, folder))
    measures: RunMeasures = read_json(path, RunMeasures)
    last = job.pause or read_status(folder).get("iteration")
    if measures["iteration"] != last:
        raise damaged(path, f"it is of iteration {measures['iteration']}, the run of {last}")
    return measures


def take_measures(job: Job, folder: RunFolder) -> RunMeasures:
    """Measure a run, and the time that 1,000 samples take."""
    from ganzoo.evaluation.measure import measure
    from ganzoo.recipe.settings import Evaluate
    from ganzoo.sampling import Sampler

    recipe = load_text(job.recipe)
    measures = measure(
        recipe,
        folder,
        [load_component("metric", table) for table in job.metrics],
        evaluate=Evaluate.model_validate_json(json.dumps(job.evaluate)),
        extractor=None if job.extractor is None else load_component("extractor", job.extractor),
        at=job.pause,
    )
    sampler = Sampler(recipe, folder)
    sampler.sample(TIMED_SAMPLES)  # the first call is slower
    start = time.perf_counter()
    sampler.sample(TIMED_SAMPLES).cpu()
    return {
        **measures,
        "sampling_seconds": time.perf_counter() - start,
        "parameters": {
            name: sum(weight.numel() for weight in network.parameters())
            for name, network in sampler.networks.items()
        },
    }


def load_text(text: str) -> Recipe:
    """The recipe that a resolved TOML text describes."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        return load_recipe(file)


def known_data(recipe: Recipe) -> DataDescription:
    """What is known of a recipe's data as they are now."""
    from ganzoo.data import describe_data
    from ganzoo.engine.parts import base_context

    return describe_data(recipe, recipe.data.spec.build(base_context(recipe)))


def iterations_per_second(recipe: str) -> float:
    """How fast a recipe, as TOML, trains on this machine: it runs for a few seconds, alone."""
    import torch

    from ganzoo.engine.backend import arithmetic, choose_device
    from ganzoo.engine.process_group import group_from_environment
    from ganzoo.engine.session import prepare
    from ganzoo.engine.training import run_iteration

    loaded = load_text(recipe)
    device = choose_device(loaded.engine.device)
    with arithmetic(device, deterministic=loaded.engine.deterministic):
        session = prepare(loaded, device, group_from_environment())
        done, start, limit = 0, math.inf, math.inf
        while time.perf_counter() < limit or done < 5:
            run_iteration(session)
            session.counters.iteration += 1
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            done += 1
            if session.iteration == 5:  # the first iterations are slower
                done, start = 0, time.perf_counter()
                limit = start + CALIBRATION_SECONDS
        return done / (time.perf_counter() - start)
