"""The examples that a new plugin begins with do what their docstrings say."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo import registry
from ganzoo.api import BuildContext, Networks, RunInfo, UserError
from ganzoo.engine.step import Batch, Step, View
from ganzoo.specs import KINDS

CONTEXT = BuildContext(sample_shape=(2,), latent_dim=2, iterations=50)


@pytest.fixture
def example(use: Callable[..., Path]) -> Callable[..., Any]:
    """`example("loss", target=2.0)` is that example, built."""
    use("ganzoo-wave", *KINDS)

    def example(kind: str, **keys: Any) -> Any:
        return registry.installed().find(kind, "wave").spec(**keys).build(CONTEXT)

    return example


class Sum(nn.Module):
    """D(x) = 3 x_1 + 4 x_2, and the mean of these over the samples of a pack."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.tensor([3.0, 4.0] * (x.shape[1] // 2)) * 2 / x.shape[1]


NETWORKS = Networks({"generator": nn.Identity(), "discriminator": Sum()})
"""A generator that gives back its latents, and a linear discriminator."""


def step(phase: str, *differentiates: str, networks: Networks = NETWORKS, pack: int = 1) -> Step:
    """Real logits 3 and 4, fake ones 0 and -1."""
    x, z = torch.eye(2), torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    view = View(pack=pack)
    return Step(phase, networks, Batch(x, z), differentiates=differentiates, view=view)


def test_loss(example: Callable[..., Any]) -> None:
    loss = example("loss", target=2.0)
    terms = loss.compute(step("discriminator"))
    # ((3 - 2)^2 + (4 - 2)^2) / 4 and (0 + 1) / 4; then (4 + 9) / 4.
    assert {name: float(term) for name, term in terms.items()} == {
        **{"real": 1.25, "fake": 0.25},
        **{"D(x)": 3.5, "D(G(z))": -0.5},
    }
    assert float(loss.compute(step("generator"))["loss"]) == 3.25


@pytest.mark.parametrize(("pack", "expected"), [(1, 25.0), (2, 12.5)])
def test_regularizer(example: Callable[..., Any], pack: int, expected: float) -> None:
    regularizer = example("regularizer", weight=0.1)
    terms = regularizer.compute(step("discriminator", "x", pack=pack))
    # The gradient of one logit is (3, 4); of a pack of two it is (3, 4, 3, 4) / 2.
    assert float(terms["penalty"]) == pytest.approx(0.1 / 2 * expected)


def test_augmentation(example: Callable[..., Any]) -> None:
    x = torch.ones(1000, 3, 2, 2)
    augmentation = example("augmentation", strength=0.2)
    draw = augmentation.draw(x)
    changed = augmentation(x, draw).flatten(1)
    assert (changed == changed[:, :1]).all(), "one factor for all of a sample"
    assert 0.8 <= changed.min() < 0.81
    assert 1.19 < changed.max() <= 1.2
    # One draw, one change: of twice the sample it is twice as much.
    assert torch.equal(augmentation(2 * x, draw).flatten(1), 2 * changed)


def test_schedule(example: Callable[..., Any]) -> None:
    schedule = example("schedule", head_start=3)
    for iteration in range(6):
        together = [["discriminator"], ["generator"]]
        assert schedule.phases(iteration, {}) == (together if iteration >= 3 else together[:1])


def test_dataset(example: Callable[..., Any]) -> None:
    data = example("dataset", turns=1.0, std=1e-4, samples=2000)
    for part in (data.train, data.held_out):
        radius = part.values.norm(dim=1)
        angle = torch.atan2(part.values[:, 1], part.values[:, 0]) % (2 * math.pi)
        away = (angle - 2 * math.pi * radius).abs()[(radius > 0.1) & (radius < 0.99)]
        assert away.max() < 0.02
        # Uniform on the disc: half of the points lie within the half of its area.
        assert (radius < math.sqrt(0.5)).float().mean() == pytest.approx(0.5, abs=0.04)


