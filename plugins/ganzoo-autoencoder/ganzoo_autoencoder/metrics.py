"""How well held-out samples are reconstructed, and how likely they are under a VAE.

Both metrics read the data, the networks and the loss themselves; generated samples say nothing
about either. Their draws come from a random stream of their own, so that the figures of the same
weights are the same each time, on the same samples for every run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn

from ganzoo.api import Batch, CodingLoss, Networks, UserError
from ganzoo.engine import Data, Samples, Stream, generator_for, to_unit
from ganzoo.engine.random import seeded

from .autoencoders import draw, kl_by_dimension

CHUNK = 100
"""Samples that go through the networks at once. More of them are no faster on a CPU."""


class LikelihoodLoss(Protocol):
    """A loss with a law of x given z and a normal q(z | x); it provides `"likelihood"`.

    The latents' own law, p(z), is the standard normal.
    """

    def posterior(self, networks: Networks, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x) for each x, both `(N, latent_dim)`."""
        ...

    def log_likelihood(self, networks: Networks, z: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) of each pair in nats, `(N,)`, with its constant."""
        ...


def chunks(part: Samples | Stream, count: int, device: torch.device) -> Iterator[Tensor]:
    """At most `count` samples, drawn without replacement and always the same.

    `(N, *sample_shape)` float32 on the device, N at most CHUNK; images in [-1, 1].
    """
    chosen = torch.randperm(len(part), generator=generator_for(0, "measured"))[:count]
    for indices in chosen.split(CHUNK):
        if isinstance(part, Samples):
            values = part.values[indices]
        else:
            values = torch.stack([part[index][0] for index in indices.tolist()])
        yield to_unit(values).to(device)


def log_weights(
    loss: LikelihoodLoss, networks: Networks, x: Tensor, posterior: tuple[Tensor, Tensor]
) -> Tensor:
    """log p(x | z) p(z) / q(z | x) in nats, one draw z of q for each x; float64 `(N,)` on the CPU.

    `posterior` is the mean and the log-variance of q(z | x).
    """
    z = draw(*posterior)
    # Not on the device, which may know no float64.
    likelihood = loss.log_likelihood(networks, z, x).cpu().double()
    mean, log_variance = (part.cpu().double() for part in posterior)
    z = z.cpu().double()
    # log p(z) / q(z | x): the constants of the two normals are the same.
    ratio = (z - mean).square() / log_variance.exp() + log_variance - z.square()
    return likelihood + ratio.sum(1) / 2


def importance_bound(weights: Tensor) -> Tensor:
    """The log of the mean weight of each sample, from log-weights `(draws, N)` to `(N,)`.

    Burda et al. 2016 (arXiv:1509.00519), equation 8: a lower bound of log p(x) on average, which
    rises with the number of draws.
    """
    return weights.logsumexp(0) - math.log(len(weights))


class _OnHeldOut:
    """What both metrics have to go by."""

    def __init__(self, *, data: Data, networks: Mapping[str, nn.Module], samples: int) -> None:
        """`networks` are a generator and an encoder, in evaluation mode."""
        self.train = data.train
        self.held_out = data.train if data.held_out is None else data.held_out
        self.networks = Networks(
            generator=networks["generator"],
            discriminator=None,  # type: ignore[arg-type]
            encoder=networks["encoder"],
        )
        weights = chain.from_iterable(network.parameters() for network in networks.values())
        self.device = next((weight.device for weight in weights), torch.device("cpu"))
        self.count = min(samples, len(self.held_out))

    def update(self, samples: Tensor, *, real: bool) -> None:
        """Nothing: neither generated samples nor those that others measure are looked at."""


class Likelihood(_OnHeldOut):
    """The log-likelihood of held-out samples, bounded in two ways."""

    def __init__(
        self,
        *,
        loss: LikelihoodLoss,
        data: Data,
        networks: Mapping[str, nn.Module],
        samples: int,
        importance_samples: int,
    ) -> None:
        super().__init__(data=data, networks=networks, samples=samples)
        self.loss = loss
        self.draws = importance_samples

    @torch.no_grad()
    def compute(self) -> dict[str, float]:
        """The figures, in nats per sample.

        - `log-likelihood`: `importance_bound`, never less than `elbo`;
        - `elbo`: the mean log-weight of all draws, with beta 1 and no free bits;
        - `kl`: KL(q(z | x) || p(z)), in closed form;
        - `reconstruction`: E -log p(x | z), as what `elbo` and `kl` leave for it. So they add up,
          and the draws err little where q is near the exact posterior, by nothing where it is.
        """
        bounds, elbos, kls = [], [], []
        with seeded(0, "likelihood", device=self.device):
            for x in chunks(self.held_out, self.count, self.device):
                posterior = self.loss.posterior(self.networks, x)
                rows = [
                    log_weights(self.loss, self.networks, x, posterior) for _ in range(self.draws)
                ]
                weights = torch.stack(rows)
                bounds.append(importance_bound(weights))
                elbos.append(weights.mean(0))
                kls.append(float(kl_by_dimension(*posterior).sum()) * len(x))
        elbo, kl = float(torch.cat(elbos).mean()), sum(kls) / self.count
        return {
            "log-likelihood": float(torch.cat(bounds).mean()),
            "elbo": elbo,
            "reconstruction": -elbo - kl,
            "kl": kl,
        }


class ReconstructionError(_OnHeldOut):
    """The mean squared error of decoded codes, on held-out and on training samples."""

    def __init__(
        self,
        *,
        loss: CodingLoss,
        data: Data,
        networks: Mapping[str, nn.Module],
        latent_dim: int,
        samples: int,
    ) -> None:
        super().__init__(data=data, networks=networks, samples=samples)
        self.loss = loss
        self.latent_dim = latent_dim

    @torch.no_grad()
    def compute(self) -> dict[str, float]:
        """`reconstruction-error` on held-out samples, `training` on as many others.

        Per value of a sample: of pixels in [0, 1], of points in their own units, squared.

        Raises:
            UserError: the loss has no codes for samples that it was not trained on.
        """
        return {
            "reconstruction-error": self._error(self.held_out),
            "training": self._error(self.train),
        }

    def _error(self, part: Samples | Stream) -> float:
        total, values = 0.0, 0
        with seeded(0, "reconstruction-error", device=self.device):
            for x in chunks(part, self.count, self.device):
                decoded = self.networks.generator(self._codes(x))
                # Pixels are in [-1, 1] here.
                scale = 4 if x.ndim == 4 else 1
                total += float((decoded - x).square().mean()) / scale * x.numel()
                values += x.numel()
        return total / values

    def _codes(self, x: Tensor) -> Tensor:
        batch = Batch(
            x=x,
            z=x.new_zeros(len(x), self.latent_dim),
            labels=None,
            # Samples outside the training set have no position in it: nothing can be looked up.
            indices=torch.empty(0, dtype=torch.int64, device=self.device),
            iteration=torch.zeros((), device=self.device),
        )
        codes = self.loss.codes(self.networks, batch)
        if len(codes) != len(x):
            raise UserError(
                "metric 'reconstruction-error' needs codes of held-out samples, but the loss"
                " knows those of training samples only",
                hint="remove the metric, or take a loss that trains the encoder",
            )
        return codes
