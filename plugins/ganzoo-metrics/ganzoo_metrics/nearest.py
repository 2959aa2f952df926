"""Nearest training samples: memorisation and repetition."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .base import BufferedMetric, ratio
from .neighbours import nearest_distances

REFERENCE_SHARE = 0.01
"""Share of real samples within the threshold distance; expected of generated samples too."""


def share_within(distances: Tensor, reference: Tensor) -> float:
    """Share of distances `(N,)` up to the 1 % quantile of reference distances `(M,)`."""
    return float((distances <= reference.quantile(REFERENCE_SHARE)).double().mean())


class Nearest(BufferedMetric):
    """Distances of generated samples to training samples, and to each other."""

    values: ClassVar[frozenset[str]] = frozenset({"generated", "ratio", "share", "repeated"})

    def __init__(self, metric: str, *, training: Tensor, held_out: bool, samples: int) -> None:
        """`training` is `(T, F)`; `held_out` is true if the real samples are not among them."""
        super().__init__(metric, min_samples=2)
        self.training, self.held_out, self.samples = training, held_out, samples

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The values of the first `samples` samples of each side."""
        count = min(self.samples, len(real), len(generated))
        repeated = share_within(
            nearest_distances(generated[:count]), nearest_distances(real[:count])
        )
        distances = nearest_distances(generated[: self.samples], self.training)
        median = float(distances.median())
        if not self.held_out:
            return {"generated": median, "repeated": repeated}
        real_distances = nearest_distances(real[: self.samples], self.training)
        real_median = float(real_distances.median())
        return {
            "generated": median,
            "real": real_median,
            "ratio": ratio(median, real_median),
            "share": share_within(distances, real_distances),
            "repeated": repeated,
        }
