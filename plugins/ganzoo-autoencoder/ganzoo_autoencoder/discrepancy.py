"""The maximum mean discrepancy between two sets of points (Gretton et al. 2012).

Kernel and estimate as in Tolstikhin et al. 2018 (arXiv:1711.01558). Shapes: sets `(N, d)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths of the kernels of the authors' code, as multiples of the paper's C."""

VARIANCES = {"normal": 1.0, "uniform": 1 / 3}
"""Variance of one value of a latent: standard normal, or uniform on [-1, 1]."""


def kernel_widths(latent_dim: int, distribution: str) -> tuple[float, ...]:
    """C of each kernel, in squared units of the latents.

    The paper's C = 2 d sigma^2 is the mean squared distance between two latents.
    """
    width = 2 * latent_dim * VARIANCES[distribution]
    return tuple(scale * width for scale in SCALES)


def kernel(x: Tensor, y: Tensor, widths: Sequence[float]) -> Tensor:
    """Sum over the widths C of C / (C + ||x - y||^2) for all pairs, `(N, M)`."""
    # Differences, not products of matrices, which cancel badly for points close together.
    distances = (x[:, None] - y[None]).square().sum(2)
    return torch.stack([width / (width + distances) for width in widths]).sum(0)


def squared_mmd(x: Tensor, y: Tensor, widths: Sequence[float]) -> Tensor:
    """Unbiased estimate of the squared discrepancy of two sets of N points, N > 1; 0-d.

    The mean kernel of different points of x, plus that of y, minus twice that of all pairs
    (x, y). It is 0 on average for sets of the same distribution, and may be negative.
    """
    N = len(x)
    others = 1 - torch.eye(N, dtype=x.dtype, device=x.device)
    within = (kernel(x, x, widths) + kernel(y, y, widths)) * others
    return within.sum() / (N * (N - 1)) - 2 * kernel(x, y, widths).mean()
