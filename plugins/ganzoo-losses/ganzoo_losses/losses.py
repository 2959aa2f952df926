"""Losses of the two-player game as functions of logits, and the objects that apply them.

N is the number of logits. They are what D returns, `(N,)`, never passed through a sigmoid; every
function gives 0-d means over the batch and stays finite, with its gradient, for logits of
+-1e4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from ganzoo.api import Loss, Step

Terms = dict[str, Tensor]


def hinge_terms(real: Tensor, fake: Tensor) -> Terms:
    """E max(0, 1 - D(x)) and E max(0, 1 + D(G(z))) from logits `(N,)`: 1 each at zero."""
    return {"real": relu(1 - real).mean(), "fake": relu(1 + fake).mean()}


def negated_mean(fake: Tensor) -> Tensor:
    """-E D(G(z)) from logits `(N,)`: G of the hinge and of the Wasserstein loss."""
    return -fake.mean()


def half_squared_distance(logits: Tensor, target: Tensor) -> Tensor:
    """E (D(.) - target)^2 / 2 from logits `(N,)` and a 0-d target."""
    return (logits - target).square().mean() / 2


def wasserstein_terms(real: Tensor, fake: Tensor) -> Terms:
    """-E D(x) and E D(G(z)) from logits `(N,)`; the statistic `distance` is minus their sum."""
    terms = {"real": -real.mean(), "fake": fake.mean()}
    distance = (real - fake).detach().mean()
    return {**terms, "distance": distance}


def smoothed_terms(real: Tensor, fake: Tensor, real_label: Tensor) -> Terms:
    """Cross-entropies in nats from logits `(N,)`, of D(x) against `real_label`, D(G(z)) against 0.

    `real_label` is 0-d. With the probability p = sigmoid(l), -log p is softplus(-l) and
    -log(1 - p) is softplus(l).
    """
    cross_entropy = real_label * softplus(-real) + (1 - real_label) * softplus(real)
    return {"real": cross_entropy.mean(), "fake": softplus(fake).mean()}


def surprise(fake: Tensor) -> Tensor:
    """-E log sigmoid(D(G(z))) from logits `(N,)`, in nats: log 2 at zero."""
    return softplus(-fake).mean()


def paired(higher: Tensor, lower: Tensor) -> Tensor:
    """E softplus(lower - higher) from logits `(N,)` of pairs, in nats: log 2 where they are equal.

    This is -E log sigmoid(higher - lower).
    """
    return softplus(lower - higher).mean()


def probabilities(real: Tensor, fake: Tensor) -> Terms:
    """Statistics: the mean probabilities of being real, sigmoid of the logits `(N,)`."""
    return {"D(x)": real.detach().sigmoid().mean(), "D(G(z))": fake.detach().sigmoid().mean()}


def mean_logits(real: Tensor, fake: Tensor) -> Terms:
    """Statistics: the means of the logits `(N,)`."""
    return {"logit(x)": real.detach().mean(), "logit(G(z))": fake.detach().mean()}


class TwoPlayerLoss:
    """A loss whose terms judge real and generated samples separately.

    Phase `discriminator`: what `discriminator_terms(real, fake)` gives, and statistics. Phase
    `generator`: the term `loss`, `generator_term(fake)`; real samples are not read.
    """

    def __init__(
        self,
        discriminator_terms: Callable[[Tensor, Tensor], Terms],
        generator_term: Callable[[Tensor], Tensor],
        statistics: Callable[[Tensor, Tensor], Terms] = mean_logits,
    ) -> None:
        self.discriminator_terms = discriminator_terms
        self.generator_term = generator_term
        self.statistics = statistics

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms of one phase; see `ganzoo.api.Loss`."""
        fake = step.fake_logits
        if step.phase == "generator":
            return {"loss": self.generator_term(fake)}
        real = step.real_logits
        return {**self.discriminator_terms(real, fake), **self.statistics(real, fake)}


class RelativisticLoss:
    """A loss of pairs: in each, one network wants the real sample's logit higher, one the fake's.

    Both phases have the term `loss` and read real samples; the i-th real logit is paired with
    the i-th of the fakes.
    """

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms of one phase; see `ganzoo.api.Loss`."""
        fake, real = step.fake_logits, step.real_logits
        if step.phase == "generator":
            return {"loss": paired(higher=fake, lower=real)}
        return {"loss": paired(higher=real, lower=fake), **mean_logits(real, fake)}


class WeightClipping:
    """A loss whose discriminator has its weights within [-clip, clip] whenever it is run.

    They are clipped in place before either phase, so that no forward pass of training uses a
    weight that a step has moved out of the range: the same updates as clipping after every step
    of D.
    """

    def __init__(self, loss: Loss, clip: float) -> None:
        self.loss = loss
        self.clip = clip

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Clip, then the terms of `loss`."""
        with torch.no_grad():
            for weight in step.networks.discriminator.parameters():
                weight.clamp_(-self.clip, self.clip)
        return self.loss.compute(step)
