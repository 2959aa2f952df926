"""The discriminator's loss against maxima of its own logit.

With the logit l of D(x) = sigmoid(l): -log D(x) = softplus(-l), -log(1 - D(x)) = softplus(l).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.api import Step


class ArgmaxLoss:
    """Cross-entropy of real samples against D's own maxima, and a term that keeps logits small.

    Terms `real`, `fake` and, where its weight is not 0, `logits`; statistics `D(x)` and
    `D(G(z))`, the mean probabilities of being real.
    """

    def __init__(self, logit_weight: float) -> None:
        self.logit_weight = logit_weight

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms of the only phase; see `ganzoo.api.Loss`."""
        fake, real = step.fake_logits, step.real_logits
        terms = {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}
        if self.logit_weight:
            squares = real.square().mean() + fake.square().mean()
            terms["logits"] = self.logit_weight * squares
        return {
            **terms,
            "D(x)": real.detach().sigmoid().mean(),
            "D(G(z))": fake.detach().sigmoid().mean(),
        }
