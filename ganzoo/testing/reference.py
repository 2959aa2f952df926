"""What stands around a component under test: the kit's own networks, data, loss and features,
and for what these cannot do the components of installed plugins.

The kit's own are small and smooth, and come first: so the fault of one plugin is not reported of
another.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from ganzoo import registry, specs
from ganzoo.builtin.priors import LatentPrior
from ganzoo.builtin.schedules import JointSchedule
from ganzoo.data import Data, Samples, to_unit
from ganzoo.engine.random import generator_for
from ganzoo.plugins import Plugin
from ganzoo.protocols import Step
from ganzoo.recipe.model import SLOTS, Component
from ganzoo.specs import NETWORKS, BuildContext, ComponentSpec, Phase
from ganzoo.testing.checks import Skip, Wrong, required_keys

CLASSES = 4
SAMPLES = 256
"""Training samples, and held-out ones."""
FEATURES = 8
KIT = Plugin("ganzoo-core:testing", "ganzoo-core", "kit")
GAME = frozenset({"generator", "discriminator"})


class MissingLabels(Exception):
    """A network of a conditional recipe was called without labels."""


class Perceptron(nn.Module):
    """A generator, discriminator or encoder; with labels `(N,)` where it is conditional."""

    def __init__(self, kind: str, context: BuildContext) -> None:
        super().__init__()
        self.kind, self.shape = kind, context.sample_shape
        self.parts = 1 + ("variance" in context.requested)
        latent, values = context.latent_dim, math.prod(self.shape)
        sizes = {"generator": (latent, values), "discriminator": (values, 1)}
        before, after = sizes.get(kind, (values, latent * self.parts))
        self.first, self.last = nn.Linear(before, 12), nn.Linear(12, after)
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


class NormalDensity:
    """Independent normal values; the kit's points have deviation a half."""

    def __init__(self, mean: Tensor | float = 0.0, scale: Tensor | float = 0.5) -> None:
        self.normal = torch.distributions.Normal(mean, scale, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        log_prob: Tensor = self.normal.log_prob(x).sum(1)
        return log_prob


class NormalGenerator(nn.Module):
    """Latents to independent normal values, whose density it knows.

    Each value of a sample is made of one value of the latent; where a sample has more of them,
    they are used again, and the density is that of values drawn apart.
    """

    def __init__(self, context: BuildContext) -> None:
        super().__init__()
        self.sample_shape, values = context.sample_shape, math.prod(context.sample_shape)
        self.repeats = -(-values // context.latent_dim)
        self.mean = nn.Parameter(torch.randn(values) / 10)
        self.log_scale = nn.Parameter(torch.full((values,), -1.5))

    def forward(self, z: Tensor) -> Tensor:
        values = z.repeat(1, self.repeats)[:, : len(self.mean)]
        x: Tensor = self.mean + self.log_scale.exp() * values
        return x.reshape(-1, *self.sample_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """See `ganzoo.protocols.Density`."""
        return NormalDensity(self.mean, self.log_scale.exp()).log_prob(x.flatten(1))


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


class Reference(BaseModel):
    """A network of the kit."""

    type: ClassVar[str] = "reference"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})
    kind: ClassVar[str]

    def build(self, context: BuildContext) -> Any:
        """The network."""
        normal = "log_prob" in self.provides
        return NormalGenerator(context) if normal else Perceptron(self.kind, context)


class ReferenceGenerator(Reference, specs.GeneratorSpec):
    """The kit's generator."""


class ReferenceDiscriminator(Reference, specs.DiscriminatorSpec):
    """The kit's discriminator."""


class ReferenceEncoder(Reference, specs.EncoderSpec):
    """The kit's encoder."""

    provides: ClassVar[frozenset[str]] = frozenset({"classes", "variance"})


class ReferenceNormalGenerator(Reference, specs.GeneratorSpec):
    """The kit's generator with a density."""

    provides: ClassVar[frozenset[str]] = frozenset({"log_prob"})


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

    shape: tuple[int, ...] = Field((1, 8, 8), description="shape of a sample")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def num_classes(self) -> int:
        return CLASSES

    def build(self, context: BuildContext) -> Data:
        return _data(self.shape)


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


REFERENCES: Mapping[str, Sequence[type[ComponentSpec]]] = {
    "data": (ReferenceData,),
    "generator": (ReferenceGenerator, ReferenceNormalGenerator),
    "discriminator": (ReferenceDiscriminator,),
    "encoder": (ReferenceEncoder,),
    "loss": (ReferenceLoss,),
    "schedule": (JointSchedule,),
    "prior": (LatentPrior,),
}
"""What the kit itself has for a table of a recipe."""


def surroundings(
    spec: ComponentSpec, sample_shape: tuple[int, ...], pack: int = 1
) -> dict[str, Component[Any]]:
    """The components, by table, of the smallest recipe that has what a component needs.

    What these need themselves is there too. A loss is in it itself. Raises `Skip` where no
    installed plugin offers what is needed, and `Wrong` for a word that seems misspelt.
    """
    wanted = dict.fromkeys(("data", "generator", "loss", "schedule", "prior"), frozenset[str]())
    while True:
        chosen: dict[str, ComponentSpec] = {}
        for table, words in wanted.items():
            own = table == spec.kind == "loss"
            chosen[table] = spec if own else _provided(table, words, sample_shape, pack)
        before = dict(wanted)
        for need in frozenset[str]().union(*map(_needs, (spec, *chosen.values()))):
            table, _, word = need.partition(".")
            if table != "condition":
                wanted[table] = wanted.get(table, frozenset()) | ({word} - {""})
        if wanted == before:
            return {table: Component(each.type, each, KIT) for table, each in chosen.items()}


def _needs(spec: ComponentSpec) -> frozenset[str]:
    """What a component needs, with the networks that it trains or looks at."""
    if isinstance(spec, specs.LossSpec):
        trained = frozenset[str]().union(*(phase.trains for phase in spec.phases.values()))
        return spec.needs | (trained & frozenset(NETWORKS))
    # Phases that are called as these networks are those of a game between the two.
    plays = isinstance(spec, specs.RegularizerSpec) and spec.phase in GAME
    return spec.needs | GAME if plays or isinstance(spec, specs.ProbeSpec) else spec.needs


def _provided(
    table: str, words: frozenset[str], sample_shape: tuple[int, ...], pack: int
) -> ComponentSpec:
    """A component that provides what is needed and has a default for every key."""
    entries = registry.installed().entries(SLOTS[table])
    offers = [*REFERENCES.get(table, ()), *(entry.spec for entry in entries)]
    for each in offers:
        if words <= each.provides and not required_keys(each):
            if each is ReferenceData:
                return ReferenceData(shape=sample_shape)
            return each(pack=pack) if issubclass(each, specs.DiscriminatorSpec) else each()
    known = sorted(frozenset[str]().union(*(each.provides for each in offers)))
    for word in sorted(words - set(known)):
        if near := difflib.get_close_matches(word, known, n=1):
            problem = f"it needs '{table}.{word}', which no installed {SLOTS[table]} provides"
            raise Wrong(f"{problem}; did you mean '{table}.{near[0]}'?")
    wanted = " with ".join([table, ", ".join(sorted(words))] if words else [table])
    raise Skip(f"it needs {wanted}, and no installed plugin offers such a {SLOTS[table]}")
