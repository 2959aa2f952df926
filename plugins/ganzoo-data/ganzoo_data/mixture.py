"""A mixture of equal Gaussians, as the known distribution of points."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class GaussianMixture:
    """K Gaussians of equal weight and equal standard deviation in every direction.

    `means` is float32 `(K, D)`; `std` is shared by all components and directions.
    """

    def __init__(self, means: Tensor, std: float) -> None:
        self.means = means
        self.std = std

    def log_prob(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density, `(N, D)` to `(N,)`, in nats.

        Computed on the device and in the precision of `x`, and differentiable with respect to
        it; the sum over components is taken by logsumexp, so it stays finite far away.
        """
        components, dimension = self.means.shape
        squares = (x[:, None] - self.means.to(x)).square().sum(-1)
        constant = math.log(components) + dimension / 2 * math.log(2 * math.pi * self.std**2)
        return torch.logsumexp(squares / (-2 * self.std**2), dim=1) - constant

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` points float32 `(n, D)` and the component of each, int64 `(n,)`, on the CPU."""
        components, dimension = self.means.shape
        chosen = torch.randint(components, (n,), generator=generator)
        noise = torch.randn(n, dimension, generator=generator)
        return self.means[chosen] + self.std * noise, chosen

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` points of the mixture, float32 `(n, D)`, on the CPU."""
        return self.draw(n, generator)[0]
