"""Multi-layer perceptrons as generator, discriminator and encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, Field, PositiveInt

from ganzoo.api import (
    BuildContext,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    Remark,
    Surroundings,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn

GANZOO_API_VERSION = 1

Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
Normalization = Literal["none", "batch", "layer"]


class _Layers(BaseModel):
    """The keys that the three perceptrons share."""

    hidden: tuple[PositiveInt, ...] = Field(
        (256, 512, 1024), description="widths of the hidden layers, from input to output"
    )
    activation: Activation = Field(
        "leaky-relu", description="function after each hidden layer (leaky-relu has slope 0.2)"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout after each hidden layer")
    normalization: Normalization = Field("none", description="normalisation before each activation")

    @property
    def traits(self) -> Mapping[str, str]:
        return {"batch-statistics": "normalization"} if self.normalization == "batch" else {}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if self.normalization == "batch" and recipe.batch_size // getattr(self, "pack", 1) == 1:
            message = "batch normalisation of a single sample has no variance"
            hint = "make train.batch_size greater, train.accumulate smaller, or take 'layer'"
            yield Remark(message, key="normalization", hint=hint, fatal=True)


class MLPGenerator(_Layers, GeneratorSpec):
    """Perceptron from latents to samples; tanh at the end for images, linear for points.

    z `(N, latent_dim)` to x `(N, *sample_shape)`, images in [-1, 1]. With classes, an embedding
    of the class is joined to z (Mirza and Osindero 2014, arXiv:1411.1784).
    """

    type: ClassVar[str] = "mlp"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    def build(self, context: BuildContext) -> nn.Module:
        from .networks import Generator

        return Generator(
            latent_dim=context.latent_dim,
            sample_shape=context.sample_shape,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


class MLPDiscriminator(_Layers, DiscriminatorSpec):
    """Perceptron from samples to logits.

    x `(N, *sample_shape)` to logits `(N,)`. With normalisation `batch` a logit depends on the
    whole batch, and a gradient penalty is no longer one per sample. With classes, the product of
    an embedding of the class with the inputs of the last layer is added to the logit (Miyato and
    Koyama 2018, arXiv:1802.05637, equation 3).
    """

    type: ClassVar[str] = "mlp"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    hidden: tuple[PositiveInt, ...] = Field(
        (1024, 512, 256), description="widths of the hidden layers, from input to output"
    )

    def build(self, context: BuildContext) -> nn.Module:
        from .networks import Discriminator

        return Discriminator(
            sample_shape=context.sample_shape,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


class MLPEncoder(_Layers, EncoderSpec):
    """Perceptron from samples to codes, or to mean and log-variance where a loss asks for both.

    x `(N, *sample_shape)` to one or two tensors `(N, latent_dim)`. With classes, an embedding of
    the class is joined to the inputs of the last layer.
    """

    type: ClassVar[str] = "mlp"
    provides: ClassVar[frozenset[str]] = frozenset({"variance", "classes"})

    hidden: tuple[PositiveInt, ...] = Field(
        (1024, 512, 256), description="widths of the hidden layers, from input to output"
    )

    def build(self, context: BuildContext) -> nn.Module:
        from .networks import Encoder

        return Encoder(
            sample_shape=context.sample_shape,
            latent_dim=context.latent_dim,
            variance="variance" in context.requested,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


@hookimpl
def ganzoo_generators() -> Sequence[type[GeneratorSpec]]:
    """The generator."""
    return [MLPGenerator]


@hookimpl
def ganzoo_discriminators() -> Sequence[type[DiscriminatorSpec]]:
    """The discriminator."""
    return [MLPDiscriminator]


@hookimpl
def ganzoo_encoders() -> Sequence[type[EncoderSpec]]:
    """The encoder."""
    return [MLPEncoder]
