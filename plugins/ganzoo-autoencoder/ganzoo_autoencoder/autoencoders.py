"""The losses of an encoder and a decoder. Codes are `(N, latent_dim)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganzoo.api import Step, UserError

from .discrepancy import squared_mmd
from .distances import Distance, reconstruction, reconstructions

LOG_VARIANCE = (-20.0, 10.0)
"""Range of a posterior's log-variance; exp and its square are finite there."""


def bounded(log_variance: Tensor) -> Tensor:
    """The log-variance within LOG_VARIANCE, with the gradient of the identity.

    A clamp alone has no gradient outside of the range, so that an encoder would stay there.
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

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Loss`."""
        return {"reconstruction": reconstruction(self.distance, step, self.codes(step))}

    def codes(self, step: Step) -> Tensor:
        """E(x)."""
        codes: Tensor = step.code
        return codes


class Elbo:
    """Minus the evidence lower bound: the term `loss`; statistics in nats per sample."""

    def __init__(self, distance: Distance, *, beta: Tensor, free_bits: float) -> None:
        """`distance` is -log p(x | z) of G(z) and x; `beta`, 0-d, may change over the run."""
        self.distance = distance
        self.beta = beta
        self.free_bits = free_bits

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term and the statistics; see `ganzoo.api.Loss`."""
        mean, log_variance = self.posterior(step)
        z = draw(mean, log_variance)
        distance = -self.log_likelihood(step, z).mean()
        divergences = kl_by_dimension(mean, log_variance)
        penalized = divergences.clamp(min=self.free_bits).sum()
        kl = divergences.detach().sum()
        return {
            "loss": distance + self.beta * penalized,
            "reconstruction": distance.detach(),
            "kl": kl,
            "elbo": -distance.detach() - kl,
        }

    def codes(self, step: Step) -> Tensor:
        """A draw of q(z | x) for each x.

        Not its mean: the draws are what G learns to decode, and their distribution over the data,
        the aggregate posterior, is what the standard normal replaces when G is sampled.
        """
        return draw(*self.posterior(step))

    def posterior(self, step: Step) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), the normal of each x; both `(N, latent_dim)`."""
        mean, log_variance = step.code
        return mean, bounded(log_variance)

    def log_likelihood(self, step: Step, z: Tensor) -> Tensor:
        """log p(x | z) of each pair in nats, `(N,)`, with its constant; z `(N, latent_dim)`."""
        return -reconstructions(self.distance, step, z)


class Mmd:
    """A reconstruction, and codes that look like latents as a set: the term `loss`."""

    def __init__(self, distance: Distance, *, weight: Tensor, widths: Sequence[float]) -> None:
        """`weight`, 0-d, may change over the run; `widths` are those of the kernels."""
        self.distance = distance
        self.weight = weight
        self.widths = widths

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term and both of its parts as statistics; see `ganzoo.api.Loss`."""
        if len(step.x) < 2:
            raise UserError(
                "loss 'mmd' compares the codes of a batch with each other, but this batch has"
                " one sample",
                hint="train.batch_size must be at least 2 for each process",
            )
        distance = reconstruction(self.distance, step, step.code)
        mmd = squared_mmd(step.code, step.z, self.widths)
        return {
            "loss": distance + self.weight * mmd,
            "reconstruction": distance.detach(),
            "mmd": mmd.detach(),
        }

    def codes(self, step: Step) -> Tensor:
        """E(x)."""
        codes: Tensor = step.code
        return codes
