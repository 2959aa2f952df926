"""Nearest neighbours by brute force, in blocks that fit into memory.

Distances are Euclidean and taken in float64: the matrix product that makes them fast loses about
half the digits where two samples are much nearer to each other than to the middle of all.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

ROWS = 1000
"""Rows of x in a block."""


def blocks(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Distances between the rows of x `(N, F)` and of y `(M, F)`, some rows of x at a time.

    Yields their indices, int64 `(n,)`, and float64 distances `(n, M)`.
    """
    # Around their mean the numbers are as small, and their products as exact, as can be.
    middle = y.double().mean(dim=0)
    centred = y.double() - middle
    for rows in torch.arange(len(x)).split(ROWS):
        part = x[rows].double() - middle
        yield rows, torch.cdist(part, centred, compute_mode="use_mm_for_euclid_dist")


def radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row of x `(N, F)` to its k-th nearest other row, float64 `(N,)`; k < N."""
    found = []
    for rows, distances in blocks(x, x):
        distances[torch.arange(len(rows)), rows] = torch.inf
        found.append(distances.topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(found)


def nearest(x: Tensor, y: Tensor | None = None) -> Tensor:
    """Distance of each row of x `(N, F)` to the nearest row of y `(M, F)`, float64 `(N,)`.

    Without y, to the nearest other row of x. Equal rows are at a distance of exactly 0.
    """
    others = x if y is None else y
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(x), dtype=torch.int64)
    # y may be the whole training set, so it is y that comes in blocks.
    for rows, distances in blocks(others, x):
        if y is None:
            distances[torch.arange(len(rows)), rows] = torch.inf
        values, indices = distances.min(dim=0)
        nearer = values < best
        best[nearer], where[nearer] = values[nearer], rows[indices[nearer]]
    # Once more from the differences, which lose no digits.
    exact: Tensor = torch.linalg.vector_norm(x.double() - others[where].double(), dim=1)
    return exact