def test_metric(example: Callable[..., Any]) -> None:
    metric = example("metric")
    for real, rows in ((True, [[0.0, 1.0], [2.0, 1.0]]), (False, [[3.0, 0.0], [3.0, 4.0]])):
        for row in rows:
            metric.update(torch.tensor([row]), real=real)
    # Means 1, 1 and 3, 2; standard deviations 1, 0 and 0, 2.
    assert metric.compute() == {"distance": pytest.approx(4 + 1 + 1 + 4)}


@pytest.mark.parametrize("real", [True, False])
def test_metric_of_one_side(example: Callable[..., Any], real: bool) -> None:
    metric = example("metric")
    metric.update(torch.zeros(3, 2), real=real)
    with pytest.raises(UserError) as caught:
        metric.compute()
    assert caught.value.message == "metric 'wave' needs generated samples and real ones"
    assert caught.value.hint == "raise evaluate.samples, and hold out some of the data"


def test_probe(example: Callable[..., Any]) -> None:
    probe, generator = example("probe"), nn.Linear(2, 1, bias=False)
    networks = Networks({"generator": generator})
    for weights in ([3.0, 4.0], [3.0, 5.0]):
        with torch.no_grad():
            generator.weight.copy_(torch.tensor([[3.0, 4.0]]))
        for group in (("discriminator",), ("generator",)):
            probe.before(group, step("", networks=networks))
            if "generator" in group:
                with torch.no_grad():
                    generator.weight.copy_(torch.tensor([weights]))
            probe.after(group, step("", networks=networks))
        moved = math.dist(weights, [3.0, 4.0])
        assert probe.compute() == {"relative_step": pytest.approx(moved / 5)}
        assert probe.draw() is None


def test_probe_of_a_generator_without_weights(example: Callable[..., Any]) -> None:
    probe = example("probe")
    probe.before(("generator",), step(""))
    probe.after(("generator",), step(""))
    assert probe.compute() == {"relative_step": 0.0}


def test_prior(example: Callable[..., Any]) -> None:
    prior = example("prior", temperature=0.5)
    prior.fit(torch.tensor([[1.0, 4.0], [3.0, 4.0]]))  # means 2 and 4, deviations 1 and 0
    z = prior.sample(20_000, torch.Generator().manual_seed(0))
    assert z.mean(0).tolist() == pytest.approx([2.0, 4.0], abs=0.02)
    assert z.std(0).tolist() == pytest.approx([0.5, 0.0], abs=0.02)
    other = example("prior", temperature=0.5)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other.sample(20_000, torch.Generator().manual_seed(0)), z)


def test_extractor(example: Callable[..., Any]) -> None:
    extractor = example("extractor", side=2)
    assert extractor.note == "features are the means of at most 2 x 2 patches"
    x = torch.arange(16.0).view(1, 1, 4, 4)
    features, logits = extractor(x)
    # Of the first patch (0 + 1 + 4 + 5) / 4.
    assert features.tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert logits is None
    small = x[:, :, :1, :3]
    assert extractor(small)[0].tolist() == [[0.5, 1.5]]
    points = torch.eye(3)
    assert torch.equal(extractor(points)[0], points)


def rows(file: Path) -> list[list[str]]:
    with file.open(newline="") as text:
        return list(csv.reader(text))


def test_listener(example: Callable[..., Any], tmp_path: Path) -> None:
    listener = example("listener", digits=3)
    header = ["iteration", "name", "value"]
    run = RunInfo(tmp_path, "mine", {}, 0)
    listener.ganzoo_run_started(run)
    assert rows(tmp_path / "wave" / "statistics.csv") == [header]
    for iteration in (10, 20):
        listener.ganzoo_statistics_logged(run, iteration, {"a, b": iteration / 7, "c": 1e-7})
    kept = [header, ["10", "a, b", "1.43"], ["10", "c", "1e-07"]]
    assert rows(tmp_path / "wave" / "statistics.csv") == [
        *kept,
        *(["20", "a, b", "2.86"], ["20", "c", "1e-07"]),
    ]
    resumed = RunInfo(tmp_path, "mine", {}, 10)
    listener.ganzoo_run_started(resumed)
    assert rows(tmp_path / "wave" / "statistics.csv") == kept
    listener.ganzoo_evaluated(resumed, 20, {"fid": 12.3456})
    assert rows(tmp_path / "wave" / "metrics.csv") == [header, ["20", "fid", "12.3"]]
