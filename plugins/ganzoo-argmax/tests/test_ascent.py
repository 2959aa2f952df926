"""The ascent against closed forms, and what it must leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from ganzoo_argmax.ascent import climb, input_gradient, shortened
from torch import Tensor, nn

from ganzoo.engine import evaluating

LOW, HIGH = torch.tensor(-1.0), torch.tensor(1.0)
FAR = (torch.tensor(-1e6), torch.tensor(1e6))


class Quadratic(nn.Module):
    """D(x) = -|A (x - top)|^2 / 2 for a diagonal A."""

    def __init__(self, top: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.top, self.scales = nn.Parameter(top), nn.Parameter(scales)

    def forward(self, x: Tensor) -> Tensor:
        return -(self.scales * (x - self.top)).square().flatten(1).sum(1) / 2


class Slope(nn.Module):
    """D(x) = g . x, whose gradient is g everywhere."""

    def __init__(self, gradient: Tensor) -> None:
        super().__init__()
        self.gradient = nn.Parameter(gradient)

    def forward(self, x: Tensor) -> Tensor:
        return (self.gradient * x).flatten(1).sum(1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0))


def test_the_gradient_is_the_slope_of_a_samples_own_logit() -> None:
    discriminator = network().double()
    x = torch.randn(4, 3, dtype=torch.float64)
    gradient = input_gradient(discriminator, x)
    step = 1e-5
    for value in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[value] = step
        slope = (discriminator(x + shift) - discriminator(x - shift)) / (2 * step)
        torch.testing.assert_close(gradient[:, value], slope.detach(), rtol=1e-6, atol=1e-9)


def test_the_top_of_a_quadratic_is_reached() -> None:
    top, scales = torch.tensor([0.3, -0.8]), torch.tensor([1.0, 2.0])
    x = torch.rand(16, 2) * 2 - 1
    end = climb(Quadratic(top, scales), x, low=LOW, high=HIGH, steps=200, step_size=0.2)
    torch.testing.assert_close(end, top.expand(16, 2))


def test_the_top_of_the_box_is_reached_where_the_top_lies_outside() -> None:
    discriminator = Quadratic(torch.tensor([5.0, 0.5]), torch.ones(2))
    low, high = torch.tensor([-1.0, -3.0]), torch.tensor([2.0, 0.0])
    x = torch.zeros(8, 2)
    end = climb(discriminator, x, low=low, high=high, steps=200, step_size=0.2)
    torch.testing.assert_close(end, torch.tensor([2.0, 0.0]).expand(8, 2))


def test_plain_steps_on_a_quadratic_have_their_closed_form() -> None:
    """Every value of x - top shrinks by the factor 1 - step_size scale^2 in a step."""
    top, scales = torch.tensor([0.3, -0.8]), torch.tensor([1.0, 2.0])
    x = torch.tensor([[-0.5, 0.25]])
    end = climb(Quadratic(top, scales), x, low=LOW, high=HIGH, steps=5, step_size=0.1)
    torch.testing.assert_close(end, top + (x - top) * (1 - 0.1 * scales**2) ** 5)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_on_a_slope_the_distance_is_a_geometric_sum(momentum: float, steps: int) -> None:
    """v_k = g (1 + m + ... + m^(k-1)); x moves by step_size times the sum of all v_k."""
    gradient = torch.tensor([1.0, -2.0, 0.5])
    x = torch.zeros(2, 3)
    low, high = FAR
    end = climb(
        Slope(gradient), x, low=low, high=high, steps=steps, step_size=0.1, momentum=momentum
    )
    way = sum(momentum**j for k in range(steps) for j in range(k + 1))
    torch.testing.assert_close(end, (0.1 * way * gradient).expand(2, 3))


def test_logits_rise() -> None:
    discriminator = network()
    x = torch.rand(64, 3) * 2 - 1
    end = climb(discriminator, x, low=LOW, high=HIGH, steps=10, step_size=0.1)
    rise = (discriminator(end) - discriminator(x)).detach()
    assert (rise > 0).all()


def test_noise_has_its_size_and_its_stream() -> None:
    """Without a slope, K steps of noise s have the standard deviation s sqrt(K)."""
    flat, (low, high) = Slope(torch.zeros(3)), FAR

    def walked(seed: int) -> Tensor:
        torch.manual_seed(seed)
        start = torch.zeros(20_000, 3)
        return climb(flat, start, low=low, high=high, steps=4, step_size=0.5, noise=0.1)

    end = walked(1)
    assert end.std().item() == pytest.approx(0.1 * math.sqrt(4), rel=0.02)
    assert abs(end.mean().item()) < 0.005
    assert torch.equal(end, walked(1))
    assert not torch.equal(end, walked(2))


def test_without_noise_nothing_is_drawn() -> None:
    discriminator = network()
    before = torch.get_rng_state()
    climb(discriminator, torch.zeros(2, 3), low=LOW, high=HIGH, steps=3, step_size=0.1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_samples_are_in_the_box_at_every_step(noise: float) -> None:
    inputs: list[Tensor] = []

    class Recorder(Slope):
        def forward(self, x: Tensor) -> Tensor:
            inputs.append(x.detach().clone())
            return super().forward(x)

    start = torch.randn(32, 2) * 5
    discriminator = Recorder(torch.tensor([100.0, -100.0]))
    end = climb(discriminator, start, low=LOW, high=HIGH, steps=4, step_size=1.0, noise=noise)
    assert len(inputs) == 4
    for x in (*inputs, end):
        assert x.min() >= -1
        assert x.max() <= 1


def test_shortened_gradients_keep_their_direction() -> None:
    gradient = torch.stack([torch.full((1, 2, 2), 3.0), torch.full((1, 2, 2), 0.25)])
    short = shortened(torch.cat([gradient, torch.zeros(1, 1, 2, 2)]), 2.0)
    norms = torch.linalg.vector_norm(short.flatten(1), dim=1)
    torch.testing.assert_close(norms, torch.tensor([2.0, 0.5, 0.0]))
    torch.testing.assert_close(short[0], torch.full((1, 2, 2), 1.0))
    assert torch.equal(short[1], gradient[1]), "a short gradient stays as it is"


def test_a_step_is_no_longer_than_the_bound_on_the_gradient_says() -> None:
    x = torch.zeros(2, 3)
    low, high = FAR
    end = climb(
        Slope(torch.tensor([30.0, 0.0, 40.0])),
        x,
        low=low,
        high=high,
        steps=3,
        step_size=0.5,
        longest_gradient=2.0,
    )
    expected = 3 * 0.5 * 2.0 * torch.tensor([0.6, 0.0, 0.8])
    torch.testing.assert_close(end, expected.expand(2, 3))


@pytest.mark.parametrize("frozen", [False, True])
def test_the_discriminators_gradients_and_flags_are_untouched(frozen: bool) -> None:
    discriminator = network()
    discriminator(torch.ones(1, 3)).sum().backward()
    for weight in discriminator.parameters():
        weight.requires_grad_(not frozen)
    before = [
        weight.grad.clone() for weight in discriminator.parameters() if weight.grad is not None
    ]
    with torch.no_grad():
        end = climb(discriminator, torch.zeros(2, 3), low=LOW, high=HIGH, steps=3, step_size=0.1)
    assert not end.requires_grad
    assert end.grad_fn is None
    assert end.abs().sum() > 0
    assert len(before) == 4
    for weight, gradient in zip(discriminator.parameters(), before, strict=True):
        assert weight.grad is not None
        assert torch.equal(weight.grad, gradient)
        assert weight.requires_grad is not frozen


def test_the_start_is_not_changed() -> None:
    x = torch.full((2, 3), 7.0, requires_grad=True)
    climb(network(), x, low=LOW, high=HIGH, steps=2, step_size=0.1, noise=0.1)
    assert (x == 7).all()
    assert x.grad is None


def test_every_part_of_the_discriminator_gets_its_mode_back() -> None:
    modes: list[bool] = []

    class Recorder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(self.training)
            return x.sum(1)

    resting = nn.Dropout(0.5).eval()
    discriminator = nn.Sequential(nn.Dropout(0.5), resting, Recorder())
    climb(discriminator, torch.zeros(2, 3), low=LOW, high=HIGH, steps=2, step_size=0.1)
    assert modes == [False, False]
    assert [part.training for part in discriminator.modules()] == [True, True, False, True]
    with pytest.raises(RuntimeError), evaluating(discriminator):
        raise RuntimeError
    assert [part.training for part in discriminator.modules()] == [True, True, False, True]


def test_spectral_normalisation_is_not_updated() -> None:
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)).train()
    discriminator = nn.Sequential(layer, nn.Linear(4, 1), nn.Flatten(0))
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    climb(discriminator, torch.zeros(2, 3), low=LOW, high=HIGH, steps=3, step_size=0.1)
    for name, value in discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
