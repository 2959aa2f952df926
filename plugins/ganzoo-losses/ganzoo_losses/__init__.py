"""Adversarial losses, discriminator regularizers and augmentations for ganzoo.

Only declarations stand here; each `build` imports the file that does the work. D(x) is the
discriminator's logit, a number without bounds, and E a mean over the batch of N. Logits are
`(N,)`, or `(N / m,)` of a discriminator that packs m samples. A key of type `Value` may change
over the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    Loss,
    LossSpec,
    Phase,
    RegularizerSpec,
    Remark,
    Surroundings,
    Value,
    hookimpl,
)

from .augmentation_specs import DiffAugment, InstanceNoise
from .regularizer_specs import R1, R2, Consistency, Dragan, GradientPenalty

GANZOO_API_VERSION = 1

DISCRIMINATOR = Phase(trains=frozenset({"discriminator"}))
GENERATOR = Phase(trains=frozenset({"generator"}), reads_data=False)
PHASES: Mapping[str, Phase] = {"discriminator": DISCRIMINATOR, "generator": GENERATOR}
LOGITS: Mapping[str, str] = {
    "discriminator/logit(x)": "E D(x), the mean logit of real samples",
    "discriminator/logit(G(z))": "E D(G(z)), the mean logit of generated samples",
}


class HingeLoss(LossSpec):
    """D minimises E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), G minimises -E D(G(z)).

    Lim and Ye 2017 (arXiv:1705.02894), and equations 16 and 17 of Miyato et al. 2018
    (arXiv:1802.05957). Logits `(N,)`; D's loss is 2 at zero logits. Alone it tends to collapse:
    give D spectral normalisation or add a penalty.
    """

    type: ClassVar[str] = "hinge"
    phases: ClassVar[Mapping[str, Phase]] = PHASES
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "E max(0, 1 - D(x)), 0 where every real logit is above 1",
        "discriminator/fake": "E max(0, 1 + D(G(z))), 0 where every generated one is below -1",
        "generator/loss": "-E D(G(z)); it has no bounds",
        **LOGITS,
    }

    def build(self, context: BuildContext) -> Loss:
        from .losses import TwoPlayerLoss, hinge_terms, negated_mean

        return TwoPlayerLoss(hinge_terms, negated_mean)


class LeastSquaresLoss(LossSpec):
    """D minimises E (D(x) - b)^2 / 2 + E (D(G(z)) - a)^2 / 2, G minimises E (D(G(z)) - c)^2 / 2.

    Mao et al. 2017 (arXiv:1611.04076), equation 2, with the 0-1 coding of equation 9 by default;
    a = -1, b = 1, c = 0 makes G minimise a Pearson chi-square divergence (equation 8), b = 0.9
    smooths the label of real data. The logits `(N,)` are compared with the targets as they are.
    """

    type: ClassVar[str] = "least-squares"
    phases: ClassVar[Mapping[str, Phase]] = PHASES
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "half of E (D(x) - b)^2",
        "discriminator/fake": "half of E (D(G(z)) - a)^2",
        "generator/loss": "half of E (D(G(z)) - c)^2",
        **LOGITS,
    }

    a: Value = Field(0.0, description="D's target for generated samples")
    b: Value = Field(1.0, description="D's target for real samples; 0.9 smooths their label")
    c: Value = Field(1.0, description="G's target for D's logits of generated samples")

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if self.a == self.b:
            message = "D's targets for real and generated samples are the same: it learns nothing"
            yield Remark(message, key="b", hint="a = 0 and b = 1 are usual", fatal=True)
        if self.c == self.a:
            message = "G's target is D's for generated samples: G learns nothing"
            yield Remark(message, key="c", hint="c is usually b", fatal=True)

    def build(self, context: BuildContext) -> Loss:
        from .losses import TwoPlayerLoss, half_squared_distance

        a, b, c = (context.value(target) for target in (self.a, self.b, self.c))
        return TwoPlayerLoss(
            lambda real, fake: {
                "real": half_squared_distance(real, b),
                "fake": half_squared_distance(fake, a),
            },
            partial(half_squared_distance, target=c),
        )


class WassersteinLoss(LossSpec):
    """D maximises E D(x) - E D(G(z)), G maximises E D(G(z)); D's weights are clipped.

    Arjovsky et al. 2017 (arXiv:1701.07875), equations 2 and 3 and algorithm 1, which takes five
    steps of D for one of G and RMSprop with rate 5e-5. All weights of D are clipped in place to
    [-clip, clip] before each phase, the same as after each step of D. The statistic `distance`
    is E D(x) - E D(G(z)), in units of D: the Wasserstein-1 distance up to D's Lipschitz
    constant. For WGAN-GP write clip = 0 and add the regularizer `gradient-penalty`.
    """

    type: ClassVar[str] = "wasserstein"
    phases: ClassVar[Mapping[str, Phase]] = PHASES
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "-E D(x)",
        "discriminator/fake": "E D(G(z))",
        "discriminator/distance": "E D(x) - E D(G(z)): falls towards 0 as samples become like"
        " the data",
        "generator/loss": "-E D(G(z)); it has no bounds",
        **LOGITS,
    }

    clip: NonNegativeFloat = Field(
        0.01, description="D's weights stay within [-clip, clip]; 0 leaves them alone (WGAN-GP)"
    )

    @property
    def traits(self) -> Mapping[str, str]:
        return {"weight-clipping": "clip"} if self.clip else {}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        bounds = ("regularizers.lipschitz", "discriminator.lipschitz")
        if not self.clip and not any(map(recipe.trait, bounds)):
            message = "nothing bounds the slope of D: its logits grow without an end"
            yield Remark(message, key="clip", hint="add the regularizer 'gradient-penalty'")

    def build(self, context: BuildContext) -> Loss:
        from .losses import TwoPlayerLoss, WeightClipping, negated_mean, wasserstein_terms

        loss = TwoPlayerLoss(wasserstein_terms, negated_mean)
        return WeightClipping(loss, self.clip) if self.clip else loss


class RelativisticLoss(LossSpec):
    """Pairs: D minimises E softplus(D(G(z)) - D(x)), G minimises E softplus(D(x) - D(G(z))).

    RpGAN: Jolicoeur-Martineau 2018 (arXiv:1807.00734); with the regularizers `r1` and `r2` the
    objective of R3GAN (Huang et al. 2025, arXiv:2501.05441, equation 2). In nats: log 2 where
    the logits `(N,)` of a pair are equal. Both phases read real data.
    """

    type: ClassVar[str] = "relativistic"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": DISCRIMINATOR,
        "generator": Phase(trains=frozenset({"generator"})),
    }
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/loss": "E softplus(D(G(z)) - D(x)) over pairs: log 2 = 0.693 where D"
        " cannot tell them apart, 0 where it is sure",
        "generator/loss": "E softplus(D(x) - D(G(z))) over pairs: log 2 = 0.693 at equal logits",
        **LOGITS,
    }

    def build(self, context: BuildContext) -> Loss:
        from .losses import RelativisticLoss

        return RelativisticLoss()


class FDivergenceLoss(LossSpec):
    """D maximises V = E g(D(x)) - E f*(g(D(G(z)))), which bounds an f-divergence from below.

    Nowozin et al. 2016 (arXiv:1606.00709), equations 4 and 6; f, f* and the output activation g
    are those of tables 1, 2 and 6. G minimises -E g(D(G(z))), as section 3.2 recommends, or
    with generator = "saturating" -E f*(g(D(G(z)))), the part of V that it moves. At its best V
    is E_q f(p/q), p being the data's density and q the generator's; the statistic `bound` is V
    of the batch. As in the paper, `jensen-shannon` is twice the usual (minimax plus log 4). In
    `kl`, `reverse-kl` and `squared-hellinger` exponentials of logits `(N,)` become straight
    lines beyond +-20; V is still a bound.
    """

    type: ClassVar[str] = "f-divergence"
    phases: ClassVar[Mapping[str, Phase]] = PHASES
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "-E g(D(x))",
        "discriminator/fake": "E f*(g(D(G(z))))",
        "discriminator/bound": "minus the sum of both: a lower bound of the divergence, of a batch",
        "generator/loss": "-E g(D(G(z))), or -E f*(g(D(G(z)))) if saturating",
        **LOGITS,
    }

    divergence: Literal[
        "kl",
        "reverse-kl",
        "pearson-chi2",
        "squared-hellinger",
        "jensen-shannon",
        "total-variation",
    ] = Field("jensen-shannon", description="the divergence D_f(data || generator)")
    generator: Literal["saturating", "non-saturating"] = Field(
        "non-saturating", description="G minimises V itself, or -E g(D(G(z)))"
    )

    def build(self, context: BuildContext) -> Loss:
        from .divergences import DIVERGENCES, bound_terms, non_saturating_term, saturating_term
        from .losses import TwoPlayerLoss

        chosen = DIVERGENCES[self.divergence]
        saturating = self.generator == "saturating"
        return TwoPlayerLoss(
            partial(bound_terms, chosen),
            partial(saturating_term if saturating else non_saturating_term, chosen),
        )


class SmoothedNonSaturatingLoss(LossSpec):
    """The non-saturating loss with one-sided label smoothing: D calls real data 0.9 real.

    With the label r, D minimises -E [r log s(D(x)) + (1 - r) log(1 - s(D(x)))] and
    -E log(1 - s(D(G(z)))), s being the sigmoid of a logit `(N,)`; G minimises
    -E log s(D(G(z))). In nats. Salimans et al. 2016 (arXiv:1606.03498), section 3.4: only the
    label of real data is smoothed, since otherwise D would reward G for staying where it is.
    """

    type: ClassVar[str] = "non-saturating-smoothed"
    phases: ClassVar[Mapping[str, Phase]] = PHASES
    provides: ClassVar[frozenset[str]] = frozenset({"probabilities"})
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "cross-entropy of real samples with the smoothed label, in nats",
        "discriminator/fake": "-E log(1 - s(D(G(z)))), in nats: log 2 = 0.693 where D does not"
        " know",
        "discriminator/D(x)": "mean probability that D gives real samples of being real",
        "discriminator/D(G(z))": "mean probability that D gives generated samples of being real",
        "generator/loss": "-E log s(D(G(z))), in nats: log 2 = 0.693 where D does not know",
    }

    real_label: Value = Field(
        0.9, gt=0.5, le=1, description="D's target for real samples, a probability; 1 for none"
    )

    def build(self, context: BuildContext) -> Loss:
        from .losses import TwoPlayerLoss, probabilities, smoothed_terms, surprise

        return TwoPlayerLoss(
            partial(smoothed_terms, real_label=context.value(self.real_label)),
            surprise,
            probabilities,
        )


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    """The losses."""
    return [
        HingeLoss,
        LeastSquaresLoss,
        WassersteinLoss,
        RelativisticLoss,
        FDivergenceLoss,
        SmoothedNonSaturatingLoss,
    ]


@hookimpl
def ganzoo_regularizers() -> Sequence[type[RegularizerSpec]]:
    """The regularizers."""
    return [R1, R2, GradientPenalty, Dragan, Consistency]


@hookimpl
def ganzoo_augmentations() -> Sequence[type[AugmentationSpec]]:
    """The augmentations."""
    return [DiffAugment, InstanceNoise]
