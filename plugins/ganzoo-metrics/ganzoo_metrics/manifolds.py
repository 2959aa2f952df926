"""Figures of balls around samples that reach to a nearest neighbour."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .collected import Collected
from .neighbours import blocks, radii


class _Manifolds(Collected):
    """What needs `neighbours` neighbours of every sample, and as many of either side."""

    def __init__(self, metric: str, *, neighbours: int) -> None:
        super().__init__(metric, fewest=neighbours + 1)
        self.neighbours = neighbours


class PrecisionRecall(_Manifolds):
    """`precision` and `recall`, each in [0, 1]."""

    figures: ClassVar[frozenset[str]] = frozenset({"precision", "recall"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Of the first samples of either side, as many as there are of both."""
        count = min(len(real), len(generated))
        real, generated = real[:count], generated[:count]
        real_radii = radii(real, self.neighbours)
        generated_radii = radii(generated, self.neighbours)
        good = torch.zeros(count, dtype=torch.bool)
        met = 0
        for rows, distances in blocks(real, generated):
            good |= (distances <= real_radii[rows, None]).any(dim=0)
            met += int((distances <= generated_radii).any(dim=1).sum())
        return {"precision": int(good.sum()) / count, "recall": met / count}


class DensityCoverage(_Manifolds):
    """`density`, at least 0 and about 1 for the real law, and `coverage`, in [0, 1]."""

    figures: ClassVar[frozenset[str]] = frozenset({"density", "coverage"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Of the first samples of either side, as many as there are of both."""
        count = min(len(real), len(generated))
        real, generated = real[:count], generated[:count]
        real_radii = radii(real, self.neighbours)
        within = covered = 0
        for rows, distances in blocks(real, generated):
            inside = distances < real_radii[rows, None]
            within += int(inside.sum())
            covered += int(inside.any(dim=1).sum())
        return {"density": within / (self.neighbours * count), "coverage": covered / count}
