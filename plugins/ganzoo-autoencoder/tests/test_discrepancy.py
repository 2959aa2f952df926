"""The estimate of the discrepancy against loops and against its expectation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from ganzoo_autoencoder.discrepancy import SCALES, kernel_widths, squared_mmd
from torch import Tensor


def by_loops(x: Tensor, y: Tensor, widths: Sequence[float]) -> float:
    def k(a: Tensor, b: Tensor) -> float:
        distance = sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True))
        return sum(width / (width + distance) for width in widths)

    N = len(x)
    total = 0.0
    for i in range(N):
        for j in range(N):
            if i != j:
                total += (k(x[i], x[j]) + k(y[i], y[j])) / (N * (N - 1))
            total -= 2 * k(x[i], y[j]) / N**2
    return total


def test_against_loops() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(7, 3, dtype=torch.float64), 1 + torch.randn(7, 3, dtype=torch.float64)
    widths = kernel_widths(3, "normal")
    assert squared_mmd(x, y, widths).item() == pytest.approx(by_loops(x, y, widths), abs=1e-12)


def test_widths_are_multiples_of_the_mean_squared_distance_of_two_latents() -> None:
    torch.manual_seed(0)
    for distribution, z in (
        ("normal", torch.randn(2, 100_000, 3)),
        ("uniform", torch.rand(2, 100_000, 3) * 2 - 1),
    ):
        measured = (z[0] - z[1]).square().sum(1).mean().item()
        widths = kernel_widths(3, distribution)
        assert [width / measured for width in widths] == pytest.approx(SCALES, rel=0.02)
    assert kernel_widths(3, "normal") == pytest.approx([6 * scale for scale in SCALES])


def test_it_is_unbiased() -> None:
    """Means over many small batches agree with one large batch; 0 for equal distributions."""
    torch.manual_seed(0)
    widths = kernel_widths(2, "normal")

    def mean_and_error(shift: float) -> tuple[float, float]:
        sets = torch.randn(2, 4000, 4, 2)
        values = torch.vmap(partial(squared_mmd, widths=widths))(sets[0] + shift, sets[1])
        return values.mean().item(), values.std().item() / 4000**0.5

    mean, error = mean_and_error(0.0)
    assert abs(mean) < 4 * error
    mean, error = mean_and_error(1.0)
    large = squared_mmd(torch.randn(1000, 2) + 1, torch.randn(1000, 2), widths).item()
    assert mean == pytest.approx(large, abs=4 * error + 0.02)
    assert mean > 10 * error


def test_a_large_sample_of_the_same_distribution_is_near_zero_and_may_be_below() -> None:
    torch.manual_seed(0)
    widths = kernel_widths(4, "normal")
    values = [
        squared_mmd(torch.randn(500, 4), torch.randn(500, 4), widths).item() for _ in range(10)
    ]
    assert max(map(abs, values)) < 0.02
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize(
    ("spread", "shift", "towards_zero"), [(1.0, 3.0, True), (3.0, 0.0, True), (0.3, 0.0, False)]
)
def test_it_pulls_codes_to_the_mean_and_spread_of_latents(
    spread: float, shift: float, towards_zero: bool
) -> None:
    torch.manual_seed(0)
    codes = (shift + spread * torch.randn(300, 2)).requires_grad_()
    squared_mmd(codes, torch.randn(300, 2), kernel_widths(2, "normal")).backward()
    assert codes.grad is not None
    inwards = (codes.grad * codes).sum() / codes.norm() / codes.grad.norm()
    assert inwards > 0.1 if towards_zero else inwards < -0.1


def test_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(5, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: squared_mmd(x, y, kernel_widths(2, "uniform")), x)
