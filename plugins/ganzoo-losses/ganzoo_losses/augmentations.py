"""Changes to everything that the discriminator sees in training.

Each keeps the shape, dtype and device of x, can be differentiated with regard to x any number
of times, draws anew for each sample from torch's default stream on x's device, and leaves no
number waiting on the host. Images `(N, C, H, W)` in [-1, 1]; 0 is the middle grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from .courses import Course


def per_image(x: Tensor) -> Tensor:
    """A number uniform on [-1, 1) for each image, `(N, 1, 1, 1)`."""
    return 2 * torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) - 1


def recoloured(x: Tensor, *, brightness: float, saturation: float, contrast: float) -> Tensor:
    """Images with another brightness, saturation and contrast, in this order; nothing is clipped.

    x + b, then m + (1 + s) (x - m) with m the mean over a pixel's channels, then
    m + (1 + c) (x - m) with m the mean over the whole image; b, s and c are uniform within
    +-`brightness`, +-`saturation` and +-`contrast`, one for each image. An image of one channel
    has no saturation.
    """
    x = x + brightness * per_image(x)
    if x.shape[1] > 1:
        x = torch.lerp(x.mean(1, keepdim=True), x, 1 + saturation * per_image(x))
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, 1 + contrast * per_image(x))


def shifted(x: Tensor, *, shift: float) -> Tensor:
    """Images, each moved by whole pixels along both axes; what comes into view is 0.

    Each moves by a number of pixels uniform on -k to k, k being `shift` of the side rounded to
    whole pixels, halves up.
    """
    # One grey pixel around the image is enough: whatever lies further out is read from it.
    x = pad(x, (1, 1, 1, 1))
    for axis in (2, 3):
        side = x.shape[axis] - 2
        largest = int(shift * side + 0.5)
        moves = torch.randint(-largest, largest + 1, (len(x), 1), device=x.device)
        sources = torch.arange(1, side + 1, device=x.device) - moves
        # The axis that is still to be moved keeps its border for now.
        shape = [*x.shape]
        shape[axis] = side
        index = sources.clamp(0, side + 1).unsqueeze(1).unsqueeze(5 - axis)
        x = x.gather(axis, index.expand(shape))
    return x


def with_hole(x: Tensor, *, cutout: float) -> Tensor:
    """Images, each with a rectangle of 0 whose centre lies anywhere on the image.

    Its sides are `cutout` of the image's, rounded to whole pixels, halves up; what would lie
    outside of the image is cut off.
    """
    hole = torch.ones((), dtype=torch.bool, device=x.device)
    for axis in (2, 3):
        side = x.shape[axis]
        length = int(cutout * side + 0.5)
        # Of an even length the middle lies between two pixels, of which there is one more place.
        places = side + 1 - length % 2
        start = torch.randint(places, (len(x), 1), device=x.device) - length // 2
        position = torch.arange(side, device=x.device)
        within = (position >= start) & (position < start + length)
        hole = hole & within.unsqueeze(1).unsqueeze(5 - axis)
    return x.masked_fill(hole, 0)


class DiffAugment:
    """Changes of images, one after the other, each a function of x alone."""

    def __init__(self, changes: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self.changes = changes

    def __call__(self, x: Tensor, iteration: Tensor) -> Tensor:
        """`x` `(N, C, H, W)` changed; see `ganzoo.api.Augmentation`."""
        for change in self.changes:
            x = change(x)
        return x


class InstanceNoise:
    """Normal noise on every number of a sample; its standard deviation follows a course."""

    def __init__(self, std: Course) -> None:
        self.std = std

    def __call__(self, x: Tensor, iteration: Tensor) -> Tensor:
        """`x` `(N, *sample_shape)` with noise; see `ganzoo.api.Augmentation`."""
        return x + self.std(iteration) * torch.randn_like(x)
