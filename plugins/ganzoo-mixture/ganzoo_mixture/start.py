"""First means and scale of a mixture, computed from the training points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from ganzoo.api import UserError
from ganzoo.engine import Data, Samples


def training_points(data: Data, components: int) -> Tensor:
    """The points float32 `(M, D)` of the training set.

    Raises `UserError` where they are not in memory, or fewer than there are components.
    """
    if not isinstance(data.train, Samples):
        raise UserError(
            "'mixture' starts from points in memory, but this data set is read from disk "
            "sample by sample",
            hint="generator.type = 'mlp' takes any data set",
        )
    points = data.train.values
    if len(points) < components:
        raise UserError(
            f"generator.components = {components}, but the data have only {len(points)} points",
            hint=f"generator.components = {len(points)} is the most that these data allow",
        )
    return points


def random_start(points: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Means `(K, D)` drawn among the points without repetition, and one wide scale, 0-d.

    The scale is the standard deviation of all points `(M, D)`, the root mean square of those of
    the D directions. The draw is from torch's default random stream.
    """
    means = points[torch.randperm(len(points))[:components]].clone()
    return means, points.var(dim=0, correction=0).mean().sqrt()


def k_means_start(points: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Centres `(K, D)` of clusters of the points `(M, D)`, and one narrow scale, 0-d.

    k-means is maximum likelihood for equal round Gaussians of which each point belongs to the
    nearest (Celeux and Govaert 1992, "A classification EM algorithm"); the scale is their
    standard deviation, the root mean square distance to the nearest centre in each direction.
    The first centres are drawn from torch's default random stream.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    seed = int(torch.randint(2**31, ()))
    # Several threads add up the centres in an order that varies, and so does the rounding.
    with threadpool_limits(limits=1):
        fitted = KMeans(components, n_init=4, random_state=seed).fit(points.double().numpy())
    means = torch.from_numpy(fitted.cluster_centers_).to(points)
    variance = cast(float, fitted.inertia_) / points.numel()
    return means, points.new_tensor(variance).sqrt()


START: Mapping[str, Callable[[Tensor, int], tuple[Tensor, Tensor]]] = {
    "k-means": k_means_start,
    "random": random_start,
}
"""First means and scale by the name of the initialisation."""
