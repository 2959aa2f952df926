"""Whether a generator gives back training samples, or the same sample many times."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .collected import Collected, ratio
from .neighbours import nearest

NEAREST_SHARE = 0.01
"""The nearest part of the real samples, which a generated one should be in as rarely."""


def share_within(found: Tensor, expected: Tensor) -> float:
    """Share of distances `(N,)` up to the one below which the nearest 1 % of `(M,)` lie."""
    return float((found <= expected.quantile(NEAREST_SHARE)).double().mean())


class Nearest(Collected):
    """Distances of generated samples to training samples, and to each other."""

    figures: ClassVar[frozenset[str]] = frozenset({"generated", "ratio", "share", "repeated"})

    def __init__(self, metric: str, *, training: Tensor, held_out: bool, samples: int) -> None:
        """`training` is `(T, F)`; `held_out` says that real samples are not among them."""
        super().__init__(metric, fewest=2)
        self.training, self.held_out, self.samples = training, held_out, samples

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The figures of the first samples of either side."""
        count = min(self.samples, len(real), len(generated))
        repeated = share_within(nearest(generated[:count]), nearest(real[:count]))
        to_training = nearest(generated[: self.samples], self.training)
        median = float(to_training.median())
        if not self.held_out:
            return {"generated": median, "repeated": repeated}
        expected = nearest(real[: self.samples], self.training)
        real_median = float(expected.median())
        return {
            "generated": median,
            "real": real_median,
            "ratio": ratio(median, real_median),
            "share": share_within(to_training, expected),
            "repeated": repeated,
        }
