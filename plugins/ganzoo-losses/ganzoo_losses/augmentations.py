"""Changes to everything that the discriminator sees in training.

Each keeps the shape, dtype and device of x and can be differentiated with respect to x any number
of times. `draw` takes all that is random from torch's default stream on x's device, one draw for
each sample; applying a draw again gives the same change. Strengths are 0-d tensors, which the
engine keeps current, and nothing waits for the device. Images `(N, C, H, W)` in [-1, 1]; 0 is the
middle grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganzoo.api import Augmentation


def places_on_each_axis(x: Tensor) -> Tensor:
    """For height and width, a number uniform on [0, 1) for each image: `(2, N, 1)`.

    In float32 also for x in bfloat16, whose uniform numbers have too few values.
    """
    return torch.rand(2, len(x), 1, device=x.device)


def rounded(value: Tensor) -> Tensor:
    """To whole numbers, halves up."""
    return (value + 0.5).floor()


class Colour:
    """Images with another brightness, saturation and contrast, in this order; nothing is clipped.

    x + b, then m + (1 + s) (x - m) with m the mean over a pixel's channels, then
    m + (1 + c) (x - m) with m the mean over the whole image; b, s and c are uniform within
    +-`brightness`, +-`saturation` and +-`contrast`, one for each image. An image of one channel
    has no saturation.
    """

    def __init__(self, *, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> None:
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast

    def draw(self, x: Tensor) -> Tensor:
        """Numbers uniform on [-1, 1) for brightness, saturation, contrast: `(3, N, 1, 1, 1)`."""
        return 2 * torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device) - 1

    def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
        """`x` `(N, C, H, W)` in other colours."""
        brightness, saturation, contrast = draw
        x = x + self.brightness * brightness
        if x.shape[1] > 1:
            x = torch.lerp(x.mean(1, keepdim=True), x, 1 + self.saturation * saturation)
        return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, 1 + self.contrast * contrast)


class Translation:
    """Images, each moved by whole pixels along both axes; what comes into view is 0.

    Each moves by a number of pixels uniform on -k to k, k being `shift` of the side rounded to
    whole pixels, halves up.
    """

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def draw(self, x: Tensor) -> Tensor:
        """Where each image moves within its range, down and across: `(2, N, 1)` on [0, 1)."""
        return places_on_each_axis(x)

    def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
        """`x` `(N, C, H, W)` moved."""
        # One grey pixel around the image is enough: whatever lies further out is read from it.
        x = pad(x, (1, 1, 1, 1))
        for axis, place in zip((2, 3), draw, strict=True):
            side = x.shape[axis] - 2
            largest = rounded(self.shift * side)
            moves = ((2 * largest + 1) * place).floor() - largest
            sources = torch.arange(1, side + 1, device=x.device) - moves.long()
            # The axis that is still to be moved keeps its border for now.
            shape = [*x.shape]
            shape[axis] = side
            index = sources.clamp(0, side + 1).unsqueeze(1).unsqueeze(5 - axis)
            x = x.gather(axis, index.expand(shape))
        return x


class Cutout:
    """Images, each with a rectangle of 0 whose centre lies anywhere on the image.

    Its sides are `cutout` of the image's, rounded to whole pixels, halves up; what would lie
    outside of the image is cut off.
    """

    def __init__(self, cutout: Tensor) -> None:
        self.cutout = cutout

    def draw(self, x: Tensor) -> Tensor:
        """Where the centres lie, down and across: `(2, N, 1)` on [0, 1)."""
        return places_on_each_axis(x)

    def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
        """`x` `(N, C, H, W)` with a hole in each image."""
        hole = torch.ones((), dtype=torch.bool, device=x.device)
        for axis, place in zip((2, 3), draw, strict=True):
            side = x.shape[axis]
            length = rounded(self.cutout * side)
            # Of an even length the middle lies between two pixels, of which there is one more.
            start = ((side + 1 - length % 2) * place).floor() - (length / 2).floor()
            position = torch.arange(side, device=x.device)
            within = (position >= start) & (position < start + length)
            hole = hole & within.unsqueeze(1).unsqueeze(5 - axis)
        return x.masked_fill(hole, 0)


class DiffAugment:
    """Changes of images, one after the other."""

    def __init__(self, changes: Sequence[Augmentation]) -> None:
        self.changes = changes

    def draw(self, x: Tensor) -> Sequence[Any]:
        """One draw of each change; see `ganzoo.api.Augmentation`."""
        return [change.draw(x) for change in self.changes]

    def __call__(self, x: Tensor, draw: Sequence[Any]) -> Tensor:
        """`x` `(N, C, H, W)` changed."""
        for change, its_draw in zip(self.changes, draw, strict=True):
            x = change(x, its_draw)
        return x


class InstanceNoise:
    """Normal noise of standard deviation `std` on every number of a sample."""

    def __init__(self, std: Tensor) -> None:
        self.std = std

    def draw(self, x: Tensor) -> Tensor:
        """Standard normal numbers, shaped as x `(N, *sample_shape)`."""
        return torch.randn_like(x)

    def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
        """`x` with noise."""
        return x + self.std * draw
