"""Base classes of component declarations.

A component is one frozen pydantic class: its fields are the keys of its TOML table, its
docstring is the help text, `type` is the name a recipe uses and `build` makes the working
object. Declarations never import torch at module level; `build` does.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from ganzoo.protocols import Augmentation, Loss, Metric, Probe, Regularizer, Schedule

if TYPE_CHECKING:
    from torch import nn

API_VERSION = 1
"""Version of the component API: what `ganzoo.api` exports and how the engine calls it."""

STRICT = ConfigDict(
    strict=True,
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    # A default of 1 is the same as a written 1 where a float is meant.
    validate_default=True,
)
"""Rules of every table of a recipe: nothing is guessed, nothing unknown passes."""

TYPE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class BuildContext:
    """What the recipe decides once, handed to every `build`."""

    sample_shape: tuple[int, ...]
    """`(C, H, W)` for images, `(D,)` for points."""
    latent_dim: int
    """Length of a latent vector z."""
    latent_distribution: Literal["normal", "uniform"] = "normal"
    """Law of every value of z: standard normal, or uniform on [-1, 1]."""
    num_classes: int | None = None
    """Number of classes of the data, or None where it has no labels."""
    iterations: int = 1
    """Length of the run, in iterations."""
    data_root: Path = Path()
    """Folder in which data sets are looked for and downloaded to (`GANZOO_DATA`)."""
    asked: frozenset[str] = frozenset()
    """Capabilities that other components of the recipe need from this one."""
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    """The networks that the component said it needs, by slot name."""
    data: Any = None
    """The built data set, for components that need something of it."""
    loss: Any = None
    """The built loss, for metrics that need something of it."""
    features: Any = None
    """A `ganzoo.evaluation.Features`: real samples as the extractor sees them, for metrics that
    read features or probabilities."""


class ComponentSpec(BaseModel):
    """A declared component; see the module's docstring."""

    model_config = STRICT

    kind: ClassVar[str]
    """The kind of component, set by the base classes below."""
    type: ClassVar[str]
    """The name that a recipe writes: lower-case words joined by hyphens."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Slots of the recipe that must be there (`"encoder"`), or what a slot must be able to do
    (`"generator.log_prob"`, `"data.images"`)."""
    provides: ClassVar[frozenset[str]] = frozenset()
    """What this component is able to do, in the words that others write after the dot."""
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Settings with which the conformance kit tries the component besides its defaults. One that
    has keys without a default is tried with these alone."""

    @abstractmethod
    def build(self, context: BuildContext) -> Any:
        """Make the working object. Heavy imports belong here."""
        raise NotImplementedError

    @classmethod
    def summary(cls) -> str:
        """First line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class GeneratorSpec(ComponentSpec):
    """Declares a generator: z `(N, latent_dim)` to x `(N, *sample_shape)`, images in [-1, 1]."""

    kind: ClassVar[str] = "generator"
    compiles: ClassVar[bool] = True
    """Whether torch.compile can take the whole forward pass as one graph."""

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module: ...


class DiscriminatorSpec(ComponentSpec):
    """Declares a discriminator: x `(N, *sample_shape)` to logits `(N,)`, never a sigmoid."""

    kind: ClassVar[str] = "discriminator"

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module: ...


class EncoderSpec(ComponentSpec):
    """Declares an encoder: x to a code `(N, latent_dim)`.

    Where `context.asked` holds `"variance"` it returns the pair mean, log-variance instead.
    """

    kind: ClassVar[str] = "encoder"

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module: ...


