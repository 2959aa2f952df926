"""Distances between the laws of generated and real features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .as_given import frechet_distance, kernel_distance
from .collected import Collected


class FrechetDistance(Collected):
    """`fid` of features, and its `floor` where training features `(T, F)` are given."""

    figures: ClassVar[frozenset[str]] = frozenset({"fid"})

    def __init__(self, metric: str, *, training: Tensor | None) -> None:
        super().__init__(metric, fewest=2)
        self.training = training

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`fid`, and `floor` with as many training samples as generated ones."""
        figures = {"fid": frechet_distance(real, generated)}
        if self.training is not None:
            # At random, because data sets may be sorted.
            stream = torch.Generator().manual_seed(0)
            chosen = torch.randperm(len(self.training), generator=stream)[: len(generated)]
            figures["floor"] = frechet_distance(real, self.training[chosen])
        return figures


class KernelDistance(Collected):
    """`kid` of features and its `spread` over subsets."""

    figures: ClassVar[frozenset[str]] = frozenset({"kid", "spread"})

    def __init__(self, metric: str, *, subsets: int, subset_size: int) -> None:
        super().__init__(metric, fewest=2)
        self.subsets, self.subset_size = subsets, subset_size

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`kid` and `spread`, with smaller subsets where there are fewer samples."""
        size = min(self.subset_size, len(real), len(generated))
        mean, deviation = kernel_distance(real, generated, subsets=self.subsets, subset_size=size)
        return {"kid": mean, "spread": deviation}
