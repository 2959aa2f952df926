"""How many modes of a known mixture a generator holds."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.api import RunError


class ModeCount:
    """Counts samples around the modes of a mixture (Lin et al. 2018, PacGAN, section 4).

    A sample is good if it lies within 3 standard deviations (Euclidean distance) of its nearest
    mode, and belongs to that mode then; other samples belong to none, nor do those that are not
    finite. Real samples are ignored.
    """

    def __init__(self, *, means: Tensor, std: float) -> None:
        """`means` is `(K, D)`, `std` the standard deviation around each of them."""
        self.means = means
        self.std = std
        self.counts = torch.zeros(len(means), dtype=torch.int64)
        self.total = 0

    def update(self, samples: Tensor, *, real: bool) -> None:
        """Take in points `(N, D)`; real ones are ignored."""
        if real:
            return
        # Differences, not the matrix product that cdist takes by default: that one loses the
        # digits in which points around a narrow mode differ.
        offsets = torch.cdist(
            samples, self.means.to(samples), compute_mode="donot_use_mm_for_euclid_dist"
        )
        distances, nearest = offsets.min(dim=1)
        good = nearest[distances <= 3 * self.std]
        self.counts += good.bincount(minlength=len(self.means)).cpu()
        self.total += len(samples)

    def compute(self) -> dict[str, float]:
        """`modes`, `good` and `kl` of all generated samples taken in.

        - `modes`: how many modes at least one good sample belongs to;
        - `good`: the share of good samples, in [0, 1];
        - `kl`: the Kullback-Leibler divergence, in nats, of the good samples' distribution over
          the K modes from the uniform one: 0 where all are equally frequent, log K where all
          good samples belong to one. Samples that are not good count for nothing here. Without
          any good sample it is log K, the worst value there is, so that the figure stays finite
          and total failure never looks better than total collapse.

        Raises:
            RunError: no generated sample was taken in.
        """
        if self.total == 0:
            raise RunError("metric 'modes' was given no generated samples to measure")
        good = int(self.counts.sum())
        shares = self.counts.double() / max(good, 1)
        entropy = -torch.special.xlogy(shares, shares).sum()
        return {
            "modes": float((self.counts > 0).sum()),
            "good": good / self.total,
            "kl": max(0.0, float(torch.tensor(len(self.means)).double().log() - entropy)),
        }
