"""The metric that counts modes."""

from __future__ import annotations

import math

import pytest
import torch
from ganzoo_data import Modes, Ring
from ganzoo_data.mixture import GaussianMixture
from ganzoo_data.modes import ModeCount
from ganzoo_data.points import ring_means
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.api import BuildContext, RunError

MEANS = torch.tensor(ring_means(8, 1.0))


def count(*batches: torch.Tensor) -> dict[str, float]:
    metric = ModeCount(means=MEANS, std=0.01)
    for batch in batches:
        metric.update(batch, real=False)
    return metric.compute()


def test_everything_on_one_mode() -> None:
    values = count(MEANS[3].repeat(50, 1))
    assert values == {"covered": 1, "high-quality": 1, "kl": pytest.approx(math.log(8))}


def test_one_on_every_mode() -> None:
    assert count(MEANS) == {"covered": 8, "high-quality": 1, "kl": pytest.approx(0, abs=1e-12)}


def test_an_uneven_distribution_has_the_divergence_of_its_counts() -> None:
    values = count(MEANS[[0, 0, 0, 1]])
    expected = math.log(8) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert values == {"covered": 2, "high-quality": 1, "kl": pytest.approx(expected)}


def test_samples_far_from_all_modes_belong_to_none() -> None:
    outside = MEANS[:2] * 1.031
    inside = MEANS[:2] * 1.029
    assert count(outside, inside) == {
        "covered": 2,
        "high-quality": 0.5,
        "kl": pytest.approx(math.log(4)),
    }


def test_samples_of_the_mixture_itself() -> None:
    mixture = GaussianMixture(MEANS, 0.01)
    values = count(mixture.sample(100_000, torch.Generator().manual_seed(0)))
    # In the plane the distance of a sample in units of std has a Rayleigh distribution.
    assert values["high-quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.0017)
    assert values["covered"] == 8
    assert 0 <= values["kl"] < 3e-4


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_without_a_sample_near_a_mode_the_divergence_is_the_worst(value: float) -> None:
    values = count(torch.full((4, 2), value))
    assert values == {"covered": 0, "high-quality": 0, "kl": pytest.approx(math.log(8))}


def test_samples_that_are_no_numbers_count_as_far() -> None:
    values = count(torch.cat([MEANS, torch.full((8, 2), math.nan)]))
    assert values == {"covered": 8, "high-quality": 0.5, "kl": pytest.approx(0, abs=1e-12)}


def test_real_samples_are_ignored() -> None:
    metric = ModeCount(means=MEANS, std=0.01)
    metric.update(MEANS, real=True, labels=torch.arange(8))
    with pytest.raises(RunError, match="metric 'modes' was given no generated samples"):
        metric.compute()
    metric.update(MEANS[:1], real=False)
    assert metric.compute()["covered"] == 1


@settings(deadline=None, max_examples=40)
@given(
    places=st.lists(st.integers(0, 15), min_size=1, max_size=40),
    cut=st.integers(0, 40),
    data=st.data(),
)
def test_neither_order_nor_batches_matter(places: list[int], cut: int, data: st.DataObject) -> None:
    points = torch.cat([MEANS, MEANS * 1.2])[places]
    other = torch.cat([MEANS, MEANS * 1.2])[data.draw(st.permutations(places))]
    assert count(points) == count(other[:cut], other[cut:])


def test_built_around_the_density_of_the_data() -> None:
    spec = Ring(modes=5, samples=2000, std=0.02)
    data = spec.build(BuildContext(sample_shape=(2,), latent_dim=2))
    assert next(iter(Modes.needs)) == "data.modes"
    assert "modes" in spec.provides
    metric = Modes().build(BuildContext(sample_shape=(2,), latent_dim=2, data=data))
    metric.update(data.train.values, real=False)
    values = metric.compute()
    assert values["covered"] == 5
    assert values["high-quality"] == pytest.approx(0.989, abs=0.01)
