"""Courses over a run, and the penalties whose weight follows one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganzoo_losses import R1, R2
from ganzoo_losses.courses import cosine, linear
from ganzoo_losses.penalties import squared_norm
from torch import Tensor, nn

from ganzoo.api import Batch, BuildContext, Networks

CONTEXT = BuildContext(sample_shape=(2,), latent_dim=2, iterations=1000)
BOTH = pytest.mark.parametrize("spec", [R1, R2])


def networks_and_batch(iteration: float) -> tuple[Networks, Batch]:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    networks = Networks(nn.Linear(2, 2), critic, None)  # type: ignore[arg-type]
    x, z = torch.randn(2, 5, 2)
    return networks, Batch(x, z, None, torch.arange(5), torch.tensor(iteration))


def norm_at_the_samples(spec: Any, networks: Networks, batch: Batch) -> Tensor:
    samples = batch.x if spec is R1 else networks.generator(batch.z)
    return squared_norm(networks.discriminator, samples)


# A cosine has covered (1 - cos 45 degrees) / 2 of its way after a quarter of the time.
QUARTER = (1 - 2**-0.5) / 2


@pytest.mark.parametrize(
    ("iteration", "line", "curve"),
    [
        (0.0, 2.0, 2.0),
        (100.0, 1.8, 2 - 0.8 * QUARTER),
        (200.0, 1.6, 1.6),
        (300.0, 1.4, 1.2 + 0.8 * QUARTER),
        (400.0, 1.2, 1.2),
        (401.0, 1.2, 1.2),
        (5000.0, 1.2, 1.2),
    ],
)
def test_courses(iteration: float, line: float, curve: float) -> None:
    now = torch.tensor(iteration)
    for course, expected in ((linear, line), (cosine, curve)):
        value = course(2.0, 1.2, 400.0)(now)
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected)
        rising = course(1.2, 2.0, 400.0)(now)
        assert rising.item() == pytest.approx(3.2 - expected)


def test_a_cosine_starts_and_ends_gently() -> None:
    course = cosine(1.0, 0.0, 100.0)
    values = torch.stack([course(torch.tensor(float(now))) for now in range(101)])
    steps = -values.diff()
    assert (steps > 0).all()
    assert steps[0] < 0.001
    assert steps[-1] < 0.001
    assert steps.argmax().item() in (49, 50)


@BOTH
def test_without_a_final_gamma_the_weight_is_the_same_throughout(spec: Any) -> None:
    for iteration in (0.0, 250.0, 999.0):
        networks, batch = networks_and_batch(iteration)
        terms = spec(gamma=0.7, annealed=0.2).build(CONTEXT).compute(networks, batch)
        assert set(terms) == {"penalty"}
        expected = 0.7 / 2 * norm_at_the_samples(spec, networks, batch)
        assert torch.equal(terms["penalty"], expected)


@BOTH
@pytest.mark.parametrize(
    ("iteration", "gamma"),
    [(0.0, 2.0), (100.0, 2 - 1.8 * QUARTER), (200.0, 1.1), (400.0, 0.2), (999.0, 0.2)],
)
def test_gamma_goes_to_its_final_value(spec: Any, iteration: float, gamma: float) -> None:
    networks, batch = networks_and_batch(iteration)
    annealed = spec(gamma=2.0, final_gamma=0.2, annealed=0.4)
    terms = annealed.build(CONTEXT).compute(networks, batch)
    expected = gamma / 2 * norm_at_the_samples(spec, networks, batch)
    torch.testing.assert_close(terms["penalty"], expected)
    assert terms["penalty"].requires_grad
    assert not terms["gamma"].requires_grad, "a statistic"
    assert terms["gamma"].item() == pytest.approx(gamma)


@BOTH
def test_a_final_gamma_of_zero_is_one(spec: Any) -> None:
    networks, batch = networks_and_batch(1000.0)
    terms = spec(final_gamma=0.0, annealed=1.0).build(CONTEXT).compute(networks, batch)
    assert terms["penalty"].item() == pytest.approx(0, abs=1e-6)
    assert terms["penalty"].requires_grad, "still a term, of no weight"


@BOTH
def test_the_engines_counter_may_move_on_in_place(spec: Any) -> None:
    networks, batch = networks_and_batch(0.0)
    penalty = spec(gamma=2.0, final_gamma=0.2, annealed=0.4).build(CONTEXT)
    before = penalty.compute(networks, batch)
    batch.iteration.fill_(400)
    after = penalty.compute(networks, batch)
    assert before["gamma"].item() == pytest.approx(2)
    torch.testing.assert_close(after["penalty"], before["penalty"] / 10)


@BOTH
def test_nothing_waits_for_the_device(spec: Any) -> None:
    """Tensors of the device `meta` have no values; asking for one raises."""
    with torch.device("meta"):
        networks, batch = networks_and_batch(3.0)
    terms = spec(final_gamma=1.0).build(CONTEXT).compute(networks, batch)
    assert terms["penalty"].device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        terms["penalty"].item()
