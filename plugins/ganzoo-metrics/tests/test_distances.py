"""Frechet and kernel distance, against closed forms and torch-fidelity."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ganzoo_metrics import FrechetDistance, KernelDistance
from ganzoo_metrics.distances import fit_gaussian, frechet_distance, squared_mmd
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def fid(real: Tensor, generated: Tensor) -> float:
    return frechet_distance(fit_gaussian(real), fit_gaussian(generated))


def fidelity_fid(x: Tensor, y: Tensor) -> float:
    statistics = [fid_features_to_statistics(part.double()) for part in (x, y)]
    value = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    return float(value)


def fidelity_kid(x: Tensor, y: Tensor, **settings: Any) -> tuple[float, float]:
    values = kid_features_to_metric(x.double(), y.double(), verbose=False, **settings)
    return (
        float(values["kernel_inception_distance_mean"]),
        float(values["kernel_inception_distance_std"]),
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


def test_fid_of_gaussians_that_do_not_commute_by_the_square_root_itself(draw: Draw) -> None:
    # The principal root of the product, by scipy, of covariances that are known.
    first, second = draw(5, 5, seed=2).double(), draw(5, 5, seed=3).double()
    shift = torch.arange(5.0)
    real = with_moments(draw(400, 5), torch.zeros(5), first)
    generated = with_moments(draw(300, 5, seed=1), shift, second)
    covariances = first @ first.T, second @ second.T
    root = sqrtm((covariances[0] @ covariances[1]).numpy())
    expected = 30 + float(covariances[0].trace() + covariances[1].trace()) - 2 * root.trace().real
    assert fid(real, generated) == pytest.approx(expected, rel=1e-9)


def test_fid_in_one_dimension_is_that_of_means_and_deviations(draw: Draw) -> None:
    real, generated = draw(200, 1).double() * 3, draw(90, 1, seed=1).double() + 2
    expected = (real.mean() - generated.mean()) ** 2 + (real.std() - generated.std()) ** 2
    assert fid(real, generated) == pytest.approx(float(expected), rel=1e-12)


def test_fid_approaches_that_of_the_distributions(draw: Draw) -> None:
    # Means 0 and 1/2 in each of four dimensions, deviations 1 and 2: 4 / 4 + 4 (2 - 1)^2.
    real, generated = draw(200_000, 4), 2 * draw(200_000, 4, seed=1) + 0.5
    assert fid(real, generated) == pytest.approx(5, rel=0.02)


def test_fid_is_symmetric(draw: Draw) -> None:
    real, generated = draw(100, 12) @ draw(12, 12, seed=2), draw(80, 12, seed=1)
    assert fid(real, generated) == pytest.approx(fid(generated, real), rel=1e-12)


def test_fid_of_features_far_from_zero_and_of_unequal_scales(draw: Draw) -> None:
    # Variances from 1 to 1e-12, beside means of 1,000: those of a commuting pair are known.
    scales = torch.logspace(0, -6, 8, dtype=torch.float64)
    real = with_moments(draw(400, 8), torch.full((8,), 1e3), scales.diag())
    generated = with_moments(draw(300, 8, seed=1), torch.full((8,), 1e3), 3 * scales.diag())
    assert fid(real, generated) == pytest.approx(float(4 * scales.square().sum()), rel=1e-9)


@pytest.mark.parametrize(("reals", "fakes", "size"), [(700, 500, 48), (40, 500, 64), (30, 20, 64)])
def test_fid_as_torch_fidelity_has_it(
    reals: int, fakes: int, size: int, measure: Measure, draw: Draw
) -> None:
    # Also with fewer samples than features, where covariances are singular.
    mix = draw(size, size, seed=2)
    real, generated = draw(reals, size) @ mix, (draw(fakes, size, seed=1) + 0.3) @ mix * 1.1
    values = measure(FrechetDistance(), real, generated)["fid"]
    assert values == pytest.approx(fidelity_fid(real, generated), rel=1e-6)


def test_fid_of_too_few_samples_is_that_of_the_space_they_span(draw: Draw) -> None:
    # In coordinates of the 9 dimensions in which the samples vary, the covariances are regular.
    basis = torch.linalg.qr(draw(64, 9).double()).Q
    real, generated = draw(40, 9).double(), draw(30, 9, seed=1).double() * 2
    inside = fid(real, generated)
    assert fid(real @ basis.T, generated @ basis.T) == pytest.approx(inside, rel=1e-12)


def test_fid_and_floor_of_equal_samples_are_zero(measure: Measure, draw: Draw) -> None:
    features = draw(200, 16)
    values = measure(FrechetDistance(), features, features.flip(0), training=features)
    assert values == {"fid": pytest.approx(0, abs=1e-12), "floor": pytest.approx(0, abs=1e-12)}


def test_fid_does_not_fall_below_zero(draw: Draw) -> None:
    # Also where covariances are singular.
    for seed in range(5):
        features = draw(50, 64, seed=seed).relu()
        assert 0 <= fid(features, features.flip(0)) < 1e-11


def test_the_floor_is_that_of_as_many_training_samples(measure: Measure, draw: Draw) -> None:
    real, training = draw(400, 24), draw(5000, 24, seed=1)
    # Sorted: the first 400 alone would be far off.
    training = training[training[:, 0].argsort()]
    values = measure(FrechetDistance(), real, draw(400, 24, seed=2), training=training)
    assert values["floor"] == pytest.approx(values["fid"], rel=0.2)
    fewer = measure(FrechetDistance(), real, draw(100, 24, seed=2), training=training)
    assert fewer["floor"] > 1.5 * values["floor"]


def test_no_floor_where_nothing_is_held_out(measure: Measure, draw: Draw) -> None:
    values = measure(FrechetDistance(), draw(50, 4), draw(50, 4, seed=1), held_out=False)
    assert list(values) == ["fid"]


def test_one_feature_that_never_changes_does_no_harm(measure: Measure, draw: Draw) -> None:
    real, generated = draw(90, 8), draw(90, 8, seed=1)
    without = measure(FrechetDistance(), real, generated)["fid"]
    padded = [torch.cat([part, torch.ones(90, 4)], dim=1) for part in (real, generated)]
    assert measure(FrechetDistance(), *padded)["fid"] == pytest.approx(without, rel=1e-12)


def test_kid_of_all_samples_as_torch_fidelity_has_it(measure: Measure, draw: Draw) -> None:
    real, generated = draw(300, 32), draw(300, 32, seed=1) * 1.2 + 0.1
    values = measure(KernelDistance(subsets=2, subset_size=300), real, generated)
    expected, _ = fidelity_kid(real, generated, kid_subsets=1, kid_subset_size=300)
    assert values["kid"] == pytest.approx(expected, rel=1e-9)
    assert values["spread"] == pytest.approx(0, abs=1e-9)


def test_kid_of_a_subset_as_torch_fidelity_has_it(draw: Draw) -> None:
    for seed in range(10):
        x, y = draw(50, 32, seed=seed).double(), draw(50, 32, seed=seed + 100).double() + 0.05
        assert squared_mmd(x, y) == pytest.approx(float(kernel_mmd(x.numpy(), y.numpy())), rel=1e-9)


def test_kid_by_hand(draw: Draw) -> None:
    x, y = draw(4, 3).double(), draw(6, 3, seed=1).double()

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within = sum(
        sum(kernel(a, b) for a, b in itertools.permutations(side, 2)) / (len(side) ** 2 - len(side))
        for side in (x, y)
    )
    between = sum(kernel(a, b) for a, b in itertools.product(x, y)) / 24
    assert squared_mmd(x, y) == pytest.approx(within - 2 * between, rel=1e-12)


def test_kid_is_unbiased(draw: Draw) -> None:
    # Of ten samples each of one distribution: the biased estimate would be 1.7 on average.
    pairs = zip(draw(4000, 10, 8).double(), draw(4000, 10, 8, seed=1).double(), strict=True)
    estimates = torch.tensor([squared_mmd(x, y) for x, y in pairs])
    assert estimates.min() < 0
    assert abs(estimates.mean()) < 3 * estimates.std() / 4000**0.5


def test_kid_of_subsets_is_within_its_spread(measure: Measure, draw: Draw) -> None:
    real, generated = draw(900, 32), draw(800, 32, seed=1) * 1.2 + 0.1
    values = measure(KernelDistance(subsets=60, subset_size=200), real, generated)
    mean, deviation = fidelity_kid(real, generated, kid_subsets=60, kid_subset_size=200)
    assert values["spread"] == pytest.approx(deviation, rel=0.3)
    assert abs(values["kid"] - mean) < 4 * deviation / 60**0.5


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


def test_kid_is_about_zero_for_samples_of_one_distribution(measure: Measure, draw: Draw) -> None:
    values = measure(KernelDistance(subset_size=300), draw(2000, 16), draw(2000, 16, seed=1))
    assert abs(values["kid"]) < values["spread"]
