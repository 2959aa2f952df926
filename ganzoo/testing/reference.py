"""The kit's own networks, data, loss and features: small, smooth, and able to do what other
components commonly need."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from ganzoo import specs
from ganzoo.engine.data import Data, Samples, to_unit
from ganzoo.engine.random import generator_for
from ganzoo.protocols import Step
from ganzoo.specs import BuildContext, Phase

CLASSES = 4
SAMPLES = 256
"""Training samples, and held-out ones."""
FEATURES = 8


class MissingLabels(Exception):
    """A network of a conditional recipe was called without labels."""


class Perceptron(nn.Module):
    """A generator, discriminator or encoder; with labels `(N,)` where it is conditional."""

    def __init__(self, kind: str, context: BuildContext) -> None:
        super().__init__()
        self.kind, self.shape = kind, context.sample_shape
        self.parts = 1 + ("variance" in context.requested)
        sizes = {
            "generator": (context.latent_dim, math.prod(self.shape)),
            "discriminator": (math.prod(self.shape), 1),
            "encoder": (math.prod(self.shape), context.latent_dim * self.parts),
        }
        self.first, self.last = nn.Linear(sizes[kind][0], 12), nn.Linear(12, sizes[kind][1])
        self.classes = nn.Embedding(CLASSES, 12) if context.conditional else None

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        hidden = self.first(x.flatten(1))
        if self.classes is not None:
            if labels is None:
                raise MissingLabels
            hidden = hidden + self.classes(labels)
        rows = self.last(nn.functional.silu(hidden))
        if self.kind == "generator":
            return rows.tanh().unflatten(1, self.shape)
        if self.kind == "discriminator":
            return rows.squeeze(1)
        return rows if self.parts == 1 else rows.chunk(self.parts, dim=1)


class NormalGenerator(nn.Module):
    """Latents to independent normal values, whose density it knows.

    Each value of a sample is made of one value of the latent; where a sample has more of them,
    they are used again, and the density is that of values drawn apart.
    """

    places: Tensor

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.sample_shape, values = context.sample_shape, math.prod(context.sample_shape)
        self.mean = nn.Parameter(torch.randn(values) / 10)
        self.log_scale = nn.Parameter(torch.full((values,), -1.5))
        self.register_buffer("places", torch.arange(values) % context.latent_dim)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.mean + self.log_scale.exp() * z[:, self.places]
        return x.reshape(-1, *self.sample_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        return NormalDensity(self.mean, self.log_scale.exp()).log_prob(x.flatten(1))


class NormalDensity:
    """The distribution of independent normal values; of the kit's points with deviation a half."""

    def __init__(self, mean: Tensor | float = 0.0, scale: Tensor | float = 0.5) -> None:
        self.normal = torch.distributions.Normal(mean, scale, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        log_prob: Tensor = self.normal.log_prob(x).sum(1)
        return log_prob


class Reference(BaseModel):
    """A network of the kit."""

    type: ClassVar[str] = "reference"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})
    kind: ClassVar[str]

    def build(self, context: BuildContext) -> Any:
        """The network."""
        return Perceptron(self.kind, context)


class ReferenceGenerator(Reference, specs.GeneratorSpec):
    """The kit's generator."""


class ReferenceDiscriminator(Reference, specs.DiscriminatorSpec):
    """The kit's discriminator."""


class ReferenceEncoder(Reference, specs.EncoderSpec):
    """The kit's encoder."""

    provides: ClassVar[frozenset[str]] = frozenset({"classes", "variance"})


class ReferenceNormalGenerator(specs.GeneratorSpec):
    """The kit's generator with a density."""

    type: ClassVar[str] = "reference-normal"
    provides: ClassVar[frozenset[str]] = frozenset({"log_prob"})

    def build(self, context: BuildContext) -> nn.Module:
        return NormalGenerator(context)


class ReferenceLoss(specs.LossSpec):
    """The kit's loss; its codes are means of neighbouring values."""

    type: ClassVar[str] = "reference"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}
    provides: ClassVar[frozenset[str]] = frozenset({"codes"})

    def build(self, context: BuildContext) -> ReferenceLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The mean square of the difference to the real samples."""
        return {"error": (step.fake - step.x).square().mean()}

    def codes(self, step: Step) -> Tensor:
        """Codes `(N, latent_dim)`."""
        return nn.functional.adaptive_avg_pool1d(step.x.flatten(1), step.z.shape[1])


class ReferenceData(specs.DatasetSpec):
    """Labelled images of uniform noise, or normal points whose density is known."""

    type: ClassVar[str] = "reference"
    provides: ClassVar[frozenset[str]] = frozenset({"images", "points", "labels", "density"})

    shape: tuple[int, ...] = Field(description="shape of a sample")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def num_classes(self) -> int:
        return CLASSES

    def build(self, context: BuildContext) -> Data:
        return _data(self.shape)


class Projection(nn.Module):
    """Samples to `FEATURES` features (points of fewer values as they are) and class logits.

    A fixed random rotation: features of uniform noise are about normal and independent. It has no
    state, so that its features are not kept on disk.
    """

    note = "a fixed random projection"

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        stream, values = generator_for(0, "kit", "features"), math.prod(sample_shape)
        kept = min(FEATURES, values)
        square = torch.randn(values, kept, generator=stream)
        self.rotation = torch.linalg.qr(square).Q if kept < values else torch.eye(values)
        self.head = 4 * torch.randn(kept, CLASSES, generator=stream)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = x.flatten(1) @ self.rotation
        return features, features @ self.head


@functools.lru_cache(maxsize=16)
def _data(shape: tuple[int, ...]) -> Data:
    def part(name: str) -> Samples:
        stream, size = generator_for(0, "kit", name), (SAMPLES, *shape)
        values = torch.randn(size, generator=stream) / 2
        if len(shape) == 3:
            values = torch.randint(256, size, generator=stream, dtype=torch.uint8)
        # Samples are of the class for which the kit's extractor takes them.
        return Samples(values, Projection(shape)(to_unit(values))[1].argmax(dim=1))

    return Data(part("train"), part("held out"), NormalDensity() if len(shape) == 1 else None)


class ReferenceExtractor(specs.ExtractorSpec):
    """The kit's features."""

    type: ClassVar[str] = "reference"

    def build(self, context: BuildContext) -> nn.Module:
        return Projection(context.sample_shape)


REFERENCES: Mapping[str, Sequence[type[specs.ComponentSpec]]] = {
    "data": (ReferenceData,),
    "generator": (ReferenceGenerator, ReferenceNormalGenerator),
    "discriminator": (ReferenceDiscriminator,),
    "encoder": (ReferenceEncoder,),
    "loss": (ReferenceLoss,),
}
"""What the kit itself has for a table of a recipe."""
