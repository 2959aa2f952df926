"""Losses of the two-player game, written on logits so that they stay finite.

With the logit l of D(x) = sigmoid(l): -log D(x) = softplus(-l), -log(1 - D(x)) = softplus(l).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.protocols import Step


def discriminator_terms(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-E log D(x) and -E log(1 - D(G(z))) from the logits `(N,)` of both, in nats.

    Both are log 2 where the logits are zero.
    """
    return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}


def minimax_generator_term(fake: Tensor) -> Tensor:
    """E log(1 - D(G(z))) from logits `(N,)`, in nats: -log 2 at zero, 0 where D is sure."""
    return -softplus(fake).mean()


def non_saturating_generator_term(fake: Tensor) -> Tensor:
    """-E log D(G(z)) from logits `(N,)`, in nats: log 2 at zero."""
    return softplus(-fake).mean()


class AdversarialLoss:
    """D as in the two-player game, G by `generator_term`, a function of the fakes' logits.

    Phase `discriminator`: terms `real` and `fake`, statistics `D(x)` and `D(G(z))`, the mean
    probabilities. Phase `generator`: the term `loss`.
    """

    def __init__(self, generator_term: Callable[[Tensor], Tensor]) -> None:
        self.generator_term = generator_term

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms of one phase; see `ganzoo.protocols.Loss`."""
        fake = step.fake_logits
        if step.phase == "generator":
            return {"loss": self.generator_term(fake)}
        real = step.real_logits
        return {
            **discriminator_terms(real, fake),
            "D(x)": real.detach().sigmoid().mean(),
            "D(G(z))": fake.detach().sigmoid().mean(),
        }
