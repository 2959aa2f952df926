"""Distances against torch's own distributions, at saturation, and by finite differences."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from ganzoo_autoencoder.distances import (
    DISTANCES,
    FLOOR,
    absolute,
    bernoulli,
    gaussian,
    halved,
    laplacian_pyramid,
    reconstruction,
    squared,
)
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from ganzoo.api import Networks
from ganzoo.engine.step import Batch, Step

ALL = [*DISTANCES.values(), gaussian(0.3), laplacian_pyramid]


def images(*shape: int, seed: int = 0) -> Tensor:
    """Pixels in (-1, 1)."""
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=stream, dtype=torch.float64) * 1.9 - 0.95


def test_sums_over_values_and_means_over_the_batch() -> None:
    decoded = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert squared(decoded, x) == (1 + 4 + 9) / 2
    assert absolute(decoded, x) == (1 + 2 + 3) / 2


def test_bernoulli_is_a_likelihood_of_black_and_white_pixels() -> None:
    decoded, x = images(5, 1, 4, 4), images(5, 1, 4, 4, seed=1).sign()
    distribution = Bernoulli(probs=(1 + decoded) / 2)
    nats = -distribution.log_prob((1 + x) / 2).flatten(1).sum(1).mean()
    torch.testing.assert_close(bernoulli(decoded, x), nats, atol=1e-3, rtol=0)


def test_bernoulli_is_the_cross_entropy_of_grey_pixels() -> None:
    logits, x = 2 * images(5, 1, 4, 4), images(5, 1, 4, 4, seed=1)
    # (1 + tanh(l)) / 2 = sigmoid(2 l)
    nats = binary_cross_entropy_with_logits(2 * logits, (1 + x) / 2, reduction="sum") / 5
    torch.testing.assert_close(bernoulli(logits.tanh(), x), nats, atol=1e-3, rtol=0)


@pytest.mark.parametrize("logit", [0.0, 1.0, 4.0, -4.0, 5.0, -5.0])
def test_bernoulli_passes_through_a_tanh_as_logits_would(logit: float) -> None:
    logits = torch.full((1, 1, 1, 3), logit, requires_grad=True)
    x = torch.tensor([-1.0, 0.2, 1.0]).view(1, 1, 1, 3)
    bernoulli(logits.tanh(), x).backward()
    expected = 2 * ((2 * logits).sigmoid() - (1 + x) / 2)
    torch.testing.assert_close(logits.grad, expected.detach(), atol=1e-5, rtol=0.05)


def test_bernoulli_is_finite_and_has_a_gradient_at_saturation() -> None:
    logits = torch.tensor([8.0, -8.0, 30.0, -30.0], requires_grad=True)
    wrong = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    nats = bernoulli(logits.tanh()[None], wrong[None])
    assert nats.isfinite()
    assert nats <= -4 * torch.tensor(FLOOR).log()
    nats.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0] > 0.1
    assert logits.grad[1] < -0.1


def test_bernoulli_decodes_in_float32_and_the_others_as_the_run_does() -> None:
    dtypes = []

    class Decoder(nn.Linear):
        def forward(self, z: Tensor) -> Tensor:
            y = super().forward(z).tanh()
            dtypes.append(y.dtype)
            return y.float().view(-1, 1, 2, 2)

    step = Step(
        "joint",
        Networks({"generator": Decoder(3, 4)}),
        Batch(torch.zeros(2, 1, 2, 2), torch.zeros(2, 3)),
    )
    codes = torch.randn(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        for distance in (squared, bernoulli, absolute):
            assert reconstruction(distance, step, codes).dtype == torch.float32
    assert dtypes == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_gaussian_is_the_likelihood_with_its_constant() -> None:
    decoded, x = images(5, 2, 3, 3), images(5, 2, 3, 3, seed=1)
    nats = -Normal(decoded, 0.3).log_prob(x).flatten(1).sum(1).mean()
    torch.testing.assert_close(gaussian(0.3)(decoded, x), nats)


@pytest.mark.parametrize("distance", ALL)
def test_gradients(distance: object) -> None:
    x = images(2, 1, 5, 6, seed=1)
    decoded = images(2, 1, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(partial(distance, x=x), decoded)  # type: ignore[call-arg]


@pytest.mark.parametrize("distance", [squared, absolute, laplacian_pyramid])
def test_the_distance_of_a_sample_to_itself_is_zero(distance: object) -> None:
    x = images(2, 3, 8, 8)
    assert distance(x, x) == 0  # type: ignore[operator]
    assert distance(x + 0.1, x) > 0  # type: ignore[operator]


def test_the_two_probabilities_of_a_pixel_add_up_to_one() -> None:
    black, white = -torch.ones(1, 1, 1, 1).double(), torch.ones(1, 1, 1, 1).double()
    for decoded in (black, white, white / 3):
        total = sum((-bernoulli(decoded, x)).exp() for x in (black, white))
        assert float(total) == pytest.approx(1, abs=1e-12)


def test_bernoulli_has_its_minimum_at_the_sample_itself() -> None:
    x = images(2, 1, 4, 4)
    decoded = x.clone().requires_grad_()
    bernoulli(decoded, x).backward()
    assert decoded.grad is not None
    assert decoded.grad.abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 7, 7), (2, 1, 28, 28), (1, 3, 5, 6)])
def test_half_the_side_keeps_constants_and_channels_apart(shape: tuple[int, ...]) -> None:
    levels = torch.arange(1.0, shape[1] + 1, dtype=torch.float64).view(1, -1, 1, 1)
    coarse, expanded = halved(levels.expand(shape))
    assert coarse.shape == (*shape[:2], (shape[2] + 1) // 2, (shape[3] + 1) // 2)
    torch.testing.assert_close(coarse, levels.expand(coarse.shape))
    torch.testing.assert_close(expanded, levels.expand(shape))


def test_the_filter_inside_a_picture_is_the_binomial_one() -> None:
    point = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    point[0, 0, 8, 8] = 256
    coarse, _ = halved(point)
    row = torch.tensor([1.0, 6.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(coarse[0, 0, 3:6, 3:6], torch.outer(row, row))
    assert coarse.sum() == 64


def test_the_pyramid_weighs_a_shift_of_brightness_by_its_coarsest_level() -> None:
    """A constant lives in the last level only: 4 by 4 values, weighted by 4 per halving."""
    x = images(3, 1, 16, 16)
    expected = torch.tensor(0.1 * 4 * 4 * 4**2, dtype=torch.float64)
    torch.testing.assert_close(laplacian_pyramid(x + 0.1, x), expected)


def test_the_pyramid_of_a_small_picture_is_the_picture() -> None:
    decoded, x = images(3, 1, 4, 4), images(3, 1, 4, 4, seed=1)
    torch.testing.assert_close(laplacian_pyramid(decoded, x), absolute(decoded, x))
