"""Divergences of generated samples from a known density."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.api import UserError

from .figures import divergences
from .line import BLOCKS, Law, Line


class DivergenceMetric:
    """Collects generated points `(N, 1)`; real ones are ignored.

    `line` is None for data that are not on a line: there are no figures then.
    """

    def __init__(self, line: Line | None) -> None:
        self.line = line
        self.samples: list[Tensor] = []

    def update(self, samples: Tensor, *, real: bool) -> None:
        """Take in points; real ones are ignored."""
        if not real and self.line is not None:
            self.samples.append(samples.reshape(-1))

    def compute(self) -> dict[str, float]:
        """`kl(P||G)`, `kl(G||P)`, `js`, `tv`: not a number where a sample is not finite.

        Raises `UserError` where there are fewer than 10 samples.
        """
        if self.line is None:
            return {}
        count = sum(map(len, self.samples))
        if count < BLOCKS:
            raise UserError(
                f"metric 'divergence' needs {BLOCKS} generated samples at least, not {count}",
                hint="evaluate.samples=10000 is usual",
            )
        return divergences(self.line, Law.of_samples(self.line, torch.cat(self.samples)))
