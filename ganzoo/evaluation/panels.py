"""Pictures for a report from plain tensors: grids of images, interpolations, traversals.

Gaps between images are transparent, so that a picture suits a light page and a dark one.
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

from ganzoo.data import to_bytes

SIDE = 64
"""Approximate side of an image in a picture, in pixels: smaller images are enlarged by a whole
factor, larger ones are reduced."""
GAP = 2
"""Transparent pixels between two images."""
QUALITY = 88
"""WebP quality of pictures in colour, to 100; grey ones are lossless."""
REACH = 2.5
"""A traversal goes this many standard deviations to either side."""
DECODED = 2048
"""Limit on the samples that are decoded to find the strongest dimensions, for each."""

Decode = Callable[[Tensor], Tensor]
"""Latents `(N, latent_dim)` to samples `(N, *sample_shape)`."""


@dataclass(frozen=True)
class Picture:
    """A picture in a page."""

    uri: str
    """The file, as a `data:` URI."""
    alt: str
    """Alternative text."""
    width: int
    """Pixels."""
    height: int


def tile(images: Tensor, columns: int) -> Image.Image:
    """Images float `(N, C, H, W)` in [-1, 1], C being 1, 3 or 4, in rows of `columns`.

    Has an alpha channel: gaps, and the places after the last image, are transparent.
    """
    pixels = to_bytes(_resized(images.float().cpu()))
    if pixels.shape[1] < 4:
        pixels = torch.cat([pixels, torch.full_like(pixels[:, :1], 255)], dim=1)
    count, channels, height, width = pixels.shape
    rows = math.ceil(count / columns)
    canvas = torch.zeros(
        channels,
        rows * (height + GAP) - GAP,
        columns * (width + GAP) - GAP,
        dtype=torch.uint8,
    )
    for number, image in enumerate(pixels):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        canvas[:, top : top + height, left : left + width] = image
    return Image.fromarray(canvas.permute(1, 2, 0).numpy(), "LA" if channels == 2 else "RGBA")


def _resized(images: Tensor) -> Tensor:
    """Images with sides of about `SIDE` pixels."""
    longest = max(images.shape[2:])
    if longest > SIDE:
        factor = SIDE / longest
        size = [max(1, round(side * factor)) for side in images.shape[2:]]
        return interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    factor = max(1, round(SIDE / longest))
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def picture(image: Image.Image, alt: str) -> Picture:
    """An image as a page holds it: PNG where it is grey, WebP, which is smaller, in colour."""
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

    Spherical interpolation, which keeps the norms that normal latents have (White 2016,
    arXiv:1609.04468). Between parallel vectors the arc is not defined, and the line is used.
    """
    share = torch.linspace(0, 1, steps)[:, None]
    cosine = torch.cosine_similarity(first, second, dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None, None]
    sine = angle.sin()
    arcs = ((1 - share) * angle).sin() / sine * first[:, None]
    arcs = arcs + (share * angle).sin() / sine * second[:, None]
    return torch.where(sine > 1e-3, arcs, line_between(first, second, steps))


class Range(NamedTuple):
    """The values that each dimension takes in a traversal."""

    centre: Tensor
    """`(dim,)`."""
    unit: Tensor
    """`(dim,)`: the length of a step of 1."""
    reach: float
    """Steps to either side."""

    def latents(self, z: Tensor, dimension: int, steps: Tensor) -> Tensor:
        """`z` `(N, dim)` with one dimension at each of `steps` `(S,)` units: `(N, S, dim)`."""
        moved = z[:, None].repeat(1, len(steps), 1)
        moved[:, :, dimension] = self.centre[dimension] + steps * self.unit[dimension]
        return moved


def range_of(distribution: str, latents: Tensor) -> Range:
    """The range of `normal` (standard), `uniform` (on [-1, 1]) or other latents.

    That of others is estimated from `latents` `(N, dim)`.
    """
    dim = latents.shape[1]
    if distribution == "normal":
        return Range(torch.zeros(dim), torch.ones(dim), REACH)
    if distribution == "uniform":
        return Range(torch.zeros(dim), torch.ones(dim), 1.0)
    return Range(latents.mean(0), latents.std(0), REACH)


def strongest_dimensions(decode: Decode, z: Tensor, along: Range, count: int) -> list[int]:
    """The dimensions that change samples most, strongest first, at most `count`.

    The strength of a dimension is the mean absolute difference between the samples at the two ends
    of its range, with the other dimensions as in `z` `(N, dim)`.
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
