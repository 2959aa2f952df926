"""The kit's own networks and data: small, smooth, and able to do what others commonly need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganzoo.engine.data import Data, Samples
from ganzoo.engine.random import generator_for

NETWORKS_PROVIDE: Mapping[str, frozenset[str]] = {
    "generator": frozenset({"log_prob"}),
    "discriminator": frozenset(),
    "encoder": frozenset({"variance"}),
}
"""What the kit's networks can do besides being there."""
DATA_PROVIDES = frozenset({"images", "points", "labels", "density"})
"""What the kit's data can do."""
TRAINING = 96
HELD_OUT = 64


class Generator(nn.Module):
    """Latents `(N, latent_dim)` to samples `(N, *sample_shape)` in [-1, 1]."""

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.sample_shape = sample_shape
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 12), nn.SiLU(), nn.Linear(12, math.prod(sample_shape)), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.layers(z).unflatten(1, self.sample_shape)
        return x


class Gaussian(nn.Module):
    """Latents to independent normal values, whose density it knows.

    Each value of a sample is made of one value of the latent; where a sample has more of them,
    they are used again, and the density is that of values drawn apart.
    """

    places: Tensor

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.sample_shape = sample_shape
        self.mean = nn.Parameter(torch.randn(math.prod(sample_shape)) / 10)
        self.log_scale = nn.Parameter(torch.full((math.prod(sample_shape),), -1.5))
        self.register_buffer("places", torch.arange(math.prod(sample_shape)) % latent_dim)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.mean + self.log_scale.exp() * z[:, self.places]
        return x.reshape(-1, *self.sample_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        law = torch.distributions.Normal(self.mean, self.log_scale.exp(), validate_args=False)
        log_prob: Tensor = law.log_prob(x.flatten(1)).sum(1)
        return log_prob


class Discriminator(nn.Module):
    """Samples to logits `(N,)`."""

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(math.prod(sample_shape), 12), nn.SiLU(), nn.Linear(12, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.flatten(1)).squeeze(1)
        return logits


class Encoder(nn.Module):
    """Samples to codes `(N, latent_dim)`, or to their means and log-variances."""

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int, *, variance: bool) -> None:
        super().__init__()
        self.variance = variance
        self.layers = nn.Sequential(
            nn.Linear(math.prod(sample_shape), 12),
            nn.SiLU(),
            nn.Linear(12, latent_dim * (1 + variance)),
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        code: Tensor = self.layers(x.flatten(1))
        if not self.variance:
            return code
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance


def make_network(
    slot: str, sample_shape: tuple[int, ...], latent_dim: int, asked: frozenset[str]
) -> nn.Module:
    """The kit's network for a slot of a recipe, able to do what is asked of it."""
    if slot == "generator":
        if "log_prob" in asked:
            return Gaussian(sample_shape, latent_dim)
        return Generator(sample_shape, latent_dim)
    if slot == "discriminator":
        return Discriminator(sample_shape)
    return Encoder(sample_shape, latent_dim, variance="variance" in asked)


@dataclass(frozen=True)
class Normal:
    """The law of the kit's points: independent normal values of deviation a half."""

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        law = torch.distributions.Normal(0.0, 0.5, validate_args=False)
        log_prob: Tensor = law.log_prob(x).sum(1)
        return log_prob


def make_data(
    sample_shape: tuple[int, ...],
    classes: int,
    *,
    training: int = TRAINING,
    held_out: int = HELD_OUT,
) -> Data:
    """Labelled images of uniform noise, or normal points whose law is known."""

    def part(name: str, count: int) -> Samples:
        generator = generator_for(0, "kit", name)
        labels = torch.arange(count) % classes
        if len(sample_shape) == 1:
            return Samples(torch.randn(count, *sample_shape, generator=generator) / 2, labels)
        pixels = torch.randint(0, 256, (count, *sample_shape), generator=generator)
        return Samples(pixels.to(torch.uint8), labels)

    density = Normal() if len(sample_shape) == 1 else None
    return Data(part("training", training), part("held out", held_out), density)
