"""What holds for every metric."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_metrics import (
    ClassAccuracy,
    Classes,
    ClassFrechetDistance,
    DensityCoverage,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    Nearest,
    PrecisionRecall,
    Sharpness,
    WassersteinDistance,
    ganzoo_metrics,
)
from torch import Tensor

from ganzoo.api import MetricSpec, UserError

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]

SPECS = [spec() for spec in ganzoo_metrics()]
every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.type)


def samples(spec: MetricSpec, draw: Draw, count: int, seed: int) -> Tensor:
    """What the metric reads, of one distribution, `count` of it."""
    if spec.type == "sharpness":
        return draw(count, 1, 6, 6, seed=seed).tanh()
    if spec.type == "wasserstein":
        return draw(count, 2, seed=seed)
    values = draw(count, 6, seed=seed)
    return values.mul(2).softmax(dim=1) if spec.reads == "probabilities" else values


@every
def test_another_order_of_as_many_samples_changes_nothing(
    spec: MetricSpec, measure: Measure, draw: Draw
) -> None:
    real, generated = (samples(spec, draw, 300, seed) for seed in (1, 2))
    generated = generated * 1.1
    training = samples(spec, draw, 900, 3)
    stream = torch.Generator().manual_seed(0)
    orders = [torch.randperm(300, generator=stream) for _ in range(2)]
    labels = torch.arange(300) % 4
    keywords = {"training": training, "training_labels": torch.arange(900) % 4}
    values = measure(spec, real, generated, real_labels=labels, labels=labels, **keywords)
    # kid's subsets are all samples here, and the floor's training samples stay where they are.
    again = measure(
        spec,
        real[orders[0]],
        generated[orders[1]],
        real_labels=labels[orders[0]],
        labels=labels[orders[1]],
        **keywords,
    )
    assert again == pytest.approx(values, rel=1e-5, abs=1e-9)


@every
def test_no_random_stream_moves(spec: MetricSpec, measure: Measure, draw: Draw) -> None:
    real, generated = (samples(spec, draw, 300, seed) for seed in (1, 2))

    def states() -> list[Any]:
        torch_state = torch.get_rng_state().tolist()
        return [torch_state, random.getstate(), [str(part) for part in np.random.get_state()]]

    torch.rand(3)
    before = states()
    measure(spec, real, generated)
    assert states() == before


@every
def test_the_same_samples_give_the_same_values(
    spec: MetricSpec, measure: Measure, draw: Draw
) -> None:
    real, generated = (samples(spec, draw, 300, seed) for seed in (1, 2))
    first = measure(spec, real, generated)
    torch.rand(1)
    assert measure(spec, real, generated) == first


@every
def test_every_value_with_a_direction_is_there(
    spec: MetricSpec, measure: Measure, draw: Draw
) -> None:
    real, generated, training = (samples(spec, draw, 300, seed) for seed in (1, 2, 3))
    values = measure(spec, real, generated, training=training)
    assert spec.better.keys() <= values.keys()
    assert spec.collapse.keys() <= spec.better.keys()
    assert all(type(value) is float and math.isfinite(value) for value in values.values())


@every
def test_a_generator_that_diverged_has_no_values(
    spec: MetricSpec, measure: Measure, draw: Draw
) -> None:
    real, generated = (samples(spec, draw, 300, seed) for seed in (1, 2))
    generated[17] = math.nan
    values = measure(spec, real, generated)
    assert spec.better.keys() <= values.keys()
    assert all(math.isnan(value) for value in values.values())


@every
def test_labels_matter_to_conditional_metrics_only(
    spec: MetricSpec, measure: Measure, draw: Draw
) -> None:
    real, generated = (samples(spec, draw, 300, seed) for seed in (1, 2))
    labels = torch.arange(300) % 4
    with_labels = measure(
        spec, real, generated, labels=labels, real_labels=labels, training_labels=labels
    )
    same = with_labels == measure(spec, real, generated)
    assert same == ("condition" not in spec.needs)


FEWEST = [
    (FrechetDistance(), 2),
    (KernelDistance(), 2),
    (InceptionScore(), 1),
    (PrecisionRecall(), 4),
    (PrecisionRecall(neighbours=1), 2),
    (DensityCoverage(), 6),
    (Classes(), 1),
    (ClassAccuracy(), 1),
    (ClassFrechetDistance(), 2),
    (Sharpness(), 1),
    (Nearest(), 2),
    (WassersteinDistance(), 1),
]


@pytest.mark.parametrize(("spec", "fewest"), FEWEST)
def test_the_fewest_samples(spec: MetricSpec, fewest: int, measure: Measure, draw: Draw) -> None:
    real, generated, training = (samples(spec, draw, max(2, fewest), seed) for seed in (1, 2, 3))
    real, generated = real[:fewest], generated[:fewest]
    values = measure(spec, real, generated, training=training)
    assert all(map(math.isfinite, values.values()))
    word = "sample" if fewest == 1 else "samples"
    with pytest.raises(UserError) as caught:
        measure(spec, real, generated[1:])
    assert str(caught.value) == (
        f"metric '{spec.type}' needs at least {fewest} generated {word} and was given "
        f"{fewest - 1}\n  = raise evaluate.samples"
    )
    with pytest.raises(UserError) as caught:
        measure(spec, real[1:], generated)
    assert str(caught.value) == (
        f"metric '{spec.type}' needs at least {fewest} real {word} and was given {fewest - 1}\n"
        "  = raise evaluate.samples, and hold out more of the data"
    )


NOISY = [
    (FrechetDistance(), "fid", 1),
    (KernelDistance(), "kid", 1),
    (PrecisionRecall(), "precision", -1),
    (ClassFrechetDistance(), "class-fid", 1),
    (DensityCoverage(), "density", -1),
    (DensityCoverage(), "coverage", -1),
    (Nearest(), "ratio", 1),
    (WassersteinDistance(), "sliced", 1),
    (WassersteinDistance(), "exact", 1),
]


@pytest.mark.parametrize(("spec", "value", "sign"), NOISY)
def test_noise_makes_samples_worse(
    spec: MetricSpec, value: str, sign: int, measure: Measure, draw: Draw
) -> None:
    real, generated, noise, training = (samples(spec, draw, 500, seed) for seed in (1, 2, 3, 4))
    values = [
        sign * measure(spec, real, generated + size * noise, training=training)[value]
        for size in (0, 0.5, 1, 2)
    ]
    assert values == sorted(values)
    assert values[0] < values[1]
