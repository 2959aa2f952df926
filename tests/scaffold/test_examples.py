"""The examples that a new plugin begins with do what their docstrings say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo import registry
from ganzoo.api import Batch, BuildContext, LearningRateCourse, Networks, UserError
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
    """D(x) = 3 x_1 + 4 x_2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.tensor([3.0, 4.0])


@pytest.fixture
def networks() -> Networks:
    """A generator that gives back its latents, and a linear discriminator."""
    return Networks(nn.Identity(), Sum(), nn.Identity())


@pytest.fixture
def batch() -> Batch:
    """Real logits 3 and 4, fake ones 0 and -1."""
    x, z = torch.eye(2), torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    return Batch(x, z, None, torch.arange(2), torch.tensor(0.0))


def test_loss(example: Callable[..., Any], networks: Networks, batch: Batch) -> None:
    loss = example("loss", target=2.0)
    terms = loss.compute("discriminator", networks, batch)
    # ((3 - 2)^2 + (4 - 2)^2) / 4 and (0 + 1) / 4; then (4 + 9) / 4.
    assert {name: float(term) for name, term in terms.items()} == {
        **{"real": 1.25, "fake": 0.25},
        **{"D(x)": 3.5, "D(G(z))": -0.5},
    }
    assert float(loss.compute("generator", networks, batch)["loss"]) == 3.25


def test_regularizer(example: Callable[..., Any], networks: Networks, batch: Batch) -> None:
    terms = example("regularizer", weight=0.1).compute(networks, batch)
    assert float(terms["penalty"]) == pytest.approx(0.1 / 2 * 25)


def test_augmentation(example: Callable[..., Any]) -> None:
    x = torch.ones(1000, 3, 2, 2)
    changed = example("augmentation", strength=0.2)(x, torch.tensor(0.0)).flatten(1)
    assert (changed == changed[:, :1]).all(), "one factor for all of a sample"
    assert 0.8 <= changed.min() < 0.81
    assert 1.19 < changed.max() <= 1.2


@pytest.mark.parametrize("course", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("warm_up", "constant"), [(0, 0.0), (10, 0.0), (10, 0.5)])
def test_schedule(example: Callable[..., Any], course: Any, warm_up: int, constant: float) -> None:
    """The learning rate is the one that the core's schedules have."""
    rate = LearningRateCourse(warm_up=warm_up, course=course, constant=constant, final=0.1)
    schedule = example("schedule", head_start=3, learning_rate=rate)
    alternating = registry.installed().find("schedule", "alternating").spec
    other = alternating.model_validate({"learning_rate": rate}).build(CONTEXT)
    for iteration in range(60):
        factor = schedule.lr_factor("generator", iteration)
        assert factor == pytest.approx(other.lr_factor("generator", iteration))
        together = list(map(list, other.phases(iteration, {})))
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


def test_probe(example: Callable[..., Any], batch: Batch) -> None:
    probe, generator = example("probe"), nn.Linear(2, 1, bias=False)
    networks = Networks(generator, nn.Identity(), nn.Identity())
    for weights in ([3.0, 4.0], [3.0, 5.0]):
        with torch.no_grad():
            generator.weight.copy_(torch.tensor([[3.0, 4.0]]))
        for group in (("discriminator",), ("generator",)):
            probe.before(group, networks, batch)
            if "generator" in group:
                with torch.no_grad():
                    generator.weight.copy_(torch.tensor([weights]))
            probe.after(group, networks, batch)
        moved = math.dist(weights, [3.0, 4.0])
        assert probe.compute() == {"relative_step": pytest.approx(moved / 5)}
        assert probe.draw() is None


def test_probe_of_a_generator_without_weights(
    example: Callable[..., Any], networks: Networks, batch: Batch
) -> None:
    probe = example("probe")
    probe.before(("generator",), networks, batch)
    probe.after(("generator",), networks, batch)
    assert probe.compute() == {"relative_step": 0.0}
