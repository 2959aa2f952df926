"""Tiny recipes of the 8x8 digits, and metrics that are quick and easy to predict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import ClassVar, Literal

import pytest
from here import in_this_process
from pydantic import Field
from tiny import AUTOENCODER, CodingLoss, tiny
from torch import Tensor, nn

from ganzoo import load_recipe, plugins, train
from ganzoo.api import BuildContext, LossSpec, MetricSpec, Phase, Step
from ganzoo.comparison import Comparison, compare
from ganzoo.comparison.jobs import Job, Outcome
from ganzoo.comparison.launchers import make_launcher
from ganzoo.plugins import Plugin
from ganzoo.recipe import Recipe
from ganzoo.registry import Registry

KEYS = {
    "summary": '"Two small perceptrons"',
    "train": "{ iterations = 20, batch_size = 16 }",
    "log": "{ every = 10, samples = 4 }",
    "extractor": '{ type = "random" }',
    "evaluate": "{ samples = 50, snapshots = 2 }",
}
GAN = tiny(name='"gan"', **KEYS)
VAE = tiny(name='"vae"', **KEYS, **AUTOENCODER, priors='[{ type = "mixture", components = 2 }]')
BLIND = (
    GAN.replace('"gan"', '"blind"')
    .replace('discriminator = { type = "mlp", hidden = [16] }\n', "")
    .replace("non-saturating", "test-blind")
    .replace("alternating", "joint")
)
DIVERGING = GAN.replace('"gan"', '"diverging"').replace("non-saturating", "test-diverging")

MakeJob = Callable[..., Job]

KILLED = "its process died: killed by SIGKILL, perhaps out of memory"

RECIPES = {"gan": GAN, "vae": VAE, "blind": BLIND, "diverging": DIVERGING}


class BlindLoss(LossSpec):
    """Minimises the size of samples and reads no real ones."""

    type: ClassVar[str] = "test-blind"
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator"}), reads_data=False)
    }

    def build(self, context: BuildContext) -> BlindLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"size": step.fake.square().mean()}


class DivergingLoss(LossSpec):
    """NaN from the first iteration on."""

    type: ClassVar[str] = "test-diverging"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains=frozenset({"discriminator"})),
        "generator": Phase(trains=frozenset({"generator"})),
    }

    def build(self, context: BuildContext) -> DivergingLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"lost": step.fake_logits.mean() * float("nan")}


class Means:
    """The metric of the three declarations below."""

    def __init__(self, name: str, factor: float = 1.0) -> None:
        self.name, self.factor = name, factor
        self.means: dict[bool, float] = {}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        self.means[real] = float(samples.double().mean())

    def compute(self) -> Mapping[str, float]:
        distance = self.factor * abs(self.means[False] - self.means[True])
        return {self.name: distance, "generated": self.means[False]}


class MeanMetric(MetricSpec):
    """How far the mean grey is from the real one.

    Only the first line is the meaning.
    """

    type: ClassVar[str] = "test-mean"
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {"test-mean": "lower"}

    factor: float = Field(1.0, description="multiplies the distance")

    def build(self, context: BuildContext) -> Means:
        return Means("test-mean", self.factor)


class FeatureMetric(MetricSpec):
    """The same in features."""

    type: ClassVar[str] = "test-features"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {"distance": "lower"}
    labels: ClassVar[Mapping[str, str]] = {"distance": "Distance of features"}

    def build(self, context: BuildContext) -> Means:
        return Means("distance")


class CodedMetric(MetricSpec):
    """Only for models with an encoder."""

    type: ClassVar[str] = "test-coded"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})

    def build(self, context: BuildContext) -> Means:
        assert isinstance(context.networks["encoder"], nn.Module)
        return Means("test-coded")


class SlowMetric(MetricSpec):
    """Taken only where a recipe names it."""

    type: ClassVar[str] = "test-slow"
    compared: ClassVar[bool] = False

    def build(self, context: BuildContext) -> Means:
        return Means("test-slow")


class NanMetric(MetricSpec):
    """NaN."""

    type: ClassVar[str] = "test-nan"
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {"test-nan": "lower"}
    compared: ClassVar[bool] = False

    def build(self, context: BuildContext) -> Means:
        return Means("test-nan", float("nan"))


class IncompleteMetric(MetricSpec):
    """Has a key that somebody has to write."""

    type: ClassVar[str] = "test-incomplete"

    key: int = Field(description="without a default")

    def build(self, context: BuildContext) -> Means:
        raise AssertionError


class ManyMetric(MeanMetric):
    """Needs ten samples."""

    type: ClassVar[str] = "test-many"
    compared: ClassVar[bool] = False

    @property
    def least_samples(self) -> int:
        return 10


class BrokenMetric(MetricSpec):
    """Has a fault."""

    type: ClassVar[str] = "test-broken"
    compared: ClassVar[bool] = False

    def build(self, context: BuildContext) -> Means:
        raise KeyError("what is not there")


MINE = Plugin(
    "test:components",
    "test",
    "1.0",
    tuple(
        (spec.kind, spec)
        for spec in (
            *(CodingLoss, BlindLoss, DivergingLoss),
            *(
                MeanMetric,
                FeatureMetric,
                CodedMetric,
                SlowMetric,
                ManyMetric,
                NanMetric,
                IncompleteMetric,
                BrokenMetric,
            ),
        )
    ),
)


def quick_registry() -> Registry:
    """What is installed but for its metrics, and the components above."""
    others = [
        replace(plugin, components=tuple(part for part in plugin.components if part[0] != "metric"))
        for plugin in plugins.installed().all
    ]
    return Registry([*others, MINE])


def paths(comparison: Comparison, model: int = 0) -> list[str]:
    """The folders of the runs of a model."""
    return [run["path"] for run in comparison.data["models"][model]["runs"]]


def write_recipes(folder: Path) -> None:
    for name, text in RECIPES.items():
        (folder / f"{name}.toml").write_text(text)


def use(patch: pytest.MonkeyPatch, registry: Registry) -> None:
    """Take components from `registry`, and make runs here instead of in their own processes."""
    patch.setattr("ganzoo.registry.installed", lambda: registry)
    in_this_process(patch)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to stand in, with the recipes."""
    monkeypatch.chdir(tmp_path)
    write_recipes(tmp_path)
    return tmp_path


