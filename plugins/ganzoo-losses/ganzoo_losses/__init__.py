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

from pydantic import Field, NonNegativeFloat, PositiveFloat

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    Loss,
    LossSpec,
    Phase,
    Regularizer,
    RegularizerSpec,
    Remark,
    Surroundings,
    Value,
    hookimpl,
)

from .augmentation_specs import DiffAugment, InstanceNoise

GANZOO_API_VERSION = 1

DISCRIMINATOR = Phase(trains=frozenset({"discriminator"}))
GENERATOR = Phase(trains=frozenset({"generator"}), reads_data=False)
PHASES: Mapping[str, Phase] = {"discriminator": DISCRIMINATOR, "generator": GENERATOR}


class HingeLoss(LossSpec):
    """D minimises E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), G minimises -E D(G(z)).

    Lim and Ye 2017 (arXiv:1705.02894), and equations 16 and 17 of Miyato et al. 2018
    (arXiv:1802.05957). Logits `(N,)`; D's loss is 2 at zero logits. Alone it tends to collapse:
    give D spectral normalisation or add a penalty.
    """

    type: ClassVar[str] = "hinge"
    phases: ClassVar[Mapping[str, Phase]] = PHASES

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


def _one_for_each_sample(recipe: Surroundings) -> Iterable[Remark]:
    """A note where D looks at the batch as a whole."""
    if key := recipe.trait("discriminator.batch-statistics"):
        message = (
            f"with {key} a logit depends on the whole batch, and the penalty is not of samples"
        )
        yield Remark(message, hint='normalization = "none" in [discriminator] is usual with it')


class _ZeroCentred(RegularizerSpec):
    """The key of the two penalties whose gradients should vanish."""

    gamma: Value = Field(
        10.0,
        ge=0,
        description="weight of the penalty; 1 to 100 for images, about 0.02 for points of the"
        " scale of 0.05",
    )

    @property
    def traits(self) -> Mapping[str, str]:
        return {"lipschitz": "gamma"}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        return _one_for_each_sample(recipe)


class R1(_ZeroCentred):
    """gamma / 2 E ||grad D(x)||^2 at real samples, which flattens D where the data is.

    Mescheder et al. 2018 (arXiv:1801.04406), equation 9. The squared norm of the gradient of a
    logit with respect to the sample that it judges, or to the samples of its pack, per unit of x
    squared. It is taken through the augmentations, of the logits that the loss uses, and costs
    no forward pass. The burn-in of R3GAN (Huang et al. 2025, arXiv:2501.05441) is a ramp of
    gamma: { from = 0.05, to = 0.005, shape = "cosine", over = [0.0, 0.3] }.
    """

    type: ClassVar[str] = "r1"
    differentiates: ClassVar[frozenset[str]] = frozenset({"x"})

    def build(self, context: BuildContext) -> Regularizer:
        from .penalties import RealPenalty

        return RealPenalty(context.value(self.gamma))


class R2(_ZeroCentred):
    """gamma / 2 E ||grad D(G(z))||^2 at generated samples; the partner of `r1`.

    Mescheder et al. 2018 (arXiv:1801.04406), equation 10. The squared norms are those of `r1`,
    of the logits of fakes. Nothing reaches G.
    """

    type: ClassVar[str] = "r2"
    differentiates: ClassVar[frozenset[str]] = frozenset({"fake"})

    def build(self, context: BuildContext) -> Regularizer:
        from .penalties import FakePenalty

        return FakePenalty(context.value(self.gamma))


class _Norm(RegularizerSpec):
    """The keys of the two penalties whose gradients should have a certain norm."""

    weight: Value = Field(10.0, ge=0, description="weight of the penalty")
    target: NonNegativeFloat = Field(1.0, description="the norm that a gradient of D should have")
    one_sided: bool = Field(False, description="norms below the target cost nothing")

    @property
    def traits(self) -> Mapping[str, str]:
        return {"lipschitz": "weight"}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        key = recipe.trait("loss.weight-clipping")
        if key and self.target and not self.one_sided:
            message = (
                f"its norm of {self.target:g} is out of reach of the clipped weights of {key}: "
                "next to nothing would be trained"
            )
            hint = f"write {key} = 0 (WGAN-GP), or leave the penalty out"
            yield Remark(message, hint=hint, fatal=True)
        yield from _one_for_each_sample(recipe)


class GradientPenalty(_Norm):
    """weight E (||grad D(y)|| - target)^2 at points y between real and generated samples.

    y = e x + (1 - e) G(z) with e uniform on [0, 1), one for each pair. WGAN-GP: Gulrajani et
    al. 2017 (arXiv:1704.00028), equation 3 and algorithm 1. One-sided,
    E max(0, ||grad D(y)|| - target)^2 (Petzka et al. 2018, arXiv:1709.08894). One norm for each
    logit, of its gradient with respect to its sample or pack; of a pack all samples have the same
    e, and the norm is that of the whole pack. In a class-conditional recipe x is paired with
    G(z, class of x), which costs a forward pass of G. D should have no batch normalisation.
    """

    type: ClassVar[str] = "gradient-penalty"

    def build(self, context: BuildContext) -> Regularizer:
        from .penalties import GradientPenalty

        return GradientPenalty(
            weight=context.value(self.weight), target=self.target, one_sided=self.one_sided
        )


class Dragan(_Norm):
    """weight E (||grad D(y)|| - target)^2 at points y around real samples.

    y = x + a * scale * std * u: std of all numbers of the batch, u uniform on [0, 1) for each
    of them, a uniform on [0, 1) for each sample, or pack of samples. Kodali et al. 2017
    (arXiv:1705.07215), with the noise of the authors' code, where the paper's formula has a
    normal one. D judges y as of the class of x. D should have no batch normalisation.
    """

    type: ClassVar[str] = "dragan"

    scale: PositiveFloat = Field(
        0.5, description="size of the noise, in standard deviations of the data"
    )

    def build(self, context: BuildContext) -> Regularizer:
        from .penalties import DraganPenalty

        return DraganPenalty(
            weight=context.value(self.weight),
            target=self.target,
            scale=self.scale,
            one_sided=self.one_sided,
        )


class Consistency(RegularizerSpec):
    """weight E (D(x) - D(T(x)))^2 for small random translations T, at real and at fake images.

    Balanced consistency, bCR: Zhao et al. 2021 (arXiv:2002.04724), algorithm 1; with
    fake_weight = 0 the CR of Zhang et al. 2020 (arXiv:1910.12027). D may be any
    discriminator, where the consistency term of CT-GAN needs one with dropout and with access
    to its last hidden layer. Augmentations come after T and draw anew, unless they are `paired`.
    Nothing reaches G. Images `(N, C, H, W)` only.
    """

    type: ClassVar[str] = "consistency"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})

    weight: Value = Field(10.0, ge=0, description="weight of the term at real images")
    fake_weight: Value = Field(
        10.0, ge=0, description="weight of the term at generated images; 0 to leave it out"
    )
    shift: float = Field(
        0.125, gt=0, le=0.5, description="largest translation, as a share of the image's side"
    )
    flip: bool = Field(False, description="mirror half of the images left to right as well")

    def build(self, context: BuildContext) -> Regularizer:
        from .penalties import Consistency

        return Consistency(
            weight=context.value(self.weight),
            fake_weight=None if self.fake_weight == 0 else context.value(self.fake_weight),
            shift=self.shift,
            flip=self.flip,
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
