"""Precision, recall, density and coverage, and the nearest neighbours under them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ganzoo_metrics import DensityCoverage, PrecisionRecall, neighbours
from ganzoo_metrics.neighbours import distance_blocks, nearest_distances, neighbour_radii
from prdc import compute_prdc
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


@pytest.fixture(params=[1000, 37])
def _rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in one block, and in several with a smaller last one."""
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", request.param)


@pytest.mark.usefixtures("_rows")
def test_distances_as_numpy_has_them(draw: Draw) -> None:
    x, y = draw(90, 5), draw(120, 5, seed=1)
    expected = np.linalg.norm(x.double().numpy()[:, None] - y.double().numpy(), axis=2)
    assert torch.cat([rows for rows, _ in distance_blocks(x, y)]).tolist() == list(range(90))
    values = torch.cat([distances for _, distances in distance_blocks(x, y)])
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(nearest_distances(x, y).numpy(), expected.min(axis=1), rtol=1e-12)
    own = np.linalg.norm(x.double().numpy()[:, None] - x.double().numpy(), axis=2)
    own = np.sort(own, axis=1)
    np.testing.assert_allclose(neighbour_radii(x, 3).numpy(), own[:, 3], rtol=1e-10)
    np.testing.assert_allclose(nearest_distances(x).numpy(), own[:, 1], rtol=1e-12)


def test_equal_rows_far_from_the_middle_are_at_a_distance_of_zero(draw: Draw) -> None:
    x = draw(50, 64) * 1000
    assert nearest_distances(x, x.flip(0)).tolist() == [0] * 50
    assert nearest_distances(torch.cat([x, x])).tolist() == [0] * 100


def test_narrow_modes_far_apart_keep_their_radii(draw: Draw) -> None:
    x = draw(40, 2).double() * 1e-3
    expected = neighbour_radii(x, 3)
    torch.testing.assert_close(neighbour_radii(x + 1000, 3), expected, rtol=1e-5, atol=0)
    far = torch.cat([x, x + 100])
    torch.testing.assert_close(neighbour_radii(far, 3)[:40], expected, rtol=1e-5, atol=0)


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize(("shift", "scale", "k"), [(0.0, 1.0, 3), (0.6, 0.7, 3), (0.3, 1.4, 5)])
def test_as_torch_fidelity_and_prdc_have_them(
    shift: float, scale: float, k: int, measure: Measure, draw: Draw
) -> None:
    real, generated = draw(250, 8), draw(250, 8, seed=1) * scale + shift
    precision_recall = measure(PrecisionRecall(neighbours=k), real, generated)
    fidelity = prc_features_to_metric(
        generated.double(), real.double(), prc_neighborhood=k, save_cpu_ram=False, verbose=False
    )
    assert precision_recall == {
        "precision": pytest.approx(fidelity["precision"], rel=1e-6),
        "recall": pytest.approx(fidelity["recall"], rel=1e-6),
    }
    authors = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=k)
    density_coverage = measure(DensityCoverage(neighbours=k), real, generated)
    # prdc counts a sample to its own neighbours, in radii as in density, and so do we.
    assert {**precision_recall, **density_coverage} == pytest.approx(authors, rel=1e-6)
    assert 0 < precision_recall["precision"] < 1
    assert 0 < density_coverage["coverage"] < 1


def test_points_on_a_line_by_hand(measure: Measure) -> None:
    # With k = 1 the balls around 0, 1, 3, 7 have the radii 1, 1, 2, 4.
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    # And those around -1, 4, 4.5, 20 the radii 5, 0.5, 0.5, 15.5.
    generated = torch.tensor([[-1.0], [4.0], [4.5], [20.0]])
    # -1 is on the border of 0's ball; 4 and 4.5 are in those of 3 and 7; 20 is in none. Three of
    # the real ones are in the ball of -1, and 7 in that of 20.
    values = measure(PrecisionRecall(neighbours=1), real, generated)
    assert values == {"precision": 0.75, "recall": 1}
    swapped = measure(PrecisionRecall(neighbours=1), generated, real)
    assert swapped == {"precision": 1, "recall": 0.75}
    # Without borders 0's ball holds none, and those of 3 and 7 two each.
    values = measure(DensityCoverage(neighbours=1), real, generated)
    assert values == {"density": 1, "coverage": 0.5}


def test_equal_samples(measure: Measure, draw: Draw) -> None:
    x = draw(300, 12)
    assert measure(PrecisionRecall(), x, x) == {"precision": 1, "recall": 1}
    assert measure(DensityCoverage(), x, x) == {"density": pytest.approx(1), "coverage": 1}


def test_samples_of_one_distribution(measure: Measure, draw: Draw) -> None:
    values = measure(DensityCoverage(), draw(3000, 4), draw(3000, 4, seed=1))
    assert values["density"] == pytest.approx(1, abs=0.05)
    assert values["coverage"] == pytest.approx(1 - 2**-5, abs=0.015)


def test_a_collapsed_generator_is_precise_and_recalls_nothing(measure: Measure, draw: Draw) -> None:
    real = draw(500, 6)
    generated = real[:1] + 1e-3 * draw(500, 6, seed=1)
    assert measure(PrecisionRecall(), real, generated) == {
        "precision": 1,
        "recall": pytest.approx(0, abs=0.002),
    }
    assert measure(DensityCoverage(), real, generated)["coverage"] < 0.02


def test_as_many_of_both_are_used_and_they_are_the_first(measure: Measure, draw: Draw) -> None:
    real, generated = draw(100, 6), draw(300, 6, seed=1)
    for spec in (PrecisionRecall(), DensityCoverage()):
        assert measure(spec, real, generated) == measure(spec, real, generated[:100])
        assert measure(spec, generated, real) == measure(spec, generated[:100], real)
