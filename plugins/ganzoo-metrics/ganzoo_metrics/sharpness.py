"""Sharpness of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from ganzoo.api import UserError

from .base import check_sample_count, ratio

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


def laplacian_variances(images: Tensor) -> Tensor:
    """Variance of the Laplacian of each image, float32 `(N,)`, with grey levels in [0, 1].

    Images are `(N, C, H, W)` in [-1, 1], H and W at least 3.
    """
    grey = (images.mean(dim=1, keepdim=True) + 1) / 2
    edges = conv2d(grey, LAPLACIAN[None, None])
    return edges.flatten(1).var(dim=1, correction=0)


class Sharpness:
    """`sharpness` of generated images, and `relative`, its ratio to that of real images."""

    def __init__(self, metric: str, *, sample_shape: tuple[int, ...]) -> None:
        """Raises `UserError` for images `(C, H, W)` with a side of less than 3 pixels."""
        if min(sample_shape[1:]) < LAPLACIAN.shape[0]:
            raise UserError(
                f"metric '{metric}' looks at images of at least 3x3 pixels, and the data's are "
                f"{sample_shape[1]}x{sample_shape[2]}",
                hint="leave the metric out",
            )
        self.metric = metric
        self._sums = {True: 0.0, False: 0.0}
        self._counts = {True: 0, False: 0}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Add images `(N, C, H, W)` in [-1, 1]; labels, int64 `(N,)`, are ignored."""
        self._sums[real] += float(laplacian_variances(samples).double().sum())
        self._counts[real] += len(samples)

    def compute(self) -> dict[str, float]:
        """`sharpness`, at least 0, and `relative`, 1 for images as sharp as the real ones.

        Raises:
            UserError: there are no samples of either side.
        """
        for real in (True, False):
            check_sample_count(self.metric, self._counts[real], 1, real=real)
        real_mean, generated = (self._sums[real] / self._counts[real] for real in (True, False))
        return {"sharpness": generated, "relative": ratio(generated, real_mean)}
