"""Base class and helpers of the metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganzoo.api import UserError


class BufferedMetric(ABC):
    """Base of metrics that need all samples at once: `update` stores them, `compute` measures."""

    values: ClassVar[frozenset[str]]
    """Names of the values that depend on generated samples."""

    def __init__(self, metric: str, *, min_samples: int = 1) -> None:
        """`metric` is the type for error messages, `min_samples` the minimum of either side."""
        self.metric, self.min_samples = metric, min_samples
        self._batches: Mapping[bool, list[Tensor]] = {True: [], False: []}
        self._labels: Mapping[bool, list[Tensor]] = {True: [], False: []}

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Store a batch `(N, ...)` and its labels, int64 `(N,)`."""
        self._batches[real].append(samples)
        if labels is not None:
            self._labels[real].append(labels)

    def labels(self, *, real: bool) -> Tensor:
        """Labels of all samples of one side, int64 `(N,)`."""
        return torch.cat(self._labels[real])

    def compute(self) -> dict[str, float]:
        """The values by name; NaN if a generated sample is not finite.

        Raises:
            UserError: there are fewer than `min_samples` samples of either side.
        """
        for real in (True, False):
            count = sum(map(len, self._batches[real]))
            check_sample_count(self.metric, count, self.min_samples, real=real)
        real_samples, generated = (torch.cat(self._batches[real]) for real in (True, False))
        if not generated.isfinite().all():
            return dict.fromkeys(sorted(self.values), math.nan)
        return self.measure(real_samples, generated)

    @abstractmethod
    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The values of real samples `(M, ...)` and finite generated samples `(N, ...)`."""


def check_sample_count(metric: str, count: int, minimum: int, *, real: bool) -> None:
    """Raise `UserError` if a metric has fewer samples of one side than it needs."""
    if count >= minimum:
        return
    side = "real" if real else "generated"
    samples = "sample" if minimum == 1 else "samples"
    more = ", and hold out more of the data" if real else ""
    raise UserError(
        f"metric '{metric}' needs at least {minimum} {side} {samples} and was given {count}",
        hint=f"raise evaluate.samples{more}",
    )


def ratio(generated: float, real: float) -> float:
    """`generated / real`, NaN if `real` is 0."""
    return generated / real if real else math.nan