@pytest.fixture
def compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Comparison]:
    """`compare` on tiny recipes, with quick metrics and no process of its own.

    One comparison takes the place of the one before, whatever it compares.
    """
    use(monkeypatch, quick_registry())
    return partial(compare, replace=True)


@pytest.fixture
def load(compared: object) -> Callable[..., Recipe]:
    """`load("gan.toml", "train.seed=1")`: a recipe from the folder."""
    return load_recipe


@pytest.fixture
def trained(compared: object) -> Path:
    """A run of the GAN for the seed 0, made by itself."""
    return train(load_recipe("gan.toml"), identity="mine").path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two seeds of a GAN and of a VAE, compared; to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_recipes(folder)
        use(patch, quick_registry())
        hide_report(patch)
        comparison = compare("gan.toml", "vae.toml", seeds=2, out="out")
        return Comparison(comparison.data, folder / "out")


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_report(monkeypatch)


def hide_report(patch: pytest.MonkeyPatch) -> None:
    """The pages have tests of their own, and take longer than these runs."""
    patch.setattr("ganzoo.evaluation.report.write_report", lambda data, out: None)


PLUGIN = """
    import os
    import signal

    from ganzoo.api import hookimpl

    DEATHS = {"dies-once": 1, "dies-always": 99}


    @hookimpl
    def ganzoo_run_started(run):
        with (run.folder / "starts").open("a") as file:
            file.write(f"{run.start_iteration} ")


    @hookimpl
    def ganzoo_checkpoint_written(run, iteration):
        deaths = run.folder / "deaths"
        count = len(deaths.read_text()) if deaths.exists() else 0
        if os.environ.get("DEADLY") and count < DEATHS.get(run.name, 0):
            deaths.write_text("x" * (count + 1))
            os.kill(os.getpid(), signal.SIGKILL)
"""
"""Kills the process that trains, after a checkpoint, once or whenever it is tried."""


@pytest.fixture
def deadly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the plugin above is installed, for this process's workers to find."""
    site = folder / "site"
    info = site / "ganzoo_deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "deadly.py").write_text(dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ganzoo-deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ganzoo]\ndeadly = deadly\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("DEADLY", "yes")
    return site


@pytest.fixture
def job(folder: Path) -> MakeJob:
    """`job("name", "train.iterations=9")`: a job for the GAN under another name."""

    def job(name: str = "gan", *overrides: str) -> Job:
        recipe = load_recipe("gan.toml", f"name='{name}'", *overrides)
        evaluate = recipe.evaluate.model_dump(mode="json")
        return Job(recipe.to_toml(), f"runs/{name}/seed-0", (), None, evaluate, None)

    return job


def starts(outcome: Outcome) -> list[int]:
    """Iterations from which a run was begun, again and again."""
    return [int(number) for number in Path(outcome.folder, "starts").read_text().split()]


def launched(launcher: str, jobs: Sequence[Job], at_once: int | None = None) -> list[Outcome]:
    """The outcomes of jobs, in their order."""
    outcomes = dict(make_launcher(launcher, at_once).launch(jobs))
    return [outcomes[place] for place in range(len(jobs))]


def weights(folder: str | Path) -> bytes:
    return Path(folder, "generator.safetensors").read_bytes()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)
