"""Frechet and kernel distance, against closed forms and torch-fidelity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ganzoo_metrics import FrechetDistance, KernelDistance
from ganzoo_metrics.as_given import frechet_distance
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def fidelity_fid(x: Tensor, y: Tensor) -> float:
    statistics = [fid_features_to_statistics(part.double()) for part in (x, y)]
    figure = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    return float(figure)


def fidelity_kid(x: Tensor, y: Tensor, **settings: Any) -> tuple[float, float]:
    figures = kid_features_to_metric(x.double(), y.double(), verbose=False, **settings)
    return (
        float(figures["kernel_inception_distance_mean"]),
        float(figures["kernel_inception_distance_std"]),
    )


def with_moments(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Samples with exactly this mean and the covariance root root^T."""
    x = x.double() - x.double().mean(dim=0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T
    return white @ root.double().T + mean.double()


def test_fid_of_gaussians_that_commute_has_a_closed_form(measure: Measure, draw: Draw) -> None:
    first, second = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([2.0, 0.5, 0.5])
    shift = torch.tensor([3.0, 0.0, -4.0])
    real = with_moments(draw(400, 3), torch.zeros(3), first.diag())
    generated = with_moments(draw(300, 3, seed=1), shift, second.diag())
    expected = 25 + float((first - second).square().sum())
    assert measure(FrechetDistance(), real, generated)["fid"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("reals", "fakes", "size"), [(700, 500, 48), (40, 500, 64), (30, 20, 64)])
def test_fid_as_torch_fidelity_has_it(
    reals: int, fakes: int, size: int, measure: Measure, draw: Draw
) -> None:
    # Also with fewer samples than features, where covariances are singular.
    mix = draw(size, size, seed=2)
    real, generated = draw(reals, size) @ mix, (draw(fakes, size, seed=1) + 0.3) @ mix * 1.1
    found = measure(FrechetDistance(), real, generated)["fid"]
    assert found == pytest.approx(fidelity_fid(real, generated), rel=1e-5)


def test_fid_of_too_few_samples_is_that_of_the_space_they_span(draw: Draw) -> None:
    # In coordinates of the 19 dimensions in which anything lies the covariances are regular.
    basis = torch.linalg.qr(draw(64, 9).double()).Q
    real, generated = draw(40, 9).double(), draw(30, 9, seed=1).double() * 2
    inside = frechet_distance(real, generated)
    assert frechet_distance(real @ basis.T, generated @ basis.T) == pytest.approx(inside, rel=1e-6)


def test_fid_and_floor_of_equal_samples_are_zero(measure: Measure, draw: Draw) -> None:
    features = draw(200, 16)
    found = measure(FrechetDistance(), features, features.flip(0), training=features)
    assert found == {"fid": pytest.approx(0, abs=1e-9), "floor": pytest.approx(0, abs=1e-9)}


def test_fid_does_not_fall_below_zero(draw: Draw) -> None:
    # Where covariances are singular rounding leaves more than the last digits.
    for seed in range(5):
        features = draw(50, 64, seed=seed).relu()
        assert 0 <= frechet_distance(features, features) < 1e-5


def test_the_floor_is_that_of_as_many_training_samples(measure: Measure, draw: Draw) -> None:
    real, training = draw(400, 24), draw(5000, 24, seed=1)
    # Sorted: the first 400 alone would be far off.
    training = training[training[:, 0].argsort()]
    found = measure(FrechetDistance(), real, draw(400, 24, seed=2), training=training)
    assert found["floor"] == pytest.approx(found["fid"], rel=0.2)
    fewer = measure(FrechetDistance(), real, draw(100, 24, seed=2), training=training)
    assert fewer["floor"] > 1.5 * found["floor"]


def test_no_floor_where_nothing_is_held_out(measure: Measure, draw: Draw) -> None:
    found = measure(FrechetDistance(), draw(50, 4), draw(50, 4, seed=1), held_out=False)
    assert list(found) == ["fid"]


def test_one_feature_that_never_changes_does_no_harm(measure: Measure, draw: Draw) -> None:
    real, generated = draw(90, 8), draw(90, 8, seed=1)
    without = measure(FrechetDistance(), real, generated)["fid"]
    padded = [torch.cat([part, torch.ones(90, 4)], dim=1) for part in (real, generated)]
    assert measure(FrechetDistance(), *padded)["fid"] == pytest.approx(without, rel=1e-6)


def test_kid_of_all_samples_as_torch_fidelity_has_it(measure: Measure, draw: Draw) -> None:
    real, generated = draw(300, 32), draw(300, 32, seed=1) * 1.2 + 0.1
    found = measure(KernelDistance(subsets=2, subset_size=300), real, generated)
    expected, _ = fidelity_kid(real, generated, kid_subsets=1, kid_subset_size=300)
    assert found["kid"] == pytest.approx(expected, rel=1e-6)
    assert found["spread"] == pytest.approx(0, abs=1e-9)


def test_kid_of_subsets_is_within_its_spread(measure: Measure, draw: Draw) -> None:
    real, generated = draw(900, 32), draw(800, 32, seed=1) * 1.2 + 0.1
    found = measure(KernelDistance(subsets=60, subset_size=200), real, generated)
    mean, deviation = fidelity_kid(real, generated, kid_subsets=60, kid_subset_size=200)
    assert found["spread"] == pytest.approx(deviation, rel=0.3)
    assert abs(found["kid"] - mean) < 4 * deviation / 60**0.5


def test_kid_draws_the_same_subsets_every_time(measure: Measure, draw: Draw) -> None:
    spec = KernelDistance(subsets=5, subset_size=50)
    first = measure(spec, draw(200, 8), draw(200, 8, seed=1))
    torch.manual_seed(123)
    assert measure(spec, draw(200, 8), draw(200, 8, seed=1)) == first


def test_kid_takes_smaller_subsets_of_fewer_samples(measure: Measure, draw: Draw) -> None:
    real, generated = draw(120, 8), draw(80, 8, seed=1) + 1
    by_default = measure(KernelDistance(subsets=20), real, generated)
    assert by_default == measure(KernelDistance(subsets=20, subset_size=80), real, generated)
    assert by_default["kid"] > 0.1


def test_kid_is_about_zero_for_samples_of_one_law(measure: Measure, draw: Draw) -> None:
    found = measure(KernelDistance(subset_size=300), draw(2000, 16), draw(2000, 16, seed=1))
    assert abs(found["kid"]) < found["spread"]
