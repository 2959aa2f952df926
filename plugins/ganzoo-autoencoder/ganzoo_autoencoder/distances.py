"""How far a decoded sample is from the sample itself.

Every distance takes decoded samples and samples, both `(N, C, H, W)` in [-1, 1] or `(N, D)`, and
gives a 0-d tensor: the sum over a sample's values, mean over the batch. `distance.of_each` gives
the sums themselves, `(N,)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from ganzoo.api import Step

FLOOR = 1e-6
"""Pixels are probabilities in [FLOOR, 1 - FLOOR]; log FLOOR is about -14 nats."""

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""The filter of a Gaussian pyramid (Burt and Adelson 1983)."""


@dataclass(frozen=True)
class Distance:
    """A distance, made of a function that gives the sum of each sample."""

    of_each: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, decoded: Tensor, x: Tensor) -> Tensor:
        """The mean over the batch, 0-d."""
        return self.of_each(decoded, x).mean()


def per_sample(values: Tensor) -> Tensor:
    """Sum over all dimensions but the first: `(N, ...)` to `(N,)`."""
    return values.flatten(1).sum(1)


@Distance
def squared(decoded: Tensor, x: Tensor) -> Tensor:
    """Squared differences, in squared units of the data."""
    return per_sample((decoded - x).square())


@Distance
def absolute(decoded: Tensor, x: Tensor) -> Tensor:
    """Absolute differences, in units of the data."""
    return per_sample((decoded - x).abs())


@Distance
def bernoulli(decoded: Tensor, x: Tensor) -> Tensor:
    """Cross-entropy in nats of pixels p = (x + 1) / 2 against the probabilities of `decoded`.

    The probabilities are mapped linearly into [FLOOR, 1 - FLOOR]. A clamp would end the gradient
    of a pixel that lies beyond it on the wrong side; this way it ends only where the
    generator's own does. Through a tanh the gradient comes to twice the probability less p, as
    with a sigmoid and logits: what grows with saturation here cancels what the tanh loses, until
    the tanh is rounded to 1, beyond 9 in float32. Both probabilities are formed from `decoded`,
    since 1 minus the other one would lack the last digits.
    """
    scale = 0.5 - FLOOR
    yes, no = FLOOR + scale * (1 + decoded), FLOOR + scale * (1 - decoded)
    p = (1 + x) / 2
    return per_sample(-p * yes.log() - (1 - p) * no.log())


def gaussian(std: float) -> Distance:
    """-log N(x; decoded, std^2) in nats, the constant included: `std` in units of the data."""

    @Distance
    def negative_log_density(decoded: Tensor, x: Tensor) -> Tensor:
        constant = x[0].numel() * (math.log(std) + math.log(2 * math.pi) / 2)
        return squared.of_each(decoded, x) / (2 * std**2) + constant

    return negative_log_density


@Distance
def laplacian_pyramid(decoded: Tensor, x: Tensor) -> Tensor:
    """Absolute differences of the levels of two Laplacian pyramids, level j weighted by 4^j.

    Bojanowski et al. 2018 (Ling and Okada 2006). Each level is what the next coarser
    picture lacks, the last is the coarsest picture itself, with a side of 4 pixels or less. Level
    j has 4^-j times as many values as the picture, so the weights make all levels count alike.
    """
    # A pyramid is linear: that of the difference is the difference of the two.
    difference = decoded - x
    total, weight = torch.zeros_like(difference[:, 0, 0, 0]), 1.0
    # Products in bfloat16 would round the levels.
    with torch.autocast(x.device.type, enabled=False):
        while max(difference.shape[2:]) > 4:
            coarse, expanded = halved(difference)
            total = total + weight * per_sample((difference - expanded).abs())
            difference, weight = coarse, 4 * weight
    return total + weight * per_sample(difference.abs())


def halved(x: Tensor) -> tuple[Tensor, Tensor]:
    """Images `(N, C, H, W)` blurred, with half the side rounded up, and that back at full size.

    Beyond its border a picture counts as missing: each value is divided by the weight that the
    filter has inside.
    """
    N, C, H, W = x.shape
    taps = torch.tensor(BINOMIAL, dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps)[None, None]
    ones = x.new_ones(1, 1, H, W)
    flat = x.reshape(N * C, 1, H, W)

    def reduce(images: Tensor) -> Tensor:
        return conv2d(images, kernel, stride=2, padding=2)

    def expand(images: Tensor) -> Tensor:
        odd = (1 - H % 2, 1 - W % 2)
        return conv_transpose2d(images, kernel, stride=2, padding=2, output_padding=odd)

    coarse = reduce(flat) / reduce(ones)
    expanded = expand(coarse) / expand(torch.ones_like(coarse[:1]))
    return coarse.reshape(N, C, *coarse.shape[2:]), expanded.reshape(x.shape)


def reconstructions(distance: Distance, step: Step, codes: Tensor) -> Tensor:
    """`distance` between what each code decodes to and the real sample of its place, `(N,)`.

    Codes are `(N, latent_dim)`; a conditional generator gets the classes of the real samples. For
    `bernoulli` G computes in float32 whatever the run's precision: in bfloat16 a tanh is rounded
    to 1 beyond 3.5, and its gradient to 0.
    """
    if distance is not bernoulli:
        return distance.of_each(step.generate(codes, step.labels), step.x)
    with torch.autocast(codes.device.type, enabled=False):
        return distance.of_each(step.generate(codes, step.labels), step.x)


def reconstruction(distance: Distance, step: Step, codes: Tensor) -> Tensor:
    """The mean of `reconstructions` over the batch, a 0-d tensor."""
    return reconstructions(distance, step, codes).mean()


DISTANCES: dict[str, Distance] = {"l2": squared, "l1": absolute, "bernoulli": bernoulli}
"""The distances without settings, by the name that a recipe writes."""
