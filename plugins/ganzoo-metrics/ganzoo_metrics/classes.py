"""Metrics of the extractor's class probabilities."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .base import BufferedMetric

COVERED_FACTOR = 10
"""A class is covered if its generated share is at least its real share divided by this."""


def inception_score(probabilities: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of probabilities `(N, K)`: in [1, K].

    Salimans et al. 2016 (arXiv:1606.03498), section 4.
    """
    p = probabilities.double()
    # float32 probabilities sum to 1 up to their own rounding only.
    p = p / p.sum(dim=1, keepdim=True)
    # The mean divergence from the mean is the mean's entropy minus the mean entropy, where
    # probabilities of 0 need no special case.
    entropy = torch.special.entr
    divergence = entropy(p.mean(dim=0)).sum() - entropy(p).sum(dim=1).mean()
    return math.exp(max(float(divergence), 0.0))


class InceptionScore(BufferedMetric):
    """`score` of the generated samples, and `real`, that of the real samples."""

    values: ClassVar[frozenset[str]] = frozenset({"score"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`score` and `real`, each in [1, K]."""
        return {"score": inception_score(generated), "real": inception_score(real)}


class Classes(BufferedMetric):
    """`covered`, the number of classes still generated, and `kl`, the divergence of shares."""

    values: ClassVar[frozenset[str]] = frozenset({"covered", "kl"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`covered`, at most K, and `kl` in nats, from 0 to log(M + 1) with M real samples."""
        classes = real.shape[1]
        real_counts, counts = (
            side.argmax(dim=1).bincount(minlength=classes) for side in (real, generated)
        )
        # In whole numbers, so that exactly a tenth counts as covered.
        frequent = COVERED_FACTOR * counts * len(real) >= real_counts * len(generated)
        covered = (real_counts > 0) & frequent
        # One real sample is added, spread over the classes as the generated samples are: every
        # generated class then has a real share above 0, and equal shares stay equal.
        shares = counts.double() / len(generated)
        real_shares = (real_counts + shares) / (len(real) + 1)
        present = shares > 0
        kl = (shares[present] * torch.log(shares[present] / real_shares[present])).sum()
        return {"covered": float(covered.sum()), "kl": max(float(kl), 0.0)}
