"""Three perceptrons. Shapes: N samples of `sample_shape`, either `(C, H, W)` or `(D,)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) with cheaper random numbers on a CPU.

    torch draws one number for each unit there, which takes a fifth of the time of a whole GAN
    step on MNIST. Four units share one draw of 64 bits here: each has 16 bits of its own, so
    that the share of dropped units is p rounded to a multiple of 2^-16.
    """

    def forward(self, x: Tensor) -> Tensor:
        # torch.compile does not capture `random_`.
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


def perceptron(
    sizes: Sequence[int], *, activation: str, dropout: float, normalization: str
) -> nn.Sequential:
    """Linear layers of the given sizes, all but the last with what follows a hidden layer."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes[:-1]):
        layers.append(nn.Linear(size_in, size_out))
        if normalization != "none":
            layers.append(NORMALIZATIONS[normalization](size_out))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Generator(nn.Module):
    """z `(N, latent_dim)` to x `(N, *sample_shape)`: images by tanh in [-1, 1], points as is."""

    def __init__(
        self,
        *,
        latent_dim: int,
        sample_shape: tuple[int, ...],
        hidden: Sequence[int],
        activation: str = "leaky-relu",
        dropout: float = 0.0,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        self.sample_shape = sample_shape
        self.layers = perceptron(
            [latent_dim, *hidden, math.prod(sample_shape)],
            activation=activation,
            dropout=dropout,
            normalization=normalization,
        )
        self.output = nn.Tanh() if len(sample_shape) == 3 else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.output(self.layers(z))
        return x.view(-1, *self.sample_shape)


class Discriminator(nn.Module):
    """x `(N, *sample_shape)` to logits `(N,)`."""

    def __init__(
        self,
        *,
        sample_shape: tuple[int, ...],
        hidden: Sequence[int],
        activation: str = "leaky-relu",
        dropout: float = 0.0,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        self.layers = perceptron(
            [math.prod(sample_shape), *hidden, 1],
            activation=activation,
            dropout=dropout,
            normalization=normalization,
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.flatten(1))
        return logits.squeeze(1)


class Encoder(nn.Module):
    """x `(N, *sample_shape)` to a code `(N, latent_dim)`.

    With `variance` to a pair of mean and log-variance, each of that shape.
    """

    def __init__(
        self,
        *,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        hidden: Sequence[int],
        variance: bool = False,
        activation: str = "leaky-relu",
        dropout: float = 0.0,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        self.variance = variance
        self.layers = perceptron(
            [math.prod(sample_shape), *hidden, latent_dim * (2 if variance else 1)],
            activation=activation,
            dropout=dropout,
            normalization=normalization,
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        code: Tensor = self.layers(x.flatten(1))
        if not self.variance:
            return code
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance
