"""What metrics share that look at all samples at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from ganzoo.api import UserError


class Collected(ABC):
    """Keeps the rows it is given, and takes its figures over all of them."""

    figures: ClassVar[frozenset[str]]
    """Those that depend on generated samples."""

    def __init__(self, metric: str, *, fewest: int = 1) -> None:
        """`metric` is the name for messages, `fewest` the samples needed of either side."""
        self.metric, self.fewest = metric, fewest
        self._parts: Mapping[bool, list[Tensor]] = {True: [], False: []}

    def update(self, samples: Tensor, *, real: bool) -> None:
        """Take in rows `(N, ...)`."""
        self._parts[real].append(samples)

    def compute(self) -> dict[str, float]:
        """The figures; not numbers where a generated value is not finite.

        Raises:
            UserError: there are too few samples of either side.
        """
        for real in (True, False):
            given = sum(len(part) for part in self._parts[real])
            check_count(self.metric, given, self.fewest, real=real)
        real_rows, generated = (torch.cat(self._parts[real]) for real in (True, False))
        if not generated.isfinite().all():
            return dict.fromkeys(sorted(self.figures), math.nan)
        return self.measure(real_rows, generated)

    @abstractmethod
    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The figures of real rows `(M, ...)` and generated ones `(N, ...)`, all finite."""


def check_count(metric: str, given: int, fewest: int, *, real: bool) -> None:
    """Raise `UserError` where a metric was given fewer samples than it needs."""
    if given >= fewest:
        return
    side = "real" if real else "generated"
    samples = "sample" if fewest == 1 else "samples"
    more = ", and hold out more of the data" if real else ""
    raise UserError(
        f"metric '{metric}' needs at least {fewest} {side} {samples} and was given {given}",
        hint=f"raise evaluate.samples{more}",
    )


@contextmanager
def fixed_draws(seed: int = 0) -> Iterator[None]:
    """Let torch's CPU stream begin at `seed`, and put it back afterwards; no other is touched."""
    # torch.manual_seed would seed every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def ratio(generated: float, real: float) -> float:
    """`generated / real`, not a number where `real` is 0."""
    return generated / real if real else math.nan
