"""Wasserstein distances of points."""

from __future__ import annotations

from typing import ClassVar

import ot  # type: ignore[import-untyped]
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .base import BufferedMetric


class WassersteinDistance(BufferedMetric):
    """`sliced` and `exact` Wasserstein-1 distance: of all points, and of the first `samples`."""

    values: ClassVar[frozenset[str]] = frozenset({"sliced", "exact"})

    def __init__(self, metric: str, *, samples: int, directions: int) -> None:
        super().__init__(metric)
        self.samples, self.directions = samples, directions

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`sliced` and `exact`, in units of a coordinate."""
        real, generated = real.flatten(1).double(), generated.flatten(1).double()
        dimension = real.shape[1]
        if dimension == 1:
            exact = float(ot.wasserstein_1d(real, generated, p=1))
            return {"sliced": exact, "exact": exact}
        rng = torch.Generator().manual_seed(0)
        normal = torch.randn(dimension, self.directions, generator=rng, dtype=torch.float64)
        sliced = ot.sliced_wasserstein_distance(
            real, generated, p=1, projections=normalize(normal, dim=0)
        )
        return {"sliced": float(sliced), "exact": self._exact(real, generated)}

    def _exact(self, real: Tensor, generated: Tensor) -> float:
        real, generated = real[: self.samples], generated[: self.samples]
        cost = torch.cdist(real, generated, compute_mode="donot_use_mm_for_euclid_dist")
        # Empty weights mean equal ones. The default limit of iterations is too low for thousands
        # of points.
        return float(ot.emd2([], [], cost.numpy(), numItermax=10_000_000))
