"""The two losses of the first GAN (Goodfellow et al. 2014, arXiv:1406.2661), declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ganzoo.api import BuildContext, Loss, LossSpec, Phase, hookimpl

DISCRIMINATOR_TERMS: Mapping[str, str] = {
    "discriminator/real": "-E log D(x), in nats: log 2 = 0.693 where D does not know, 0 where it"
    " is sure",
    "discriminator/fake": "-E log(1 - D(G(z))), in nats: log 2 = 0.693 where D does not know",
    "discriminator/D(x)": "mean probability that D gives real samples of being real",
    "discriminator/D(G(z))": "mean probability that D gives generated samples of being real",
}


class MinimaxLoss(LossSpec):
    """The two-player game itself: G minimises E log(1 - D(G(z))), which D maximises.

    D maximises E log D(x) + E log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1). The
    gradient of G vanishes while D tells its samples apart with ease.
    """

    type: ClassVar[str] = "minimax"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains={"discriminator"}),
        "generator": Phase(trains={"generator"}, reads_data=False),
    }
    provides: ClassVar[frozenset[str]] = frozenset({"probabilities"})
    terms: ClassVar[Mapping[str, str]] = {
        **DISCRIMINATOR_TERMS,
        "generator/loss": "E log(1 - D(G(z))), in nats: -log 2 = -0.693 where D does not know",
    }

    def build(self, context: BuildContext) -> Loss:
        from ganzoo.builtin.adversarial import AdversarialLoss, minimax_generator_term

        return AdversarialLoss(minimax_generator_term)


class NonSaturatingLoss(LossSpec):
    """G maximises E log D(G(z)), whose gradient is large where D is sure; D as in minimax.

    Goodfellow et al. 2014, end of section 3.
    """

    type: ClassVar[str] = "non-saturating"
    phases: ClassVar[Mapping[str, Phase]] = MinimaxLoss.phases
    provides: ClassVar[frozenset[str]] = MinimaxLoss.provides
    terms: ClassVar[Mapping[str, str]] = {
        **DISCRIMINATOR_TERMS,
        "generator/loss": "-E log D(G(z)), in nats: log 2 = 0.693 where D does not know",
    }

    def build(self, context: BuildContext) -> Loss:
        from ganzoo.builtin.adversarial import AdversarialLoss, non_saturating_generator_term

        return AdversarialLoss(non_saturating_generator_term)


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    """The losses of the core."""
    return [MinimaxLoss, NonSaturatingLoss]
