"""Tiny recipes of the 8x8 digits, and components that measuring can be tested with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from ganzoo import load_recipe, plugins
from ganzoo.api import BuildContext, DatasetSpec, LossSpec, MetricSpec, Networks, Phase
from ganzoo.engine.context import build_context
from ganzoo.engine.data import Data, Samples
from ganzoo.plugins import Plugin
from ganzoo.protocols import Batch
from ganzoo.recipe import Component, Recipe
from ganzoo.registry import Registry

TINY = """
name = "tiny"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "mlp", hidden = [16] }
discriminator = { type = "mlp", hidden = [16] }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-2, betas = [0.5, 0.999] }
train = { iterations = 20, batch_size = 16 }
log = { every = 20, samples = 4 }
checkpoint = { every = 5, keep = 9 }
prior = { codes = 100, components = 2 }
evaluate = { samples = 60, snapshots = 4, features = "random" }
"""

Way = Literal["higher", "lower"]


class Rows:
    """Digits as a data set on disk would give them."""

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
        digits = plugins_digits(context)
        assert isinstance(digits.train, Samples)
        assert isinstance(digits.held_out, Samples)
        return Data(Rows(digits.train), Rows(digits.held_out))


def plugins_digits(context: BuildContext) -> Data:
    data: Data = Registry(plugins.installed().all).find("dataset", "digits").spec().build(context)
    return data


class CodesLoss(LossSpec):
    """A loss with one weight, which counts the iterations."""

    type: ClassVar[str] = "test-counting"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}

    @property
    def has_weights(self) -> bool:
        return True

    def build(self, context: BuildContext) -> Counting:
        return Counting()


class Counting(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = torch.nn.Parameter(torch.zeros(()))

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        # SGD with a rate of 1 adds one to the weight in each step.
        return {"size": networks.generator(batch.z).square().mean(), "count": -self.count}


class Scripted(MetricSpec):
    """Its figures are those of the script, one row after the other."""

    type: ClassVar[str] = "test-scripted"
    better: ClassVar[Mapping[str, Way]] = {"test-scripted": "lower", "score": "higher"}
    collapse: ClassVar[Mapping[str, float]] = {"test-scripted": 2.0, "score": 1.5}
    script: ClassVar[list[dict[str, float]]] = []

    def build(self, context: BuildContext) -> Scripted:
        return self

    def update(self, samples: Tensor, *, real: bool) -> None:
        pass

    def compute(self) -> Mapping[str, float]:
        return Scripted.script.pop(0)


class Watching(MetricSpec):
    """Keeps what it was shown."""

    type: ClassVar[str] = "test-watching"
    seen: ClassVar[list[tuple[bool, Tensor]]] = []
    told: ClassVar[list[BuildContext]] = []

    def build(self, context: BuildContext) -> Watching:
        self.told.append(context)
        return self

    def update(self, samples: Tensor, *, real: bool) -> None:
        self.seen.append((real, samples.clone()))

    def compute(self) -> Mapping[str, float]:
        return {"mean": float(self.seen[-1][1].double().mean()), self.type: 1.0}


class WatchingFeatures(Watching):
    """Keeps the features that it was shown."""

    type: ClassVar[str] = "test-features"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "features"
    better: ClassVar[Mapping[str, Way]] = {"mean": "lower"}


class WatchingProbabilities(Watching):
    """Keeps the probabilities that it was shown."""

    type: ClassVar[str] = "test-probabilities"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "probabilities"
    better: ClassVar[Mapping[str, Way]] = {"mean": "lower"}


class Needy(Watching):
    """Needs the loss, the data and the generator, and does not look at the samples."""

    type: ClassVar[str] = "test-needy"
    needs: ClassVar[frozenset[str]] = frozenset({"loss", "data", "generator"})
    judges_samples: ClassVar[bool] = False

    def compute(self) -> Mapping[str, float]:
        loss = self.told[-1].loss
        return {"count": float(loss.count.detach()) if isinstance(loss, Counting) else -1.0}


METRICS: tuple[type[MetricSpec], ...] = (
    *(Scripted, Watching, WatchingFeatures, WatchingProbabilities, Needy),
)
MINE = Plugin(
    "test:components",
    "test",
    "1.0",
    tuple((spec.kind, spec) for spec in (StreamedDigits, CodesLoss, *METRICS)),
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
    data: Data = recipe.data.spec.build(build_context(recipe))
    return data


def metric(spec: type[MetricSpec], **keys: Any) -> Component[MetricSpec]:
    return Component(spec.type, spec(**keys), MINE)
