"""Wasserstein distances against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from ganzoo_metrics import WassersteinDistance
from scipy.stats import norm, wasserstein_distance
from torch import Tensor

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def test_a_shifted_cloud_is_as_far_as_it_was_shifted(measure: Measure, draw: Draw) -> None:
    points = draw(300, 2)
    values = measure(WassersteinDistance(directions=4000), points, points + torch.tensor([3.0, 4]))
    assert values["exact"] == pytest.approx(5, rel=1e-6)
    # A projection is shifted by 5 |cos|, whose mean over the circle is 2 / pi.
    assert values["sliced"] == pytest.approx(5 * 2 / math.pi, rel=0.02)


def test_five_dimensions(measure: Measure, draw: Draw) -> None:
    points = draw(200, 5)
    values = measure(WassersteinDistance(directions=4000), points, points + torch.tensor([2.0] * 5))
    assert values["exact"] == pytest.approx(2 * 5**0.5, rel=1e-6)
    # E|u| of one coordinate of the sphere in D dimensions: G(D/2) / (sqrt(pi) G((D + 1)/2)).
    factor = math.gamma(2.5) / (math.sqrt(math.pi) * math.gamma(3))
    assert values["sliced"] == pytest.approx(2 * 5**0.5 * factor, rel=0.03)


def test_the_exact_distance_is_the_best_of_all_matchings(measure: Measure, draw: Draw) -> None:
    x, y = draw(6, 2), draw(6, 2, seed=1)
    best = min(float((x - y[list(order)]).norm(dim=1).mean()) for order in permutations(range(6)))
    assert measure(WassersteinDistance(), x, y)["exact"] == pytest.approx(best, rel=1e-5)


def test_one_dimension_is_exact_for_all_points(measure: Measure, draw: Draw) -> None:
    real, generated = draw(5000, 1), draw(3000, 1, seed=1) * 2 + 1
    values = measure(WassersteinDistance(samples=10), real, generated)
    expected = wasserstein_distance(real[:, 0].numpy(), generated[:, 0].numpy())
    assert values == {
        "exact": pytest.approx(expected, rel=1e-5),
        "sliced": pytest.approx(expected, rel=1e-5),
    }


def test_two_gaussians_by_their_quantiles(measure: Measure) -> None:
    places = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    standard = torch.from_numpy(norm.ppf(places.numpy()))[:, None]
    wide = 3 * standard + 1
    # |F^-1 - G^-1| = |2 q + 1| for a standard normal q: the mean of a folded normal.
    expected = 2 * math.sqrt(2 / math.pi) * math.exp(-1 / 8) + 1 - 2 * norm.cdf(-0.5)
    values = measure(WassersteinDistance(), standard.float(), wide.float())
    assert values["exact"] == pytest.approx(expected, rel=1e-3)


def test_equal_points_are_at_no_distance(measure: Measure, draw: Draw) -> None:
    for dimension in (1, 3):
        points = draw(400, dimension)
        values = measure(WassersteinDistance(), points, points.flip(0))
        assert values == {
            "exact": pytest.approx(0, abs=1e-6),
            "sliced": pytest.approx(0, abs=1e-9),
        }


def test_the_first_points_make_the_exact_distance(measure: Measure, draw: Draw) -> None:
    real, generated = draw(200, 2), draw(300, 2, seed=1)
    values = measure(WassersteinDistance(samples=50), real, generated)
    first = measure(WassersteinDistance(samples=50), real[:50], generated[:50])
    assert values["exact"] == first["exact"]
    assert values["sliced"] != first["sliced"]


def test_different_numbers_of_points(measure: Measure) -> None:
    # One point against two: half of it goes to each.
    values = measure(
        WassersteinDistance(), torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    )
    assert values["exact"] == pytest.approx(2)
