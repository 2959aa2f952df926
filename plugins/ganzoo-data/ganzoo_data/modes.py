"""How many modes of a known mixture the samples cover."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.api import RunError


class ModeCount:
    """Counts samples around the modes of a mixture (Lin et al. 2018, PacGAN, section 4).

    A sample is of high quality if it lies within 3 standard deviations (Euclidean distance) of its
    nearest mode, and belongs to that mode then; other samples belong to none, nor do those that
    are not finite. Real samples and labels are ignored.
    """

    def __init__(self, *, means: Tensor, std: float) -> None:
        """`means` is `(K, D)`, `std` the standard deviation around each of them."""
        self.means = means
        self.std = std
        self.counts = torch.zeros(len(means), dtype=torch.int64)
        self.total = 0

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Take in points `(N, D)`; real ones are ignored."""
        if real:
            return
        # Differences, not the matrix product that cdist uses by default: that one cancels the
        # digits in which points around a narrow mode differ.
        offsets = torch.cdist(
            samples, self.means.to(samples), compute_mode="donot_use_mm_for_euclid_dist"
        )
        distances, nearest = offsets.min(dim=1)
        modes = nearest[distances <= 3 * self.std]
        self.counts += modes.bincount(minlength=len(self.means)).cpu()
        self.total += len(samples)

    def compute(self) -> dict[str, float]:
        """`covered`, `high-quality` and `kl` of all generated samples taken in.

        - `covered`: number of modes to which at least one sample of high quality belongs;
        - `high-quality`: the share of samples of high quality, in [0, 1];
        - `kl`: the Kullback-Leibler divergence, in nats, of the distribution of the samples of
          high quality over the K modes from the uniform one: 0 where all modes are equally
          frequent, log K where all these samples belong to one. Without any such sample it is
          log K, the highest value, so that it stays finite and total failure is never better than
          total collapse.

        Raises:
            RunError: no generated sample was taken in.
        """
        if self.total == 0:
            raise RunError("metric 'modes' was given no generated samples to measure")
        count = int(self.counts.sum())
        shares = self.counts.double() / max(count, 1)
        entropy = -torch.special.xlogy(shares, shares).sum()
        return {
            "covered": float((self.counts > 0).sum()),
            "high-quality": count / self.total,
            "kl": max(0.0, float(torch.tensor(len(self.means)).double().log() - entropy)),
        }
