"""The known distributions and the points drawn from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ganzoo_data import Gaussian1D, Grid, Ring
from ganzoo_data.mixture import GaussianMixture
from ganzoo_data.points import draw_data, grid_means, ring_means
from torch import distributions

from ganzoo.engine import Data, Samples

Build = Callable[..., Data]

SPECS = [Gaussian1D(mean=4.0, std=0.5, samples=20_000), Ring(), Grid()]


def reference(mixture: GaussianMixture) -> distributions.Distribution:
    means = mixture.means.double()
    return distributions.MixtureSameFamily(
        distributions.Categorical(torch.ones(len(means), dtype=torch.float64)),
        distributions.Independent(distributions.Normal(means, mixture.std), 1),
    )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.type)
def test_density_equals_that_of_torch_distributions(spec: Ring, build: Build) -> None:
    data = build(spec)
    near = data.train.values[:500]
    far = near * 3 + 1
    for x in (near, far):
        expected = reference(data.density).log_prob(x.double())
        exact = data.density.log_prob(x.double())
        assert exact.shape == (500,)
        assert torch.allclose(exact, expected, rtol=1e-12, atol=1e-9)
        rough = data.density.log_prob(x)
        assert rough.dtype == torch.float32
        assert torch.allclose(rough.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("means", [[[4.0]], [[-2.0], [0.5], [3.0]]])
def test_density_integrates_to_one_on_the_line(means: list[list[float]]) -> None:
    x = torch.linspace(-10, 12, 20_001, dtype=torch.float64)
    density = GaussianMixture(torch.tensor(means), 0.3).log_prob(x[:, None]).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-9)


def test_density_integrates_to_one_in_the_plane() -> None:
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    mixture = GaussianMixture(torch.tensor(ring_means(8, 1.0)), 0.2)
    density = mixture.log_prob(torch.cartesian_prod(x, x)).exp().view(401, 401)
    total = torch.trapezoid(torch.trapezoid(density, x), x)
    assert total.item() == pytest.approx(1, abs=1e-9)


def test_density_is_finite_and_has_a_gradient_far_away() -> None:
    x = torch.full((1, 2), 1e4, requires_grad=True)
    value = GaussianMixture(torch.tensor(grid_means(5, 2.0)), 0.05).log_prob(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert (gradient < 0).all()


def test_places_of_the_modes() -> None:
    assert ring_means(4, 2.0) == [
        pytest.approx(place, abs=1e-12) for place in [(2, 0), (0, 2), (-2, 0), (0, -2)]
    ]
    places = grid_means(5, 2.0)
    assert len(set(places)) == 25
    assert places[:2] == [(-4, -4), (-2, -4)]
    assert {x for x, _ in places} == {y for _, y in places} == {-4, -2, 0, 2, 4}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.type)
def test_points_follow_their_distribution(spec: Ring, build: Build) -> None:
    data = build(spec)
    for part in (data.train, data.held_out):
        assert len(part) == spec.samples
        component = part.labels if part.labels is not None else torch.zeros(len(part)).long()
        offsets = (part.values - data.density.means[component]).double() / spec.std
        deviation = 1 / math.sqrt(offsets.numel())
        assert abs(float(offsets.mean())) < 5 * deviation
        assert abs(float(offsets.std()) - 1) < 5 * deviation
        expected = len(part) / len(data.density.means)
        counts = component.bincount(minlength=len(data.density.means))
        assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


def test_sample_and_draw_agree() -> None:
    mixture = GaussianMixture(torch.tensor(ring_means(8, 1.0)), 0.01)
    points, modes = mixture.draw(50, torch.Generator().manual_seed(3))
    assert torch.equal(mixture.sample(50, torch.Generator().manual_seed(3)), points)
    assert (points - mixture.means[modes]).norm(dim=1).max() < 0.06


def test_every_set_and_part_has_points_of_its_own() -> None:
    one, other = (draw_data(name, [(0.0,)], 1.0, 100, labelled=False) for name in ("a", "b"))
    parts = [one.train, one.held_out, other.train, other.held_out]
    assert len({part.values.numpy().tobytes() for part in parts if isinstance(part, Samples)}) == 4
