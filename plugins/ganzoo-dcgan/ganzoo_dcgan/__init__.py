"""Generator, discriminator and encoder of convolutions, after DCGAN.

Source: Radford, Metz and Chintala 2016, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", arXiv:1511.06434.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from ganzoo.api import (
    BuildContext,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    Remark,
    Surroundings,
    UserError,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn

GANZOO_API_VERSION = 1

SMALLEST, LARGEST = 8, 512
"""Sides of the pictures that the networks are made for, in pixels."""
LONGEST = 8
"""How often the shorter side of a picture may go into the longer one."""

Activation = Literal["relu", "leaky-relu", "gelu", "silu"]
Normalization = Literal["none", "batch", "instance", "group"]


class _Layers(BaseModel):
    """The keys that the three networks share."""

    base_channels: PositiveInt = Field(
        64, description="channels of the layer nearest the image; doubles towards the latent"
    )
    max_channels: PositiveInt = Field(512, description="bound on that doubling")
    normalization: Normalization = Field(
        "batch",
        description="normalisation between convolution and activation, "
        "not next to the image; group: 16 channels a group",
    )
    spectral_norm: bool = Field(
        False, description="divide the weight of each convolution by its largest singular value"
    )
    activation: Activation = Field(
        "leaky-relu", description="function after each hidden layer (leaky-relu has slope 0.2)"
    )
    initialization: Literal["dcgan", "default"] = Field(
        "dcgan",
        description="first weights; dcgan: N(0, 0.02), normalisation N(1, 0.02), biases 0; "
        "default: torch's own",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max_channels < self.base_channels:
            raise ValueError("max_channels must be at least base_channels")
        return self

    @property
    def traits(self) -> Mapping[str, str]:
        return {"batch-statistics": "normalization"} if self.normalization == "batch" else {}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        """Refuse pictures of a shape that the networks are not made for."""
        if problem := _problem(recipe.sample_shape):
            yield Remark(problem[0], hint=problem[1], fatal=True)
        if self.normalization == "batch" and recipe.batch_size // getattr(self, "pack", 1) == 1:
            message = "batch normalisation of a single picture: its own statistics alone"
            hint = "make train.batch_size greater, train.accumulate smaller, or take 'instance'"
            yield Remark(message, key="normalization", hint=hint)


class DCGANGenerator(_Layers, GeneratorSpec):
    """Transposed convolutions from latents to pictures (Radford et al. 2016).

    z `(N, latent_dim)` to x `(N, C, H, W)` in [-1, 1], for H and W from 8 to 512, the longer at
    most 8 times the shorter; arXiv:1511.06434. Layers double the sides from a small grid: 4x4 to
    64x64, 3x4 to 48x64. With classes, an embedding of the class is joined to z (Mirza and Osindero
    2014, arXiv:1411.1784). Raises `UserError` for pictures of another shape.
    """

    type: ClassVar[str] = "dcgan"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    activation: Activation = Field(
        "relu", description="function after each hidden layer (leaky-relu has slope 0.2)"
    )
    upsampling: Literal["transposed", "resize"] = Field(
        "transposed",
        description="transposed: 4x4 transposed convolution; "
        "resize: nearest neighbour, then a 3x3 convolution",
    )

    def build(self, context: BuildContext) -> nn.Module:
        channels, size = _picture(context.sample_shape)
        from .networks import Generator

        return Generator(
            channels=channels,
            size=size,
            latent_dim=context.latent_dim,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


class DCGANDiscriminator(_Layers, DiscriminatorSpec):
    """Strided convolutions from pictures to logits (Radford et al. 2016).

    x `(N, C, H, W)` to logits `(N,)`, for H and W from 8 to 512, the longer at most 8 times the
    shorter; arXiv:1511.06434. With normalisation `batch`, the paper's own, or with
    `minibatch_std`, a logit depends on the whole batch while training: real and fake batches are
    seen through other statistics, and a gradient penalty is no longer one per sample. Take `none`
    with R1, R2 and gradient penalties. With classes, the product of an embedding of the class with
    the inputs of the last layer is added to the logit (Miyato and Koyama 2018, arXiv:1802.05637,
    equation 3). Raises `UserError` for pictures of another shape.
    """

    type: ClassVar[str] = "dcgan"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})

    dropout: float = Field(0.0, ge=0, lt=1, description="dropout after each hidden layer")
    minibatch_std: bool = Field(
        False,
        description="show the last layer how much the batch varies (Karras et al. 2018), "
        "against collapse",
    )

    @property
    def traits(self) -> Mapping[str, str]:
        traits = {"batch-statistics": "minibatch_std"} if self.minibatch_std else {}
        traits |= super().traits
        return traits | ({"lipschitz": "spectral_norm"} if self.spectral_norm else {})

    def build(self, context: BuildContext) -> nn.Module:
        channels, size = _picture(context.sample_shape)
        from .networks import Discriminator

        return Discriminator(
            channels=channels,
            size=size,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


class DCGANEncoder(_Layers, EncoderSpec):
    """Strided convolutions from pictures to codes, or to mean and log-variance.

    x `(N, C, H, W)` to one tensor `(N, latent_dim)`, or to two where a loss asks for a variance; H
    and W from 8 to 512, the longer at most 8 times the shorter. The discriminator of Radford et al.
    2016 (arXiv:1511.06434) with more outputs. With classes, an embedding of the class is joined to
    the inputs of the last layer. Raises `UserError` for pictures of another shape.
    """

    type: ClassVar[str] = "dcgan"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})
    provides: ClassVar[frozenset[str]] = frozenset({"variance", "classes"})

    def build(self, context: BuildContext) -> nn.Module:
        channels, size = _picture(context.sample_shape)
        from .networks import Encoder

        return Encoder(
            channels=channels,
            size=size,
            latent_dim=context.latent_dim,
            variance="variance" in context.requested,
            num_classes=context.num_classes if context.conditional else None,
            **self.arguments(),
        )


def _picture(sample_shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Channels and size of the pictures; raises `UserError` where they do not suit."""
    if problem := _problem(sample_shape):
        raise UserError(problem[0], hint=problem[1])
    channels, height, width = sample_shape
    return channels, (height, width)


def _problem(sample_shape: tuple[int, ...]) -> tuple[str, str] | None:
    """Why samples of a shape do not suit the networks, and what to do; None where they do."""
    wanted = (
        f"'dcgan' makes and reads pictures of {SMALLEST} to {LARGEST} pixels a side, the longer "
        f"side at most {LONGEST} times the shorter"
    )
    if len(sample_shape) != 3:
        return f"{wanted}, but the data are of shape {sample_shape}", "type = 'mlp' takes points"
    _, height, width = sample_shape
    short, long = sorted((height, width))
    if short >= SMALLEST and long <= min(LARGEST, LONGEST * short):
        return None
    found = f"{wanted}, but the data's are {height} high and {width} wide"
    return found, "choose such a data.size where the data set has that key, or type = 'mlp'"


@hookimpl
def ganzoo_generators() -> Sequence[type[GeneratorSpec]]:
    """The generator."""
    return [DCGANGenerator]


@hookimpl
def ganzoo_discriminators() -> Sequence[type[DiscriminatorSpec]]:
    """The discriminator."""
    return [DCGANDiscriminator]


@hookimpl
def ganzoo_encoders() -> Sequence[type[EncoderSpec]]:
    """The encoder."""
    return [DCGANEncoder]
