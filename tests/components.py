"""Components without torch, so that recipes can be tested without any plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    Phase,
    ProbeSpec,
    RegularizerSpec,
    Role,
)
from ganzoo.builtin.losses import ganzoo_losses
from ganzoo.builtin.priors import ganzoo_priors
from ganzoo.builtin.schedules import ganzoo_schedules
from ganzoo.plugins import Plugin
from ganzoo.registry import Registry
from ganzoo.specs import ComponentSpec

WriteFile = Callable[..., Path]
"""The fixture `write`: a text, and optionally a file's name, to the file."""


class Buildable(BaseModel):
    """Fills in `build` for components that are never built."""

    def build(self, context: BuildContext) -> Any:
        raise AssertionError("a test component cannot be built")


class Normalisation(BaseModel):
    """A table inside a component's table."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    momentum: float = Field(0.1, gt=0, description="weight of the newest batch")
    groups: int | tuple[int, ...] = Field(1, description="one number, or one for each layer")


class PlainGenerator(Buildable, GeneratorSpec):
    """A generator with keys of every sort."""

    type: ClassVar[str] = "plain"

    hidden: tuple[PositiveInt, ...] = Field((16,), description="widths of the hidden layers")
    dropout: float = Field(0, ge=0, lt=1, description="share of units that are dropped")
    range: tuple[float, float] = Field((-1, 1), description="bounds of the samples")
    activation: Literal["relu", "tanh"] = Field("relu", description="the nonlinearity")
    bias: bool = Field(True, description="whether layers have a bias")
    label: str = Field("", description="a text")
    limit: int | None = Field(None, description="nothing, or a number")
    normalisation: Normalisation = Field(Normalisation(), description="of the activations")


class SearchingGenerator(Buildable, GeneratorSpec):
    """A generator that climbs D(x)."""

    type: ClassVar[str] = "searching"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})


class PlainDiscriminator(Buildable, DiscriminatorSpec):
    """A discriminator."""

    type: ClassVar[str] = "plain"

    base_channels: PositiveInt = Field(64, description="channels of the first layer")


class PlainEncoder(Buildable, EncoderSpec):
    """An encoder to a code."""

    type: ClassVar[str] = "plain"


class GaussianEncoder(Buildable, EncoderSpec):
    """An encoder to a mean and a variance."""

    type: ClassVar[str] = "gaussian"
    provides: ClassVar[frozenset[str]] = frozenset({"variance"})


class EvidenceLoss(Buildable, LossSpec):
    """A loss with a single objective for generator and encoder."""

    type: ClassVar[str] = "evidence"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder.variance"})
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator", "encoder"}))
    }

    beta: float = Field(1, description="weight of the second term")


class JudgeLoss(Buildable, LossSpec):
    """A loss that trains only the discriminator."""

    type: ClassVar[str] = "judge"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains=frozenset({"discriminator"}))
    }


class CodesLoss(Buildable, LossSpec):
    """A loss that knows codes and may learn them."""

    type: ClassVar[str] = "codes"
    provides: ClassVar[frozenset[str]] = frozenset({"codes"})
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}

    learned: bool = Field(False, description="whether the codes are weights")

    @property
    def has_weights(self) -> bool:
        return self.learned


class CriticalLoss(Buildable, LossSpec):
    """A loss that needs a critic of codes."""

    type: ClassVar[str] = "critical"
    networks: ClassVar[Mapping[str, Role]] = {"critic": Role(kind="discriminator", sees="codes")}
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator", "critic"}))
    }


class PictureDiscriminator(Buildable, DiscriminatorSpec):
    """A discriminator of images."""

    type: ClassVar[str] = "pictures"
    needs: ClassVar[frozenset[str]] = frozenset({"data.images"})


class WatchingProbe(Buildable, ProbeSpec):
    """Looks, and says nothing."""

    type: ClassVar[str] = "watching"


class FlipAugmentation(Buildable, AugmentationSpec):
    """Turns samples round."""

    type: ClassVar[str] = "flip"


class PenaltyRegularizer(Buildable, RegularizerSpec):
    """A penalty on the discriminator."""

    type: ClassVar[str] = "penalty"

    gamma: float = Field(gt=0, description="weight of the penalty")


class Dots(Buildable, DatasetSpec):
    """Points."""

    type: ClassVar[str] = "dots"
    provides: ClassVar[frozenset[str]] = frozenset({"points"})

    dim: PositiveInt = Field(2, description="dimension of the points")
    low: float = Field(-1.0, description="lower bound")
    high: float = Field(1.0, description="upper bound")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    @model_validator(mode="after")
    def _ordered(self) -> Dots:
        if self.low >= self.high:
            raise ValueError("low should be below high")
        return self


class CountMetric(Buildable, MetricSpec):
    """Counts the samples."""

    type: ClassVar[str] = "count"


def plugin(
    *specs: type[ComponentSpec],
    distribution: str = "ganzoo-testing",
    version: str = "1.0",
    error: str | None = None,
) -> Plugin:
    """A loaded plugin that offers `specs`, or a broken one."""
    components = tuple((spec.kind, spec) for spec in specs)
    return Plugin(f"{distribution}:parts", distribution, version, components, error=error)


CORE = plugin(
    *ganzoo_losses(),
    *ganzoo_schedules(),
    *ganzoo_priors(),
    distribution="ganzoo-core",
    version="0.1.0",
)

PARTS = plugin(
    PlainGenerator,
    SearchingGenerator,
    PlainDiscriminator,
    PlainEncoder,
    GaussianEncoder,
    EvidenceLoss,
    JudgeLoss,
    CodesLoss,
    CriticalLoss,
    PictureDiscriminator,
    FlipAugmentation,
    WatchingProbe,
    PenaltyRegularizer,
    Dots,
    CountMetric,
)

REGISTRY = Registry([CORE, PARTS])
"""The components above, and the losses, schedules and priors of the core."""

TABLES: Mapping[str, str] = {
    "": 'name = "good"\nlatent = { dim = 8 }',
    "data": 'type = "dots"',
    "generator": 'type = "plain"\nhidden = [4, 8]',
    "discriminator": 'type = "plain"',
    "loss": 'type = "minimax"',
    "schedule": 'type = "alternating"',
    "optimizer": 'type = "adam"\nlr = 1e-3',
    "train": "iterations = 10",
}
"""A valid recipe, table by table; the first has no header."""


def recipe_text(changes: Mapping[str, str | None] | None = None) -> str:
    """The recipe of `TABLES` with some tables replaced, added or (None) left out.

    The line break after a table's header makes part of it: `"[regularizers]"` as a name gives
    `[[regularizers]]`.
    """
    tables = {**TABLES, **(changes or {})}
    blocks = [
        (f"[{name}]\n" if name else "") + body for name, body in tables.items() if body is not None
    ]
    return "\n\n".join(blocks) + "\n"
