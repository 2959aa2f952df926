"""A tiny GAN on the 8x8 digits, and one metric that is quick; runs are made in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from here import in_this_process
from tiny import tiny
from torch import Tensor

from ganzoo import plugins
from ganzoo.api import BuildContext, LossSpec, MetricSpec, Phase, Step
from ganzoo.plugins import Plugin
from ganzoo.registry import Registry
from ganzoo.sweeps import Sweep, sweep

GAN = tiny(
    name='"gan"',
    train="{ iterations = 8, batch_size = 8 }",
    log="{ every = 4, samples = 4 }",
    evaluate="{ samples = 20, snapshots = 2 }",
    regularizers='[{ type = "r1", gamma = 0.1 }]',
    metrics='[{ type = "test-mean" }]',
)
DIVERGING = GAN.replace('"gan"', '"diverging"').replace("non-saturating", "test-diverging")
BASE = 'extends = "gan.toml"\nname = "based"\ntrain.iterations = 4\n'

Swept = Callable[..., Sweep]


class DivergingLoss(LossSpec):
    """NaN where its `factor` is."""

    type: ClassVar[str] = "test-diverging"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains=frozenset({"discriminator"})),
        "generator": Phase(trains=frozenset({"generator"})),
    }

    diverges: bool = True

    def build(self, context: BuildContext) -> DivergingLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"lost": step.fake_logits.mean() * float("nan" if self.diverges else 1)}


class Mean:
    """How far the mean grey is from the real one."""

    def __init__(self) -> None:
        self.means: dict[bool, float] = {}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        self.means[real] = float(samples.double().mean())

    def compute(self) -> Mapping[str, float]:
        distance = abs(self.means[False] - self.means[True])
        return {"test-mean": distance, "grey": self.means[False]}


class MeanMetric(MetricSpec):
    """How far the mean grey is from the real one."""

    type: ClassVar[str] = "test-mean"
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {
        "test-mean": "lower",
        "grey": "higher",
    }

    def build(self, context: BuildContext) -> Mean:
        return Mean()


MINE = Plugin(
    "test:sweep",
    "test",
    "1.0",
    tuple((spec.kind, spec) for spec in (DivergingLoss, MeanMetric)),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own to stand in, with the recipes and quick components."""
    monkeypatch.chdir(tmp_path)
    others = [
        replace(plugin, components=tuple(part for part in plugin.components if part[0] != "metric"))
        for plugin in plugins.installed().all
    ]
    registry = Registry([*others, MINE])
    monkeypatch.setattr("ganzoo.registry.installed", lambda: registry)
    for name, text in {"gan": GAN, "diverging": DIVERGING, "based": BASE}.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


@pytest.fixture
def swept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """`sweep` without processes of its own."""
    in_this_process(monkeypatch)
    return sweep
