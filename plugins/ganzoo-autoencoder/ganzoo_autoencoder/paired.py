"""A code for every training sample, in a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganzoo.api import Step

from .distances import Distance, reconstruction


def within_support(codes: Tensor, distribution: str) -> Tensor:
    """Codes `(M, latent_dim)` projected onto the region that learned codes stay in.

    The ball of radius sqrt(latent_dim) for normal latents, the cube [-1, 1] for uniform ones.
    Codes inside the region are returned unchanged, bit for bit, also those projected before.
    """
    if distribution == "uniform":
        return codes.clamp(-1, 1)
    radius = math.sqrt(codes.shape[1])
    norms: Tensor = torch.linalg.vector_norm(codes, dim=1, keepdim=True)
    # Just inside, so that rounding does not put a code outside again.
    return torch.where(norms > radius, codes * (radius * (1 - 1e-6) / norms), codes)


class PairedCodes(nn.Module):
    """The distance between x and G of its own code: the term `reconstruction`.

    The table `(count, latent_dim)`, a row for each training sample, is drawn from torch's default
    random stream: a parameter where the codes are `learned`, otherwise a buffer that is not
    saved, since the engine seeds that stream and so the same table is drawn again.
    """

    table: Tensor

    def __init__(
        self, *, count: int, latent_dim: int, distribution: str, learned: bool, distance: Distance
    ) -> None:
        super().__init__()
        self.distribution = distribution
        self.learned = learned
        self.distance = distance
        table = torch.empty(count, latent_dim)
        table = table.uniform_(-1, 1) if distribution == "uniform" else table.normal_()
        if learned:
            self.table = nn.Parameter(within_support(table, distribution))
        else:
            self.register_buffer("table", table, persistent=False)

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Loss`. Learned codes are projected first.

        All of them, not only the batch's: the table must be the same on every process.
        """
        if self.learned:
            with torch.no_grad():
                self.table.copy_(within_support(self.table, self.distribution))
        return {"reconstruction": reconstruction(self.distance, step, self.table[step.indices])}

    def codes(self, step: Step) -> Tensor:
        """The rows of the step's samples, projected if learned; the table is not changed.

        No rows for samples that are not from the training set.
        """
        codes = self.table[step.indices]
        return within_support(codes, self.distribution) if self.learned else codes
