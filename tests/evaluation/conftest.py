"""Tiny recipes of the 8x8 digits, and components for tests of measuring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import pytest
import torch
from reports import three_models, trained
from tiny import AUTOENCODER, CodingLoss, tiny
from torch import Tensor, nn

import ganzoo
from ganzoo import load_recipe, plugins
from ganzoo.api import (
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    Phase,
    Step,
)
from ganzoo.data import Data, Samples
from ganzoo.engine.parts import base_context
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.report import write_report
from ganzoo.plugins import Plugin
from ganzoo.recipe import Component, Recipe
from ganzoo.registry import Registry

MEASURED = {
    "optimizer": '{ type = "adam", lr = 1e-2, betas = [0.5, 0.999] }',
    "train": "{ iterations = 20, batch_size = 16 }",
    "log": "{ every = 20, samples = 4 }",
    "checkpoint": "{ every = 5, keep = 9 }",
    "extractor": '{ type = "random" }',
    "evaluate": "{ samples = 60, snapshots = 4 }",
}
TINY = tiny(**MEASURED)
CODED = tiny(**MEASURED, **AUTOENCODER)
"""An autoencoder, which knows codes."""

Direction = Literal["higher", "lower"]


class Rows:
    """Digits as a data set on disk gives them."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        assert self.samples.labels is not None
        return self.samples.values[index], int(self.samples.labels[index])


class StreamedDigits(DatasetSpec):
    """The digits, read one by one."""

    type: ClassVar[str] = "test-streamed"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (1, 8, 8)

    @property
    def num_classes(self) -> int:
        return 10

    def build(self, context: BuildContext) -> Data:
        digits = Registry(plugins.installed().all).find("dataset", "digits").spec().build(context)
        return Data(Rows(digits.train), Rows(digits.held_out))


class CountingLoss(LossSpec):
    """A loss with one weight, which counts the iterations."""

    type: ClassVar[str] = "test-counting"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}

    @property
    def has_weights(self) -> bool:
        return True

    def build(self, context: BuildContext) -> Counting:
        return Counting()


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Parameter(torch.zeros(()))

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        # SGD with a rate of 1 adds one to the weight in each step.
        return {"size": step.fake.square().mean(), "count": -self.count}


class ClassGenerator(GeneratorSpec):
    """Shows the class, divided by 10, as the first pixel."""

    type: ClassVar[str] = "test-classes"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    def build(self, context: BuildContext) -> nn.Module:
        assert context.conditional
        return Classes(context.latent_dim)


class Classes(nn.Module):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(latent_dim, 64)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = self.layer(z).tanh()
        return torch.cat([labels[:, None] / 10, x[:, 1:]], dim=1).reshape(-1, 1, 8, 8)


class ClassDiscriminator(DiscriminatorSpec):
    """Has a bias for each class."""

    type: ClassVar[str] = "test-classes"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    def build(self, context: BuildContext) -> nn.Module:
        return ClassLogits()


class ClassLogits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 1)
        self.bias = nn.Embedding(10, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return (self.layer(x.flatten(1)) + self.bias(labels)).squeeze(1)


class Scripted(MetricSpec):
    """Gives the values of the script, one row after the other."""

    type: ClassVar[str] = "test-scripted"
    better: ClassVar[Mapping[str, Direction]] = {"test-scripted": "lower", "score": "higher"}
    collapse: ClassVar[Mapping[str, float]] = {"test-scripted": 2.0, "score": 1.5}
    script: ClassVar[list[dict[str, float]]] = []

    def build(self, context: BuildContext) -> Scripted:
        return self

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        pass

    def compute(self) -> Mapping[str, float]:
        return Scripted.script.pop(0)


class Update(NamedTuple):
    """The arguments of one call of `update`."""

    real: bool
    samples: Tensor
    labels: Tensor | None


class Watching(MetricSpec):
    """Records its arguments."""

    type: ClassVar[str] = "test-watching"
    updates: ClassVar[list[Update]] = []
    contexts: ClassVar[list[BuildContext]] = []

    def build(self, context: BuildContext) -> Watching:
        self.contexts.append(context)
        return self

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        self.updates.append(Update(real, samples.clone(), labels))

    def compute(self) -> Mapping[str, float]:
        return {"mean": float(self.updates[-1].samples.double().mean()), self.type: 1.0}


class WatchingFeatures(Watching):
    """Records features."""

    type: ClassVar[str] = "test-features"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Direction]] = {"mean": "lower"}


class WatchingProbabilities(Watching):
    """Records probabilities."""

    type: ClassVar[str] = "test-probabilities"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Direction]] = {"mean": "lower"}


class Needy(Watching):
    """Needs the loss, the data and the generator, and does not depend on the samples."""

    type: ClassVar[str] = "test-needy"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "data", "generator"})
    judges_samples: ClassVar[bool] = False

    def compute(self) -> Mapping[str, float]:
        loss = self.contexts[-1].loss
        return {"count": float(loss.count.detach()) if isinstance(loss, Counting) else -1.0}


METRICS: tuple[type[MetricSpec], ...] = (
    *(Scripted, Watching, WatchingFeatures, WatchingProbabilities, Needy),
)
MINE = Plugin(
    "test:components",
    "test",
    "1.0",
    tuple(
        (spec.kind, spec)
        for spec in (
            *(StreamedDigits, CodingLoss, CountingLoss, ClassGenerator, ClassDiscriminator),
            *METRICS,
        )
    ),
)


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """`recipe("train.seed=1")`: the tiny recipe with overrides, or another text."""

    def recipe(*overrides: str, text: str = TINY) -> Recipe:
        file = tmp_path / "tiny.toml"
        file.write_text(text)
        registry = Registry([*plugins.installed().all, MINE])
        return load_recipe(file, *overrides, registry=registry)

    return recipe


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def data_of(recipe: Recipe) -> Data:
    data: Data = recipe.data.spec.build(base_context(recipe))
    return data


def metric(spec: type[MetricSpec], **keys: Any) -> Component[MetricSpec]:
    return Component(spec.type, spec(**keys), MINE)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ganzoo.Run]]:
    return trained(("digits-vae", "digits-mlp-gan"), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def comparison(runs: dict[str, list[ganzoo.Run]]) -> ComparisonDocument:
    return three_models(runs)


@pytest.fixture(scope="session")
def report(runs: dict[str, list[ganzoo.Run]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the comparison as it is."""
    return write_report(three_models(runs), tmp_path_factory.mktemp("report"))
