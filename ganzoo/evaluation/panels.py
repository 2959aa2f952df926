"""Pictures of a report, from plain tensors: grids and rows of images, paths through latents.

Gaps between images are transparent, so that a picture stands on a light page and on a dark one.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ganzoo.engine.data import to_bytes

SIDE = 64
"""Pixels of an image in a picture, about: smaller ones are enlarged by a whole factor, larger
ones averaged down."""
GAP = 2
"""Transparent pixels between two images."""
QUALITY = 88
"""Of pictures in colour, in WebP's scale to 100. Grey ones lose nothing."""
REACH = 2.5
"""A traversal goes this many standard deviations to either side."""
DECODED = 2048
"""Samples that are decoded at most to find the dimensions that matter."""

Decode = Callable[[Tensor], Tensor]
"""Latents `(N, latent_dim)` to samples `(N, *sample_shape)`."""


@dataclass(frozen=True)
class Picture:
    """A picture as a page holds it."""

    uri: str
    """The file, as a `data:` URI."""
    alt: str
    """What is to be seen, in words."""
    width: int
    """Pixels."""
    height: int


def can_be_shown(sample_shape: tuple[int, ...]) -> bool:
    """Whether samples of a shape are images, grey or in colour."""
    return len(sample_shape) == 3 and sample_shape[0] in (1, 3)


def tile(images: Tensor, columns: int) -> Image.Image:
    """Images float `(N, C, H, W)` in [-1, 1], C being 1 or 3, in rows of `columns`.

    With an alpha channel: the gaps, and the places after the last image, are transparent.
    """
    pixels = to_bytes(_resized(images.float().cpu()))
    count, channels, height, width = pixels.shape
    rows = math.ceil(count / columns)
    canvas = torch.zeros(
        channels + 1,
        rows * (height + GAP) - GAP,
        columns * (width + GAP) - GAP,
        dtype=torch.uint8,
    )
    for number, image in enumerate(pixels):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        canvas[:channels, top : top + height, left : left + width] = image
        canvas[channels, top : top + height, left : left + width] = 255
    return Image.fromarray(canvas.permute(1, 2, 0).numpy(), "LA" if channels == 1 else "RGBA")


def _resized(images: Tensor) -> Tensor:
    """Images of about `SIDE` pixels, whatever their own side."""
    longest = max(images.shape[2:])
    if longest > SIDE:
        factor = SIDE / longest
        size = [max(1, round(side * factor)) for side in images.shape[2:]]
        return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    factor = max(1, round(SIDE / longest))
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def picture(image: Image.Image, alt: str) -> Picture:
    """A picture for a page: PNG where it is grey, WebP where it is in colour, which is smaller."""
    buffer = io.BytesIO()
    if image.mode in ("L", "LA", "P", "1"):
        kind = "png"
        image.save(buffer, format="PNG", optimize=True)
    else:
        kind = "webp"
        image.save(buffer, format="WEBP", quality=QUALITY, method=6)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/{kind};base64,{encoded}", alt, image.width, image.height)


def columns_for(count: int) -> int:
    """Columns of a square grid that holds `count` images."""
    return max(1, math.ceil(math.sqrt(count)))


def line_between(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Latents `(N, steps, dim)` on straight lines from `first` to `second`, both `(N, dim)`."""
    share = torch.linspace(0, 1, steps)[:, None]
    return torch.lerp(first[:, None], second[:, None], share)


def arc_between(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Latents `(N, steps, dim)` on arcs from `first` to `second`, both `(N, dim)`.

    Spherical interpolation keeps the norms that normal latents have (White 2016,
    arXiv:1609.04468). Where the two point the same or the opposite way there is no arc between
    them, and the line is taken.
    """
    share = torch.linspace(0, 1, steps)[:, None]
    cosine = torch.cosine_similarity(first, second, dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None, None]
    sine = angle.sin()
    arcs = ((1 - share) * angle).sin() / sine * first[:, None]
    arcs = arcs + (share * angle).sin() / sine * second[:, None]
    return torch.where(sine > 1e-3, arcs, line_between(first, second, steps))


class Range(NamedTuple):
    """How far each dimension of latents goes in a traversal."""

    centre: Tensor
    """`(dim,)`."""
    unit: Tensor
    """`(dim,)`: what a step of 1 is."""
    reach: float
    """Units to either side."""

    def latents(self, z: Tensor, dimension: int, steps: Tensor) -> Tensor:
        """`z` `(N, dim)` with one dimension at each of `steps` `(S,)` units: `(N, S, dim)`."""
        moved = z[:, None].repeat(1, len(steps), 1)
        moved[:, :, dimension] = self.centre[dimension] + steps * self.unit[dimension]
        return moved


def range_of(law: str, latents: Tensor) -> Range:
    """The range of a law: standard normal, uniform on [-1, 1], or as `latents` `(N, dim)` lie."""
    dim = latents.shape[1]
    if law == "normal":
        return Range(torch.zeros(dim), torch.ones(dim), REACH)
    if law == "uniform":
        return Range(torch.zeros(dim), torch.ones(dim), 1.0)
    return Range(latents.mean(0), latents.std(0), REACH)


def strongest_dimensions(decode: Decode, z: Tensor, along: Range, count: int) -> list[int]:
    """The dimensions that move samples most, strongest first, at most `count`.

    A dimension is as strong as the mean absolute difference between the samples at its two
    ends, the others being as in `z` `(N, dim)`; as many of these are used as `DECODED` allows.
    """
    dim = z.shape[1]
    z = z[: max(1, DECODED // (2 * dim))]
    ends = torch.tensor([-along.reach, along.reach])
    strengths = []
    for dimension in range(dim):
        low, high = decode(along.latents(z, dimension, ends).transpose(0, 1).flatten(0, 1)).chunk(2)
        strengths.append(float((high - low).abs().mean()))
    order = sorted(range(dim), key=lambda dimension: -strengths[dimension])
    return order[:count]
