"""Divergences of generated samples from a known density."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.api import UserError

from .divergences import divergences
from .line import BLOCKS, Distribution, Line


class DivergenceMetric:
    """Collects generated points `(N, 1)`; real ones are ignored.

    `line` is None for data that are not on a line: there are no values then.
    """

    def __init__(self, line: Line | None) -> None:
        self.line = line
        self.samples: list[Tensor] = []

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Take in points; real ones and labels are ignored."""
        if not real and self.line is not None:
            self.samples.append(samples.reshape(-1))

    def compute(self) -> dict[str, float]:
        """`kl(P||G)`, `kl(G||P)`, `js`, `tv`; all are not a number if a sample is not finite.

        Raises `UserError` where there are fewer than 10 samples.
        """
        if self.line is None:
            return {}
        count = sum(map(len, self.samples))
        if count < BLOCKS:
            raise UserError(
                f"metric 'divergence' needs at least {BLOCKS} generated samples, not {count}",
                hint="evaluate.samples=10000 is usual",
            )
        return divergences(self.line, Distribution.of_samples(self.line, torch.cat(self.samples)))
