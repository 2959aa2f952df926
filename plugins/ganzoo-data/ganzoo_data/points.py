"""Points drawn from known distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ganzoo.engine import Data, Samples, generator_for

from .mixture import GaussianMixture


def ring_means(modes: int, radius: float) -> list[tuple[float, ...]]:
    """Centres at equal angles on a circle, against the clock from (radius, 0)."""
    angles = [2 * math.pi * mode / modes for mode in range(modes)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def grid_means(side: int, spacing: float) -> list[tuple[float, ...]]:
    """Centres on a square grid around the origin, row after row from the lower left."""
    places = [spacing * (index - (side - 1) / 2) for index in range(side)]
    return [(x, y) for y in places for x in places]


def draw_data(
    name: str, means: Sequence[Sequence[float]], std: float, samples: int, *, labelled: bool
) -> Data:
    """Two independent sets of `samples` points of one mixture, and the mixture as density.

    The random streams are fixed by `name`: whatever the seed of a run, the points are the same.
    """
    mixture = GaussianMixture(torch.tensor(means, dtype=torch.float32), std)

    def part(stream: str) -> Samples:
        points, modes = mixture.draw(samples, generator_for(0, name, stream))
        return Samples(points, modes if labelled else None)

    return Data(train=part("train"), held_out=part("held-out"), density=mixture)
