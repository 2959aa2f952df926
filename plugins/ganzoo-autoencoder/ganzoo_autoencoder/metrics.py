"""How well held-out samples are reconstructed, and how likely they are under a VAE.

Both metrics read the data and the loss themselves; generated samples say nothing about either.
Their draws come from a random stream of their own, so that the values of the same weights are the
same each time, on the same samples for every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from ganzoo.api import BuildContext, CodingLoss, Step, UserError
from ganzoo.engine import Data, Samples, Stream, generator_for, real_samples, take
from ganzoo.engine.random import seeded

from .autoencoders import draw, kl_by_dimension

CHUNK = 100
"""Samples that go through the networks at once. More of them are no faster on a CPU."""


class LikelihoodLoss(Protocol):
    """A loss with a distribution of x given z and a normal q(z | x); it provides `"likelihood"`.

    The distribution of the latents, p(z), is the standard normal.
    """

    def posterior(self, step: Step) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x) for each x, both `(N, latent_dim)`."""
        ...

    def log_likelihood(self, step: Step, z: Tensor) -> Tensor:
        """log p(x | z) of each pair in nats, `(N,)`, with its constant."""
        ...


def log_weights(loss: LikelihoodLoss, step: Step, posterior: tuple[Tensor, Tensor]) -> Tensor:
    """log p(x | z) p(z) / q(z | x) in nats, one draw z of q for each x; float64 `(N,)` on the CPU.

    `posterior` is the mean and the log-variance of q(z | x).
    """
    z = draw(*posterior)
    # Not on the device, which may not have float64.
    likelihood = loss.log_likelihood(step, z).cpu().double()
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
    """What both metrics have in common: they measure real samples, of which there are steps."""

    def __init__(self, context: BuildContext, samples: int) -> None:
        assert context.step is not None  # the engine makes steps for every metric
        self.step: Callable[..., Step] = context.step
        self.device = context.device or torch.device("cpu")
        self.labelled = context.num_classes is not None
        self.data: Data = context.data
        self.count = min(samples, len(real_samples(self.data)))

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Ignore the samples: the metric takes real ones from the data set itself."""

    def steps(self, part: Samples | Stream) -> Iterator[Step]:
        """Steps on at most `count` samples, drawn without replacement and always the same.

        Each has `CHUNK` samples or fewer.
        """
        chosen = torch.randperm(len(part), generator=generator_for(0, "measured"))[: self.count]
        for indices in chosen.split(CHUNK):
            x, labels = (each.to(self.device) for each in take(part, indices))
            yield self.step(x, labels if self.labelled else None)


class Likelihood(_OnHeldOut):
    """The log-likelihood of held-out samples, bounded in two ways."""

    def __init__(self, context: BuildContext, *, samples: int, importance_samples: int) -> None:
        super().__init__(context, samples)
        self.loss: LikelihoodLoss = context.loss
        self.draws = importance_samples

    @torch.no_grad()
    def compute(self) -> dict[str, float]:
        """The values, in nats per sample.

        - `log-likelihood`: `importance_bound`, never less than `elbo`;
        - `elbo`: the mean log-weight of all draws, with beta 1 and no free bits;
        - `kl`: KL(q(z | x) || p(z)), in closed form;
        - `reconstruction`: E -log p(x | z), computed as minus `elbo` minus `kl`. So the three add
          up, and the error from the draws is small where q is near the exact posterior, and zero
          where it is exact.
        """
        bounds, elbos, kls = [], [], []
        with seeded(0, "likelihood", device=self.device):
            for step in self.steps(real_samples(self.data)):
                posterior = self.loss.posterior(step)
                rows = [log_weights(self.loss, step, posterior) for _ in range(self.draws)]
                weights = torch.stack(rows)
                bounds.append(importance_bound(weights))
                elbos.append(weights.mean(0))
                kls.append(float(kl_by_dimension(*posterior).sum()) * len(step.x))
        elbo, kl = float(torch.cat(elbos).mean()), sum(kls) / self.count
        return {
            "log-likelihood": float(torch.cat(bounds).mean()),
            "elbo": elbo,
            "reconstruction": -elbo - kl,
            "kl": kl,
        }


class ReconstructionError(_OnHeldOut):
    """The mean squared error of decoded codes, on held-out and on training samples."""

    def __init__(self, context: BuildContext, *, samples: int) -> None:
        super().__init__(context, samples)
        self.loss: CodingLoss = context.loss

    @torch.no_grad()
    def compute(self) -> dict[str, float]:
        """`reconstruction-error` on held-out samples, `training` on as many training samples.

        Per value of a sample: of pixels in [0, 1], of points in their own units, squared.

        Raises:
            UserError: the loss has no codes for samples that it was not trained on.
        """
        return {
            "reconstruction-error": self._error(real_samples(self.data)),
            "training": self._error(self.data.train),
        }

    def _error(self, part: Samples | Stream) -> float:
        total, values = 0.0, 0
        with seeded(0, "reconstruction-error", device=self.device):
            for step in self.steps(part):
                x = step.x
                decoded = step.generate(self._codes(step), step.labels)
                scale = 4 if x.ndim == 4 else 1  # from pixels in [-1, 1] to pixels in [0, 1]
                total += float((decoded - x).square().mean()) / scale * x.numel()
                values += x.numel()
        return total / values

    def _codes(self, step: Step) -> Tensor:
        codes = self.loss.codes(step)
        if len(codes) != len(step.x):
            raise UserError(
                "metric 'reconstruction-error' needs codes of held-out samples, but the loss"
                " knows those of training samples only",
                hint="remove the metric, or take a loss that trains the encoder",
            )
        return codes