class Phase(BaseModel):
    """One kind of update that a loss offers to the schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trains: frozenset[str]
    """Slots of the networks that this phase moves; all others are frozen."""
    reads_data: bool = True
    """Whether the phase looks at real samples; one that does not spares the reading of them."""


class LossSpec(ComponentSpec):
    """Declares a loss and the phases it has."""

    kind: ClassVar[str] = "loss"
    phases: ClassVar[Mapping[str, Phase]]
    """The phases by name; a schedule says when each runs."""

    @property
    def has_weights(self) -> bool:
        """Whether `build` returns a module with weights of its own, trained in every phase."""
        return False

    def trains(self, phase: str) -> frozenset[str]:
        """What `phase` moves: slots of networks, and `"loss"` for the loss's own weights."""
        return self.phases[phase].trains | ({"loss"} if self.has_weights else set())

    @abstractmethod
    def build(self, context: BuildContext) -> Loss: ...


class RegularizerSpec(ComponentSpec):
    """Declares a regularizer: a term added to one phase every k iterations."""

    kind: ClassVar[str] = "regularizer"
    phase: ClassVar[str] = "discriminator"
    """The phase to which the term is added."""

    every: PositiveInt = Field(
        1,
        description="add the term in every k-th iteration, multiplied by k (lazy regularization)",
    )

    @abstractmethod
    def build(self, context: BuildContext) -> Regularizer: ...


class AugmentationSpec(ComponentSpec):
    """Declares an augmentation of everything that the discriminator sees in training."""

    kind: ClassVar[str] = "augmentation"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    @abstractmethod
    def build(self, context: BuildContext) -> Augmentation: ...


class LearningRateCourse(BaseModel):
    """Course of the learning rate over a run, as a factor on the optimizer's own rate."""

    model_config = STRICT

    warm_up: NonNegativeInt = Field(0, description="iterations of a linear rise from zero")
    constant: float = Field(
        0.0, ge=0, le=1, description="share of the run before the fall begins (linear, cosine)"
    )
    course: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="shape of the fall that begins after the constant part"
    )
    final: float = Field(0.0, ge=0, le=1, description="factor at the end (linear, cosine)")

    def factor(self, iteration: int, iterations: int) -> float:
        """The factor, in [0, 1], in `iteration` (from 0) of a run of `iterations`.

        A linear rise over the warm-up, then constant, then a fall to `final` in the last one.
        """
        rise = min(1.0, (iteration + 1) / self.warm_up) if self.warm_up else 1.0
        if self.course == "constant":
            return rise
        begin = max(self.warm_up, round(self.constant * iterations))
        fallen = (iteration - begin) / max(1, iterations - 1 - begin)
        fallen = min(max(fallen, 0.0), 1.0)
        if self.course == "cosine":
            fallen = (1 - math.cos(math.pi * fallen)) / 2
        return rise * (1 + (self.final - 1) * fallen)


class ScheduleSpec(ComponentSpec):
    """Declares a schedule: which phases run in iteration n, and how far each may step."""

    kind: ClassVar[str] = "schedule"
    runs: ClassVar[frozenset[str]]
    """Names of the phases that the schedule may run."""

    learning_rate: LearningRateCourse = Field(
        LearningRateCourse(), description="course of the learning rate over the run"
    )

    @property
    def observes(self) -> int:
        """Iterations between two readings of the statistics for the schedule; 0 for none.

        The host waits for the device at each of them.
        """
        return 0

    @abstractmethod
    def build(self, context: BuildContext) -> Schedule: ...


class ProbeSpec(ComponentSpec):
    """Declares a probe: figures about the networks that are taken while they are trained."""

    kind: ClassVar[str] = "probe"

    every: PositiveInt = Field(100, description="iterations between two looks")

    @abstractmethod
    def build(self, context: BuildContext) -> Probe: ...


