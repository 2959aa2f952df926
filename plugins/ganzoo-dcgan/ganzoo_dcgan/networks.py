"""A generator, a discriminator and an encoder of convolutions for pictures of any size.

Shapes: N pictures `(C, H, W)`; i and o are a side, height or width, of a layer's input and output.

The size arithmetic. A convolution with kernel k, stride s and padding p gives

    o = floor((i + 2p - k) / s) + 1

and a transposed convolution goes the other way:

    o = (i - 1) s - 2p + k + output_padding

Every halving here has k = 4 and s = 2, so that each pixel lies under as many kernels as its
neighbours (uneven overlap draws checkerboards: Odena et al. 2016, doi:10.23915/distill.00003).
An even side 2j needs p = 1:      floor((2j + 2 - 4) / 2) + 1 = j,  and back (j - 1) 2 - 2 + 4 = 2j.
An odd side 2j - 1 needs p = 2:   floor((2j - 1 + 4 - 4) / 2) + 1 = j,
with output_padding 1 on the way back:                     (j - 1) 2 - 4 + 4 + 1 = 2j - 1.

Sides are halved, rounding up, until the longer one is 4 or less, and at least twice: 64-32-16-8-4,
28-14-7-4, 9-5-3, 8-4-2. Both are halved as often, so that 48x64 ends with 3x4; where the shorter
one would be left with a single pixel, both are halved less often: 16x64 ends with 2x8. The last
convolution covers what is left, with k = i, s = 1 and p = 0: o = 1, and back to k.

Built with `num_classes` K, a network is conditional: it is called with labels, int64 `(N,)` in
[0, K), as a second argument.

Source of the layers: Radford et al. 2016, arXiv:1511.06434. For 64x64 pictures and 64 base
channels they are, weight for weight, those of the DCGAN in pytorch/examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from ganzoo.conditioning import EMBEDDING_DIM, Projection, embedding, last_inputs

SMALLEST_SIDE = 4
"""Pictures with a side above this are halved."""

THINNEST_SIDE = 2
"""No side is halved to less than this."""

FEWEST_HALVINGS = 2
"""With one, a discriminator of 8x8 pictures is too shallow to teach anything."""


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    # 16 channels a group (Wu and He 2018, arXiv:1803.08494), or fewer where 16 is no divisor.
    "group": lambda channels: nn.GroupNorm(channels // math.gcd(channels, 16), channels),
}


Size = tuple[int, int]
"""Height and width, in pixels."""


def sizes(size: Size) -> list[Size]:
    """Sizes of the feature maps from the image to the latent: (48, 64), (24, 32), ..., (3, 4)."""
    found = [size]
    while max(found[-1]) > SMALLEST_SIDE or len(found) <= FEWEST_HALVINGS:
        height, width = found[-1]
        half = ((height + 1) // 2, (width + 1) // 2)
        if min(half) < THINNEST_SIDE and len(found) > FEWEST_HALVINGS:
            break
        found.append(half)
    return found


def widths(size: Size, base_channels: int, max_channels: int) -> list[int]:
    """Channels of the hidden layers from the image to the latent, one for each halving."""
    return [min(base_channels * 2**stage, max_channels) for stage in range(len(sizes(size)) - 1)]


def halving(channels_in: int, channels_out: int, *, size: Size, bias: bool) -> nn.Module:
    """Convolution from a size to half of it, rounded up."""
    height, width = size
    padding = (1 + height % 2, 1 + width % 2)
    return nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=padding, bias=bias)


def doubling(
    channels_in: int, channels_out: int, *, size: Size, bias: bool, upsampling: str
) -> list[nn.Module]:
    """Layers to a size from half of it, rounded up."""
    if upsampling == "resize":
        # Odena et al. 2016. k = 3, s = 1 and p = 1 keep the size.
        return [
            nn.Upsample(size=size),
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias),
        ]
    odd = (size[0] % 2, size[1] % 2)
    return [
        nn.ConvTranspose2d(
            channels_in,
            channels_out,
            4,
            stride=2,
            padding=(1 + odd[0], 1 + odd[1]),
            output_padding=odd,
            bias=bias,
        )
    ]


def after(channels: int, *, normalization: str, activation: str) -> list[nn.Module]:
    """What follows a hidden convolution."""
    normalizations = [] if normalization == "none" else [NORMALIZATIONS[normalization](channels)]
    return [*normalizations, ACTIVATIONS[activation]()]


def prepare(network: nn.Module, *, initialization: str, spectral_norm: bool) -> None:
    """Draw the first weights as the paper does, and bound the singular values of what multiplies.

    Spectral normalisation: Miyato et al. 2018, arXiv:1802.05957. The weight as a matrix of one
    row an output channel is divided by its largest singular value, which one step of power
    iteration follows in each forward pass of a network in training.
    """
    for layer in list(network.modules()):
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        multiplies = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | Projection)
        if not isinstance(weight, Tensor) or (isinstance(layer, nn.Embedding) and not multiplies):
            continue
        if initialization == "dcgan":
            nn.init.normal_(weight, 0.0 if multiplies else 1.0, 0.02)
            if isinstance(bias, Tensor):
                nn.init.zeros_(bias)
        if spectral_norm and multiplies:
            parametrizations.spectral_norm(layer)


class MinibatchStd(nn.Module):
    """One more channel that tells how much a batch varies (Karras et al. 2018, section 3).

    x `(N, C, H, W)` to `(N, C + 1, H, W)`: the standard deviation of each feature over the
    batch, averaged over all features and the same everywhere. arXiv:1710.10196.
    """

    def forward(self, x: Tensor) -> Tensor:
        # The small number keeps the root's gradient finite where nothing varies.
        spread = (x.float().var(0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x, spread.to(x.dtype).expand(len(x), 1, *x.shape[2:])], dim=1)


def contraction(
    *,
    channels: int,
    size: Size,
    outputs: int,
    base_channels: int,
    max_channels: int,
    normalization: str,
    activation: str,
    dropout: float = 0.0,
    minibatch_std: bool = False,
    joined: int = 0,
) -> nn.Sequential:
    """Layers from pictures `(N, channels, *size)` to `(N, outputs, 1, 1)`.

    The last one reads `joined` channels more.
    """
    bias = normalization == "none"
    *halved, last = sizes(size)
    layers: list[nn.Module] = []
    hidden = [channels, *widths(size, base_channels, max_channels)]
    for each, (channels_in, channels_out) in zip(halved, pairwise(hidden), strict=True):
        layers.append(halving(channels_in, channels_out, size=each, bias=bias))
        # None of the paper's networks normalises next to the image.
        here = normalization if each != size else "none"
        layers += after(channels_out, normalization=here, activation=activation)
        if dropout:
            layers.append(nn.Dropout(dropout))
    if minibatch_std:
        layers.append(MinibatchStd())
    channels_in = hidden[-1] + minibatch_std + joined
    return nn.Sequential(*layers, nn.Conv2d(channels_in, outputs, kernel_size=last, bias=bias))


class Generator(nn.Module):
    """z `(N, latent_dim)` to pictures `(N, channels, *size)` in [-1, 1].

    Convolutions have a bias only where nothing normalises, for the paper's number of weights. The
    embedding of a class is joined to z (Mirza and Osindero 2014, arXiv:1411.1784).
    """

    def __init__(
        self,
        *,
        channels: int,
        size: Size,
        latent_dim: int,
        num_classes: int | None = None,
        base_channels: int = 64,
        max_channels: int = 512,
        normalization: str = "batch",
        spectral_norm: bool = False,
        activation: str = "relu",
        upsampling: str = "transposed",
        initialization: str = "dcgan",
    ) -> None:
        super().__init__()
        bias = normalization == "none"
        first, *doubled = reversed(sizes(size))
        hidden = widths(size, base_channels, max_channels)[::-1]
        length = latent_dim + (0 if num_classes is None else EMBEDDING_DIM)
        layers: list[nn.Module] = [nn.ConvTranspose2d(length, hidden[0], first, bias=bias)]
        for each, (channels_in, channels_out) in zip(
            doubled, pairwise([*hidden, channels]), strict=True
        ):
            layers += after(channels_in, normalization=normalization, activation=activation)
            layers += doubling(
                channels_in, channels_out, size=each, bias=bias, upsampling=upsampling
            )
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.classes = embedding(num_classes)
        prepare(self, initialization=initialization, spectral_norm=spectral_norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.classes is not None:
            z = torch.cat([z, self.classes(labels)], dim=1)
        x: Tensor = self.layers(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """Pictures `(N, channels, *size)` to logits `(N,)`.

    Convolutions have a bias only where nothing normalises, for the paper's number of weights.
    With classes, the logit is psi(phi(x)) + <embed(y), phi(x)>, where phi(x) `(N, C, H, W)` are
    the inputs of the last layer psi: Miyato and Koyama 2018 (arXiv:1802.05637), equation 3.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: Size,
        num_classes: int | None = None,
        base_channels: int = 64,
        max_channels: int = 512,
        normalization: str = "batch",
        spectral_norm: bool = False,
        activation: str = "leaky-relu",
        dropout: float = 0.0,
        minibatch_std: bool = False,
        initialization: str = "dcgan",
    ) -> None:
        super().__init__()
        self.layers = contraction(
            channels=channels,
            size=size,
            outputs=1,
            base_channels=base_channels,
            max_channels=max_channels,
            normalization=normalization,
            activation=activation,
            dropout=dropout,
            minibatch_std=minibatch_std,
        )
        features = self.layers[-1].weight[0].numel()
        self.classes = None if num_classes is None else Projection(num_classes, features)
        prepare(self, initialization=initialization, spectral_norm=spectral_norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        features = last_inputs(self.layers, x)
        logits: Tensor = self.layers[-1](features).flatten()
        if self.classes is not None:
            logits = logits + self.classes(features, labels)
        return logits


class Encoder(nn.Module):
    """Pictures `(N, channels, *size)` to a code `(N, latent_dim)`.

    With `variance` to a pair of mean and log-variance, each of that shape. The embedding of a
    class is joined to the inputs of the last layer, the same at every pixel.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: Size,
        latent_dim: int,
        variance: bool = False,
        num_classes: int | None = None,
        base_channels: int = 64,
        max_channels: int = 512,
        normalization: str = "batch",
        spectral_norm: bool = False,
        activation: str = "leaky-relu",
        initialization: str = "dcgan",
    ) -> None:
        super().__init__()
        self.variance = variance
        self.layers = contraction(
            channels=channels,
            size=size,
            outputs=latent_dim * (2 if variance else 1),
            base_channels=base_channels,
            max_channels=max_channels,
            normalization=normalization,
            activation=activation,
            joined=0 if num_classes is None else EMBEDDING_DIM,
        )
        self.classes = embedding(num_classes)
        prepare(self, initialization=initialization, spectral_norm=spectral_norm)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        features = last_inputs(self.layers, x)
        if self.classes is not None:
            joined = self.classes(labels)[:, :, None, None].expand(-1, -1, *features.shape[2:])
            features = torch.cat([features, joined], dim=1)
        code: Tensor = self.layers[-1](features).flatten(1)
        if not self.variance:
            return code
        mean, log_variance = code.chunk(2, dim=1)
        return mean, log_variance
