"""What recipes may write, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from ganzoo_losses import (
    R1,
    Consistency,
    DiffAugment,
    Dragan,
    FDivergenceLoss,
    GradientPenalty,
    InstanceNoise,
    LeastSquaresLoss,
    SmoothedNonSaturatingLoss,
    WassersteinLoss,
    ganzoo_augmentations,
    ganzoo_losses,
    ganzoo_regularizers,
)
from pydantic import ValidationError

from ganzoo.api import BuildContext

COMPONENTS = [*ganzoo_losses(), *ganzoo_regularizers(), *ganzoo_augmentations()]
CONTEXT = BuildContext(sample_shape=(1, 8, 8), latent_dim=2)


def test_the_types_that_the_package_offers() -> None:
    assert [spec.type for spec in ganzoo_losses()] == [
        *("hinge", "least-squares", "wasserstein", "relativistic", "f-divergence"),
        "non-saturating-smoothed",
    ]
    assert [spec.type for spec in ganzoo_regularizers()] == [
        *("r1", "r2", "gradient-penalty", "dragan", "consistency"),
    ]
    assert [spec.type for spec in ganzoo_augmentations()] == ["diff-augment", "instance-noise"]


@pytest.mark.parametrize("spec", COMPONENTS, ids=lambda spec: spec.type)
def test_a_component_builds_from_its_defaults_and_explains_its_keys(spec: Any) -> None:
    assert spec().build(CONTEXT)
    assert len(spec.summary()) <= 97
    assert "arXiv:" in spec.__doc__
    for key, field in spec.model_fields.items():
        assert field.description, key


@pytest.mark.parametrize(
    ("spec", "defaults"),
    [
        (LeastSquaresLoss, {"a": 0, "b": 1, "c": 1}),
        (WassersteinLoss, {"clip": 0.01}),
        (FDivergenceLoss, {"divergence": "jensen-shannon", "generator": "non-saturating"}),
        (SmoothedNonSaturatingLoss, {"real_label": 0.9}),
        (R1, {"every": 1, "gamma": 10}),
        (GradientPenalty, {"every": 1, "weight": 10, "target": 1, "one_sided": False}),
        (Dragan, {"every": 1, "weight": 10, "target": 1, "one_sided": False, "scale": 0.5}),
        (
            Consistency,
            {"every": 1, "weight": 10, "fake_weight": 10, "shift": 0.125, "flip": False},
        ),
        (
            DiffAugment,
            {
                "paired": False,
                "policies": ("colour", "translation", "cutout"),
                **{"brightness": 0.5, "saturation": 1, "contrast": 0.5},
                **{"shift": 0.125, "cutout": 0.5},
            },
        ),
        (
            InstanceNoise,
            {
                "paired": False,
                "std": {"from": 0.1, "to": 0, "shape": "linear", "over": (0, 0.5)},
            },
        ),
    ],
)
def test_the_defaults_are_the_papers(spec: Any, defaults: dict[str, object]) -> None:
    assert spec().model_dump(by_alias=True) == defaults


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        (WassersteinLoss, {"clip": -0.01}),
        (SmoothedNonSaturatingLoss, {"real_label": 0.5}),
        (SmoothedNonSaturatingLoss, {"real_label": 1.1}),
        (FDivergenceLoss, {"divergence": "chi2"}),
        (FDivergenceLoss, {"generator": "minimax"}),
        (R1, {"gamma": -1.0}),
        (R1, {"gamma": {"from": 1.0, "to": -1.0}}),
        (SmoothedNonSaturatingLoss, {"real_label": {"from": 0.5, "to": 1.0}}),
        (GradientPenalty, {"weight": -1.0}),
        (GradientPenalty, {"target": -1.0}),
        (Dragan, {"scale": 0.0}),
        (Consistency, {"shift": 0.0}),
        (Consistency, {"shift": 0.6}),
        (DiffAugment, {"policies": ()}),
        (DiffAugment, {"policies": ("color",)}),
        (DiffAugment, {"brightness": -0.1}),
        (DiffAugment, {"saturation": 1.1}),
        (DiffAugment, {"contrast": 1.1}),
        (DiffAugment, {"shift": 1.1}),
        (DiffAugment, {"cutout": 1.1}),
        (InstanceNoise, {"std": -0.1}),
        (InstanceNoise, {"std": {"from": 0.1, "to": -0.1}}),
        (DiffAugment, {"cutout": {"from": 0.5, "to": 1.1}}),
    ],
)
def test_values_without_sense_are_refused(spec: Any, keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**keys)


def test_what_regularizers_differentiate_with_respect_to() -> None:
    assert {spec.type: set(spec.differentiates) for spec in ganzoo_regularizers()} == {
        "r1": {"x"},
        "r2": {"fake"},
        "gradient-penalty": set(),
        "dragan": set(),
        "consistency": set(),
    }


def test_what_augmentations_need() -> None:
    assert DiffAugment.needs == {"discriminator", "data.images"}
    assert InstanceNoise.needs == {"discriminator"}


def test_declarations_do_not_import_torch() -> None:
    code = "import sys, ganzoo_losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
