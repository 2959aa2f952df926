"""Precision and recall, density and coverage: metrics of nearest-neighbour balls."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .base import BufferedMetric
from .neighbours import distance_blocks, neighbour_radii


class _ManifoldMetric(BufferedMetric):
    """Base of metrics that need `neighbours` neighbours of every sample."""

    def __init__(self, metric: str, *, neighbours: int) -> None:
        super().__init__(metric, min_samples=neighbours + 1)
        self.neighbours = neighbours


class PrecisionRecall(_ManifoldMetric):
    """`precision` and `recall`, each in [0, 1]."""

    values: ClassVar[frozenset[str]] = frozenset({"precision", "recall"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The values of the first samples of each side, equally many."""
        count = min(len(real), len(generated))
        real, generated = real[:count], generated[:count]
        real_radii = neighbour_radii(real, self.neighbours)
        generated_radii = neighbour_radii(generated, self.neighbours)
        precise = torch.zeros(count, dtype=torch.bool)
        recalled = 0
        for rows, distances in distance_blocks(real, generated):
            precise |= (distances <= real_radii[rows, None]).any(dim=0)
            recalled += int((distances <= generated_radii).any(dim=1).sum())
        return {"precision": int(precise.sum()) / count, "recall": recalled / count}


class DensityCoverage(_ManifoldMetric):
    """`density`, at least 0 and about 1 for the real distribution, and `coverage`, in [0, 1]."""

    values: ClassVar[frozenset[str]] = frozenset({"density", "coverage"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The values of the first samples of each side, equally many."""
        count = min(len(real), len(generated))
        real, generated = real[:count], generated[:count]
        real_radii = neighbour_radii(real, self.neighbours)
        memberships = covered = 0
        for rows, distances in distance_blocks(real, generated):
            inside = distances < real_radii[rows, None]
            memberships += int(inside.sum())
            covered += int(inside.any(dim=1).sum())
        return {"density": memberships / (self.neighbours * count), "coverage": covered / count}
