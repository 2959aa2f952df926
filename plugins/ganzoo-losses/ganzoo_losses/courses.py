"""Values that change in the course of a run, worked out on the device.

`iteration` is `Batch.iteration`: completed iterations, a 0-d tensor. Nothing here waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

Course = Callable[[Tensor], Tensor]
"""From the iteration to a value, both 0-d."""


def linear(start: float, final: float, iterations: float) -> Course:
    """From `start` along a line to `final` after `iterations`, a positive number; then constant."""

    def course(iteration: Tensor) -> Tensor:
        return start + (final - start) * (iteration / iterations).clamp(max=1)

    return course


def cosine(start: float, final: float, iterations: float) -> Course:
    """From `start` along half a cosine to `final` after `iterations`; then constant.

    final + (start - final) (1 + cos(pi min(t / iterations, 1))) / 2 after t iterations.
    """

    def course(iteration: Tensor) -> Tensor:
        share = (iteration / iterations).clamp(max=1)
        return final + (start - final) / 2 * (1 + (math.pi * share).cos())

    return course
