"""Keys that may change over the run: each is, in every iteration, as if it were constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ganzoo_losses import (
    R1,
    R2,
    Consistency,
    DiffAugment,
    Dragan,
    GradientPenalty,
    InstanceNoise,
    LeastSquaresLoss,
    SmoothedNonSaturatingLoss,
)
from torch import Tensor, nn

from ganzoo.api import AugmentationSpec, BuildContext, LossSpec, Phase
from ganzoo.engine.values import MovingValues

from .conftest import make_step

CONTEXT = BuildContext(sample_shape=(1, 8, 8), latent_dim=2, iterations=101)
RAMP = {"from": 0.9, "to": 0.6, "shape": "cosine", "over": (0.0, 0.5)}
KEYS = [
    *((LeastSquaresLoss, key) for key in "abc"),
    (SmoothedNonSaturatingLoss, "real_label"),
    *((spec, "gamma") for spec in (R1, R2)),
    *((spec, "weight") for spec in (GradientPenalty, Dragan, Consistency)),
    (Consistency, "fake_weight"),
    *((DiffAugment, key) for key in ("brightness", "saturation", "contrast", "shift", "cutout")),
    (InstanceNoise, "std"),
]


def result(spec: Any, built: Any, device: str = "cpu") -> Tensor:
    """Terms of both phases, of a penalty, or augmented images, after the same seed."""
    torch.manual_seed(0)
    with torch.device(device):
        x, z = torch.rand(4, 3, 8, 8), torch.rand(4, 2)
        if isinstance(spec, AugmentationSpec):
            return built(x, built.draw(x))
        generator = nn.Sequential(nn.Linear(2, 192), nn.Unflatten(1, (3, 8, 8)))
        discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)
        )
    phases: dict[str, Phase | None] = {"discriminator": None}
    phases = dict(spec.phases) if isinstance(spec, LossSpec) else phases
    terms: list[Tensor] = []
    for phase in phases:
        differentiates = getattr(spec, "differentiates", ())
        step = make_step(phase, generator, discriminator, x, z, differentiates=differentiates)
        terms += built.compute(step).values()
    return torch.stack(terms).detach()


@pytest.mark.parametrize(("spec_class", "key"), KEYS)
def test_a_ramp_is_in_every_iteration_what_a_constant_would_be(spec_class: Any, key: str) -> None:
    values = MovingValues(101, torch.device("cpu"))
    spec = spec_class(**{key: RAMP})
    moving = spec.build(replace(CONTEXT, moving=values.of("place", spec)))
    results = []
    for iteration, value in ((0, 0.9), (25, 0.75), (50, 0.6), (100, 0.6)):
        values.advance(iteration)
        constant = spec_class(**{key: value})
        expected = result(constant, constant.build(CONTEXT))
        results.append(result(spec, moving))
        torch.testing.assert_close(results[-1], expected)
    assert not torch.equal(results[0], results[1])
    assert values.current(25)[f"place.{key}"] == pytest.approx(0.75), "it is logged"


@pytest.mark.parametrize(("spec_class", "key"), KEYS)
def test_nothing_waits_for_the_device(spec_class: Any, key: str) -> None:
    """Tensors of the device `meta` have no values; asking for one raises."""
    values = MovingValues(101, torch.device("meta"))
    spec = spec_class(**{key: RAMP})
    moving = spec.build(replace(CONTEXT, moving=values.of("place", spec)))
    assert result(spec, moving, "meta").device.type == "meta"


def test_a_fake_weight_that_begins_at_zero_is_a_term() -> None:
    spec = Consistency(fake_weight={"from": 0.0, "to": 1.0})  # type: ignore[arg-type]
    assert len(result(spec, spec.build(CONTEXT))) == 2
