"""What recipes may write, what is refused, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from ganzoo_autoencoder import (
    ElboLoss,
    LikelihoodMetric,
    MmdLoss,
    PairedCodesLoss,
    ReconstructionErrorMetric,
    ReconstructionLoss,
    ganzoo_losses,
    ganzoo_metrics,
)
from pydantic import ValidationError

from ganzoo.api import BuildContext, UserError
from ganzoo.declarations import declaration_problem

IMAGES = BuildContext(sample_shape=(1, 8, 8), latent_dim=2, training_samples=10)
POINTS = BuildContext(sample_shape=(2,), latent_dim=2, training_samples=10)


def test_the_types_that_the_package_offers() -> None:
    assert [spec.type for spec in ganzoo_losses()] == [
        *("reconstruction", "elbo", "mmd", "paired-codes"),
    ]
    assert [spec.type for spec in ganzoo_metrics()] == ["likelihood", "reconstruction-error"]


@pytest.mark.parametrize("spec", ganzoo_losses(), ids=lambda spec: spec.type)
def test_a_loss_builds_from_its_defaults_and_explains_its_keys(spec: Any) -> None:
    assert declaration_problem("loss", spec) is None
    assert spec().build(IMAGES)
    assert spec.provides == {"codes"} | ({"likelihood"} if spec is ElboLoss else set())
    assert list(spec.phases) == ["joint"]
    assert spec.phases["joint"].reads_data
    assert len(spec.summary()) <= 97
    assert "arXiv:" in spec.__doc__ or "doi:" in spec.__doc__
    for key, field in spec.model_fields.items():
        assert field.description, key


@pytest.mark.parametrize("spec", ganzoo_metrics(), ids=lambda spec: spec.type)
def test_a_metric_explains_its_keys_and_reads_samples(spec: Any) -> None:
    assert declaration_problem("metric", spec) is None
    assert spec.reads == "samples"
    assert len(spec.summary()) <= 97
    for key, field in spec.model_fields.items():
        assert field.description, key


@pytest.mark.parametrize(
    ("spec", "defaults"),
    [
        (ReconstructionLoss, {"distance": "l2"}),
        (
            ElboLoss,
            {"likelihood": "bernoulli", "std": 0.5, "beta": 1, "free_bits": 0},
        ),
        (MmdLoss, {"distance": "l2", "weight": 10}),
        (PairedCodesLoss, {"learned": False, "distance": "l2"}),
        (LikelihoodMetric, {"samples": 500, "importance_samples": 200}),
        (ReconstructionErrorMetric, {"samples": 10_000}),
    ],
)
def test_the_defaults(spec: Any, defaults: dict[str, object]) -> None:
    assert spec().model_dump() == defaults


@pytest.mark.parametrize(
    ("spec", "keys"),
    [
        (ReconstructionLoss, {"distance": "l3"}),
        (ElboLoss, {"std": 0.0}),
        (ElboLoss, {"beta": -1.0}),
        (ElboLoss, {"beta": {"from": 0.0, "to": -1.0}}),
        (ElboLoss, {"free_bits": -0.1}),
        (MmdLoss, {"weight": -1.0}),
        (PairedCodesLoss, {"distance": "bernoulli"}),
        (LikelihoodMetric, {"samples": 0}),
        (LikelihoodMetric, {"importance_samples": 0}),
        (ReconstructionErrorMetric, {"samples": 0}),
    ],
)
def test_invalid_values_are_refused(spec: Any, keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        spec(**keys)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        (
            ReconstructionLoss(distance="bernoulli"),
            r"loss 'reconstruction' with distance = 'bernoulli' reads pixels as probabilities, "
            r"but the data are of shape \(2,\)",
            "loss.distance = 'l2' takes points",
        ),
        (
            MmdLoss(distance="bernoulli"),
            r"loss 'mmd' with distance = 'bernoulli' reads pixels",
            "loss.distance = 'l2' takes points",
        ),
        (
            ElboLoss(),
            r"loss 'elbo' with likelihood = 'bernoulli' reads pixels",
            "loss.likelihood = 'gaussian' takes points",
        ),
        (
            PairedCodesLoss(distance="laplacian"),
            r"loss 'paired-codes' with distance = 'laplacian' compares pictures, "
            r"but the data are of shape \(2,\)",
            "loss.distance = 'l1' takes points",
        ),
    ],
    ids=repr,
)
def test_distances_of_images_are_refused_for_points(spec: Any, message: str, hint: str) -> None:
    assert spec.build(IMAGES)
    with pytest.raises(UserError, match=message) as caught:
        spec.build(POINTS)
    assert caught.value.hint == hint


def test_the_elbo_is_for_normal_latents() -> None:
    context = BuildContext(sample_shape=(1, 8, 8), latent_dim=2, latent_distribution="uniform")
    with pytest.raises(UserError, match=r"but latent\.distribution is 'uniform'") as caught:
        ElboLoss().build(context)
    assert "write latent.distribution = 'normal', or take the loss 'mmd'" in str(caught.value.hint)


def test_declarations_do_not_import_torch() -> None:
    code = "import sys, ganzoo_autoencoder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
