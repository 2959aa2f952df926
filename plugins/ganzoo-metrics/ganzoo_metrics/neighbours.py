"""Nearest neighbours by brute force, in blocks of limited memory.

Distances are Euclidean and computed in float64, because the matrix product that makes them fast
loses about half the digits for samples much nearer to each other than to the mean of all.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ROWS = 1000
"""Rows of a block of distances."""


def distance_blocks(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Distances between the rows of x `(N, F)` and of y `(M, F)`, a block of rows of x at a time.

    Yields row indices of x, int64 `(n,)`, and their distances to y, float64 `(n, M)`.
    """
    # Centring keeps the numbers small and so their products precise.
    mean = y.double().mean(dim=0)
    centred = y.double() - mean
    for rows in torch.arange(len(x)).split(BLOCK_ROWS):
        block = x[rows].double() - mean
        yield rows, torch.cdist(block, centred, compute_mode="use_mm_for_euclid_dist")


def neighbour_radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row of x `(N, F)` to its k-th nearest other row, float64 `(N,)`; k < N."""
    radii = []
    for rows, distances in distance_blocks(x, x):
        distances[torch.arange(len(rows)), rows] = torch.inf
        radii.append(distances.topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(radii)


def nearest_distances(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Distance of each row of x `(N, F)` to the nearest row of y `(M, F)`, float64 `(N,)`.

    Without y, to the nearest other row of x. The distance between equal rows is exactly 0.
    """
    others = x if y is None else y
    smallest = torch.full((len(x),), torch.inf, dtype=torch.float64)
    nearest = torch.zeros(len(x), dtype=torch.int64)
    # y may be the whole training set, so it is y that is split into blocks.
    for rows, distances in distance_blocks(others, x):
        if y is None:
            distances[torch.arange(len(rows)), rows] = torch.inf
        values, indices = distances.min(dim=0)
        nearer = values < smallest
        smallest[nearer], nearest[nearer] = values[nearer], rows[indices[nearer]]
    # Recomputed from the differences, which lose no digits.
    exact: Tensor = torch.linalg.vector_norm(x.double() - others[nearest].double(), dim=1)
    return exact
