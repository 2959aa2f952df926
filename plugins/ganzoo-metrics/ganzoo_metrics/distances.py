"""Frechet and kernel distance between generated and real features."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from .base import BufferedMetric


class Gaussian(NamedTuple):
    """A normal distribution with covariance `factor.T @ factor`, in float64."""

    mean: Tensor
    """`(F,)`."""
    factor: Tensor
    """`(min(N, F), F)` for N samples."""


def fit_gaussian(features: Tensor) -> Gaussian:
    """Mean and unbiased covariance of features `(N, F)`; N at least 2."""
    features = features.double()
    mean = features.mean(dim=0)
    # The covariance itself is never formed: that would square the condition number.
    factor = torch.linalg.qr(features - mean, mode="r").R / (len(features) - 1) ** 0.5
    return Gaussian(mean, factor)


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """||m1 - m2||^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), at least 0.

    Heusel et al. 2017 (arXiv:1706.08500), equation 6.
    """
    # With S1 = A^T A and S2 = B^T B, the nonzero eigenvalues of S1 S2 are the squared singular
    # values of A B^T. So no root of a rounding error is taken, even if a covariance is singular.
    root_trace = torch.linalg.svdvals(p.factor @ q.factor.T).sum()
    traces = p.factor.square().sum() + q.factor.square().sum()
    distance = (p.mean - q.mean).square().sum() + traces - 2 * root_trace
    return max(float(distance), 0.0)


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / F + 1)^3 of all pairs of rows of `(M, F)` and `(N, F)`: `(M, N)`."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased estimate of the squared MMD with the polynomial kernel.

    Of float64 features `(M, F)` and `(N, F)`; M and N at least 2. Gretton et al. 2012,
    "A kernel two-sample test", equation 3.
    """
    m, n = len(x), len(y)
    k_xx, k_yy = polynomial_kernel(x, x), polynomial_kernel(y, y)
    within_x = (k_xx.sum() - k_xx.trace()) / (m * (m - 1))
    within_y = (k_yy.sum() - k_yy.trace()) / (n * (n - 1))
    return float(within_x + within_y - 2 * polynomial_kernel(x, y).mean())


def random_subset(samples: Tensor, count: int) -> Tensor:
    """Up to `count` of samples `(M, ...)`, always the same: data sets may be sorted."""
    rng = torch.Generator().manual_seed(0)
    return samples[torch.randperm(len(samples), generator=rng)[:count]]


class FrechetDistance(BufferedMetric):
    """`fid`, and `floor` if training features `(T, F)` are given."""

    values: ClassVar[frozenset[str]] = frozenset({"fid"})

    def __init__(self, metric: str, *, training: Tensor | None) -> None:
        super().__init__(metric, min_samples=2)
        self.training = training

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`fid`, and `floor` of as many training samples as generated ones."""
        reference = fit_gaussian(real)
        values = {"fid": frechet_distance(reference, fit_gaussian(generated))}
        if self.training is not None:
            training = random_subset(self.training, len(generated))
            values["floor"] = frechet_distance(reference, fit_gaussian(training))
        return values


class KernelDistance(BufferedMetric):
    """`kid`, the mean squared MMD over random subsets, and `spread`, its standard deviation."""

    values: ClassVar[frozenset[str]] = frozenset({"kid", "spread"})

    def __init__(self, metric: str, *, subsets: int, subset_size: int) -> None:
        super().__init__(metric, min_samples=2)
        self.subsets, self.subset_size = subsets, subset_size

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`kid` and `spread`; subsets are smaller if there are fewer samples than their size."""
        size = min(self.subset_size, len(real), len(generated))
        sides = real.double(), generated.double()
        rng = torch.Generator().manual_seed(0)
        estimates = torch.tensor(
            [
                squared_mmd(
                    *(side[torch.randperm(len(side), generator=rng)[:size]] for side in sides)
                )
                for _ in range(self.subsets)
            ],
            dtype=torch.float64,
        )
        return {"kid": float(estimates.mean()), "spread": float(estimates.std(correction=0))}
