"""The losses of an encoder and a decoder. Codes are `(N, latent_dim)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganzoo.api import Batch, Networks, UserError

from .discrepancy import squared_mmd
from .distances import Distance, reconstruction, reconstructions

LOG_VARIANCE = (-20.0, 10.0)
"""Range of the log-variance that a posterior is allowed: where exp and its square are finite."""


def bounded(log_variance: Tensor) -> Tensor:
    """The log-variance within LOG_VARIANCE, with the gradient of the identity.

    A clamp alone would leave an encoder that went beyond without any gradient that leads back.
    """
    return log_variance + (log_variance.clamp(*LOG_VARIANCE) - log_variance).detach()


def kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats of each dimension, mean over the batch.

    Both `(N, latent_dim)`, the result `(latent_dim,)`. Kingma and Welling 2014, appendix B.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean(0) / 2


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One draw of each normal, differentiable in both, from torch's default random stream."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


class Reconstruction:
    """The distance between x and G(E(x)): the term `reconstruction`."""

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Loss`."""
        codes = networks.encoder(batch.x)
        return {"reconstruction": reconstruction(self.distance, networks.generator, codes, batch.x)}

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        """E(x)."""
        codes: Tensor = networks.encoder(batch.x)
        return codes


class Elbo:
    """Minus the evidence lower bound: the term `loss`; statistics in nats per sample."""

    def __init__(self, surprise: Distance, *, beta: float, warm_up: int, free_bits: float) -> None:
        self.surprise = surprise
        """-log p(x | z) for G(z) and x."""
        self.beta = beta
        self.warm_up = warm_up
        self.free_bits = free_bits

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term and the statistics; see `ganzoo.api.Loss`."""
        mean, log_variance = self.posterior(networks, batch.x)
        z = draw(mean, log_variance)
        surprise = -self.log_likelihood(networks, z, batch.x).mean()
        divergences = kl_by_dimension(mean, log_variance)
        paid = divergences.clamp(min=self.free_bits).sum()
        kl = divergences.detach().sum()
        return {
            "loss": surprise + self._beta(batch.iteration) * paid,
            "reconstruction": surprise.detach(),
            "kl": kl,
            "elbo": -surprise.detach() - kl,
        }

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        """A draw of q(z | x) for each x.

        Not its mean: the draws are what G learns to decode, and their law over the data, the
        aggregate posterior, is what the standard normal stands in for when G is sampled.
        """
        return draw(*self.posterior(networks, batch.x))

    def posterior(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), the normal of each x; both `(N, latent_dim)`."""
        mean, log_variance = networks.encoder(x)
        return mean, bounded(log_variance)

    def log_likelihood(self, networks: Networks, z: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) of each pair in nats, `(N,)`, with its constant; z `(N, latent_dim)`."""
        return -reconstructions(self.surprise, networks.generator, z, x)

    def _beta(self, iteration: Tensor) -> Tensor | float:
        """Weight of the divergence after so many completed iterations."""
        if not self.warm_up:
            return self.beta
        return self.beta * (iteration / self.warm_up).clamp(max=1)


class Mmd:
    """A reconstruction, and codes that look like latents as a set: the term `loss`."""

    def __init__(self, distance: Distance, *, weight: float, widths: Sequence[float]) -> None:
        self.distance = distance
        self.weight = weight
        self.widths = widths

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term and both of its parts as statistics; see `ganzoo.api.Loss`."""
        if len(batch.x) < 2:
            raise UserError(
                "loss 'mmd' compares the codes of a batch with each other, but this batch has"
                " one sample",
                hint="train.batch_size must be at least 2 for each process",
            )
        codes = networks.encoder(batch.x)
        distance = reconstruction(self.distance, networks.generator, codes, batch.x)
        mmd = squared_mmd(codes, batch.z, self.widths)
        return {
            "loss": distance + self.weight * mmd,
            "reconstruction": distance.detach(),
            "mmd": mmd.detach(),
        }

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        """E(x)."""
        codes: Tensor = networks.encoder(batch.x)
        return codes
