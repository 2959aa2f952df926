"""A code for every training sample, in a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganzoo.api import Batch, Networks

from .distances import Distance, reconstruction


def within_law(codes: Tensor, distribution: str) -> Tensor:
    """Codes `(M, latent_dim)` moved to the nearest place that they may have.

    The ball of radius sqrt(latent_dim) for normal latents, the cube [-1, 1] for uniform ones.
    Codes that may stay where they are come back bit for bit, and so do those moved before.
    """
    if distribution == "uniform":
        return codes.clamp(-1, 1)
    radius = math.sqrt(codes.shape[1])
    norms: Tensor = torch.linalg.vector_norm(codes, dim=1, keepdim=True)
    # Just inside, so that rounding does not put a code beyond again.
    return torch.where(norms > radius, codes * (radius * (1 - 1e-6) / norms), codes)


class PairedCodes(nn.Module):
    """The distance between x and G of its own code: the term `reconstruction`.

    The table `(count, latent_dim)` is drawn from torch's default random stream: a parameter
    where the codes are `learned`, otherwise a buffer that no checkpoint holds, since the seed
    brings it back.
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
            self.table = nn.Parameter(within_law(table, distribution))
        else:
            self.register_buffer("table", table, persistent=False)

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Loss`. Learned codes are put back where they may be first.

        All of them, not only the batch's: every process must find the same table.
        """
        if self.learned:
            with torch.no_grad():
                self.table.copy_(within_law(self.table, self.distribution))
        codes = self.table[batch.indices]
        return {"reconstruction": reconstruction(self.distance, networks.generator, codes, batch.x)}

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        """The rows of the batch's samples, where they may be; the table stays as it is."""
        codes = self.table[batch.indices]
        return within_law(codes, self.distribution) if self.learned else codes
