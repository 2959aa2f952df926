"""torchmetrics' figures of features that are there already, without a network of their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from .collected import fixed_draws


class AsGiven(nn.Module):
    """In the place of a feature extractor: gives back what it is given, `(N, F)`."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


@contextmanager
def without_warnings() -> Iterator[None]:
    """No warnings about memory, nor about the deviation of a single figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Frechet distance of Gaussians fitted to features `(M, F)` and `(N, F)`, M and N at least 2.

    Never below 0, where rounding would carry it.
    """
    # Without sync_on_compute=False torchmetrics would wait for ranks that do not measure.
    metric = FrechetInceptionDistance(AsGiven(real.shape[1]), sync_on_compute=False)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return max(0.0, float(metric.compute()))


def kernel_distance(
    real: Tensor, generated: Tensor, *, subsets: int, subset_size: int
) -> tuple[float, float]:
    """Mean and standard deviation of the squared MMD over subsets of features `(N, F)`.

    `subset_size` is at least 2 and at most the smaller number of samples.
    """
    with without_warnings(), fixed_draws():
        metric = KernelInceptionDistance(
            AsGiven(real.shape[1]), subsets=subsets, subset_size=subset_size, sync_on_compute=False
        )
        metric.update(real.double(), real=True)
        metric.update(generated.double(), real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def inception_score(probabilities: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of probabilities `(N, K)`: at least 1, at most K."""
    # Logits are wanted, and finite ones: a probability of 0 becomes the smallest number there is.
    logits = probabilities.double().clamp(min=torch.finfo(torch.float64).tiny).log()
    with without_warnings(), fixed_draws():
        metric = InceptionScore(AsGiven(logits.shape[1]), splits=1, sync_on_compute=False)
        metric.update(logits)
        score, _ = metric.compute()
    return float(score)
