"""Gaussians on a line: as data, as densities, as generators and as their own discriminators."""

from __future__ import annotations

import math

import torch
from ganzoo_divergence.line import Distribution, Line
from torch import Tensor, nn

from ganzoo.engine import Data, Samples

MEAN, STD = 4.0, 1.25


class Gaussians:
    """Equal Gaussians on a line, as the density of data."""

    def __init__(self, means: tuple[float, ...] = (MEAN,), std: float = STD) -> None:
        self.means, self.std = torch.tensor(means, dtype=torch.float64), std

    def log_prob(self, x: Tensor) -> Tensor:
        offsets = (x.double() - self.means) / self.std
        constant = math.log(len(self.means) * self.std * math.sqrt(2 * math.pi))
        return (-offsets.square() / 2).logsumexp(1) - constant

    def data(self, count: int = 50_000) -> Data:
        stream = torch.Generator().manual_seed(7)
        chosen = torch.randint(len(self.means), (count,), generator=stream)
        points = self.means[chosen] + self.std * torch.randn(count, generator=stream)
        return Data(Samples(points.float()[:, None]), density=self)


class Shifted(nn.Module):
    """A generator of mean + std z, without a density."""

    def __init__(self, mean: float = MEAN, std: float = STD) -> None:
        super().__init__()
        self.mean, self.std = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(std))

    def forward(self, z: Tensor) -> Tensor:
        return self.mean + self.std * z[:, :1]


class Known(Shifted):
    """The same, with its density."""

    def log_prob(self, x: Tensor) -> Tensor:
        offsets = (x[:, 0] - self.mean) / self.std
        return -offsets.square() / 2 - (self.std * math.sqrt(2 * math.pi)).log()


class Best(nn.Module):
    """The optimal discriminator against a fixed Gaussian."""

    def __init__(self, mean: float, std: float = STD) -> None:
        super().__init__()
        self.against = Gaussians((mean,), std)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        logits = Gaussians().log_prob(x) - self.against.log_prob(x)
        return self.weight * logits.float()


def gaussian(line: Line, mean: float, std: float) -> Distribution:
    """A Gaussian as a known distribution."""
    return Distribution.known(line, Gaussians((mean,), std).log_prob(line.nodes[:, None]))


def drawn(mean: float, std: float, count: int = 100_000, seed: int = 0) -> Tensor:
    """Points of a Gaussian, float32 `(count,)`."""
    return mean + std * torch.randn(count, generator=torch.Generator().manual_seed(seed))
