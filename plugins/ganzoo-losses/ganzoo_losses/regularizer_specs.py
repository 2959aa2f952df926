"""Declarations of the regularizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat

from ganzoo.api import (
    BuildContext,
    Regularizer,
    RegularizerSpec,
    Remark,
    Surroundings,
    Value,
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
    terms: ClassVar[Mapping[str, str]] = {
        "penalty": "gamma / 2 E ||grad D(x)||^2: 0 where D is flat at the data",
    }

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
    terms: ClassVar[Mapping[str, str]] = {
        "penalty": "gamma / 2 E ||grad D(G(z))||^2: 0 where D is flat at generated samples",
    }

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
    terms: ClassVar[Mapping[str, str]] = {
        "penalty": "weight E (||grad D(y)|| - target)^2 between real and generated samples",
    }

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
    terms: ClassVar[Mapping[str, str]] = {
        "penalty": "weight E (||grad D(y)|| - target)^2 around real samples",
    }

    scale: PositiveFloat = Field(
        0.5, description="size of the noise, in standard deviations of the data"
    )

    @property
    def traits(self) -> Mapping[str, str]:
        return {**super().traits, "batch-statistics": "scale"}

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
    terms: ClassVar[Mapping[str, str]] = {
        "real": "weight E (D(x) - D(T(x)))^2 at real images",
        "fake": "fake_weight E (D(x) - D(T(x)))^2 at generated images",
    }

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
