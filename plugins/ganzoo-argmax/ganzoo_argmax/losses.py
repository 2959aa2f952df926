"""The discriminator's loss against samples that it draws itself.

With the logit l of D(x) = sigmoid(l): -log D(x) = softplus(-l), -log(1 - D(x)) = softplus(l).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.api import Batch, Networks


class ArgmaxLoss:
    """Cross-entropy of real samples against D's own maxima, and a term that keeps logits small.

    Terms `real`, `fake` and, where its weight is not 0, `logits`; statistics `D(x)` and
    `D(G(z))`, the mean probabilities of being real. D is climbed once.
    """

    def __init__(self, logit_weight: float) -> None:
        self.logit_weight = logit_weight

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """Terms of the one phase; see `ganzoo.api.Loss`."""
        samples = networks.generator(batch.z).detach()
        fake = networks.discriminator(samples)
        real = networks.discriminator(batch.x)
        terms = {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}
        if self.logit_weight:
            squares = real.square().mean() + fake.square().mean()
            terms["logits"] = self.logit_weight * squares
        return {
            **terms,
            "D(x)": real.detach().sigmoid().mean(),
            "D(G(z))": fake.detach().sigmoid().mean(),
        }