class DatasetSpec(ComponentSpec):
    """Declares a data set. `build` returns a `ganzoo.engine.Data`."""

    kind: ClassVar[str] = "dataset"

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` or `(D,)`, known without touching the data."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None for data without labels."""
        return None

    @abstractmethod
    def build(self, context: BuildContext) -> Any: ...


class MetricSpec(ComponentSpec):
    """Declares a metric of generated samples against held-out real ones.

    The name of a figure is `type/name`, or only `type` where the name is the type; of one taken
    in features the extractor follows in brackets: `fid[classifier@3f2a]`.
    """

    kind: ClassVar[str] = "metric"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "samples"
    """What `Metric.update` is given: samples `(N, *sample_shape)`, their features `(N, F)`, or
    the extractor's probabilities of its classes `(N, K)`. Where the extractor has no classes, a
    metric that reads probabilities is left out."""
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {}
    """Which way each figure is better; one that is not named here says what is, not how good."""
    bounds: ClassVar[Mapping[str, tuple[float | None, float | None]]] = {}
    """What a figure can never be less than, and more than: no interval reaches beyond."""
    collapse: ClassVar[Mapping[str, float]] = {}
    """By figure, the factor by which its end must be worse than its best on the way for the run
    to be flagged as collapsed."""
    judges_samples: ClassVar[bool] = True
    """Whether the figures depend on the generated samples, and so on where latents come from."""
    compared: ClassVar[bool] = True
    """Whether comparisons take the metric by themselves where a recipe meets its `needs`."""

    @abstractmethod
    def build(self, context: BuildContext) -> Metric: ...


KINDS: Mapping[str, type[ComponentSpec]] = {
    spec.kind: spec
    for spec in (
        GeneratorSpec,
        DiscriminatorSpec,
        EncoderSpec,
        LossSpec,
        RegularizerSpec,
        AugmentationSpec,
        ScheduleSpec,
        DatasetSpec,
        MetricSpec,
        ProbeSpec,
    )
}
"""The base class of every kind of component."""

NETWORKS: Sequence[str] = ("generator", "discriminator", "encoder")
"""Slots of a recipe that hold networks."""

TRAINED: Sequence[str] = (*NETWORKS, "loss")
"""What has an optimizer: the networks, and a loss that has weights."""


def declaration_problem(kind: str, spec: object) -> str | None:
    """What is wrong with a class that a plugin offers as a component of `kind`, or None."""
    base = KINDS[kind]
    if not (isinstance(spec, type) and issubclass(spec, base)):
        return f"{spec!r} is not a subclass of {base.__name__}"
    name = spec.__dict__.get("type")
    if name is None:
        return f'{spec.__name__} has no name of its own; write type: ClassVar[str] = "..."'
    if not (isinstance(name, str) and TYPE_NAME.fullmatch(name)):
        return f"{spec.__name__}.type must be lower-case words joined by hyphens, not {name!r}"
    if not spec.__dict__.get("__doc__"):
        return f"{spec.__name__} has no docstring; its first line is the help text"
    if spec.__abstractmethods__:
        return f"{spec.__name__} does not define {', '.join(sorted(spec.__abstractmethods__))}"
    for attribute in ("needs", "provides"):
        if not isinstance(getattr(spec, attribute), frozenset):
            return f"{spec.__name__}.{attribute} must be a frozenset"
    for need in sorted(spec.needs):
        slot = need.partition(".")[0]
        if slot not in ("data", *NETWORKS, "loss", "schedule"):
            return f"{spec.__name__}.needs names '{slot}', which is no table of a recipe"
    if kind == "loss":
        return _phases_problem(spec.__name__, getattr(spec, "phases", None))
    if kind == "schedule":
        runs = getattr(spec, "runs", None)
        if not (isinstance(runs, frozenset) and runs):
            return f"{spec.__name__}.runs must be a frozenset of at least one phase's name"
    return None


def _phases_problem(name: str, phases: object) -> str | None:
    if not (isinstance(phases, Mapping) and phases):
        return f"{name}.phases must name at least one phase"
    for phase, declared in phases.items():
        if not isinstance(declared, Phase):
            return f"{name}.phases['{phase}'] is not a Phase"
        if strangers := declared.trains - set(NETWORKS):
            return f"{name}.phases['{phase}'] trains '{min(strangers)}', which is no network"
    return None
