"""Base classes of component declarations.

A component is one frozen pydantic class: its fields are the keys of its TOML table, its
docstring is the help text, `type` is the name a recipe uses and `build` makes the working
object. Declarations never import torch at module level; `build` does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, PositiveInt

from ganzoo.context import BuildContext as BuildContext
from ganzoo.phases import Phase as Phase
from ganzoo.phases import Role as Role
from ganzoo.protocols import Augmentation, Loss, Metric, Prior, Probe, Regularizer, Schedule
from ganzoo.ramps import CONFIG
from ganzoo.remarks import Remark, Surroundings

if TYPE_CHECKING:
    from torch import nn

API_VERSION = 1
"""Version of the component API: what `ganzoo.api` exports and how the engine calls it."""


class ComponentSpec(BaseModel):
    """A declared component; see the module's docstring."""

    model_config = CONFIG

    kind: ClassVar[str]
    """The kind of component, set by the base classes below."""
    type: ClassVar[str]
    """The name that a recipe writes: lower-case words joined by hyphens."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Tables that the recipe must have (`"encoder"`), or what the component in a table must be
    able to do (`"generator.log_prob"`, `"data.images"`). Plugins may coin capabilities of their
    own, and call what they promise."""
    provides: ClassVar[frozenset[str]] = frozenset()
    """What this component is able to do, in the words that others write after the dot; see
    `capabilities`."""
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Settings with which the conformance kit tests the component besides its defaults. One that
    has keys without a default is tested with these alone."""

    @abstractmethod
    def build(self, context: BuildContext) -> Any:
        """Make the working object. Heavy imports belong here."""
        raise NotImplementedError

    @property
    def capabilities(self) -> frozenset[str]:
        """What of `provides` it is able to do with the keys that it has."""
        return self.provides

    @property
    def traits(self) -> Mapping[str, str]:
        """What its keys make of this component that others may not go together with: words, as
        capabilities are, and the key that each is due to. `{"weight-clipping": "clip"}`."""
        return {}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        """What is wrong or unwise about it in this recipe, which is told before anything is built.

        Called when every table is valid by itself and all needs are met.
        """
        return ()

    def arguments(self) -> dict[str, Any]:
        """The component's own keys and their values, without those that all of its kind have."""
        common = KINDS[self.kind].model_fields
        return {name: getattr(self, name) for name in type(self).model_fields if name not in common}

    @classmethod
    def summary(cls) -> str:
        """First line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class NetworkSpec(ComponentSpec):
    """Base of the declarations of networks.

    A network that provides `"classes"` is built with `context.conditional` in a recipe that says
    `condition = "class"`, and is then called with labels, int64 `(N,)`, as a second argument.
    """

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module: ...

    def initialize(self, network: nn.Module, context: BuildContext) -> None:
        """Set what the network takes from the training data, before the first iteration.

        `context.data` is the built data set. This is not called where saved weights are loaded,
        so all that it sets are parameters or persistent buffers.
        """


class GeneratorSpec(NetworkSpec):
    """Declares a generator: z `(N, latent_dim)` to x `(N, *sample_shape)`, images in [-1, 1]."""

    kind: ClassVar[str] = "generator"
    compiles: ClassVar[bool] = True
    """Whether torch.compile can take the whole forward pass as one graph."""


class DiscriminatorSpec(NetworkSpec):
    """Declares a discriminator: x `(N, *sample_shape)` to logits `(N,)`, never a sigmoid."""

    kind: ClassVar[str] = "discriminator"

    pack: PositiveInt = Field(
        1, description="samples that are judged together (PacGAN); a batch is a multiple of it"
    )


class EncoderSpec(NetworkSpec):
    """Declares an encoder: x to a code `(N, latent_dim)`.

    Where `context.requested` holds `"variance"` it returns the pair mean, log-variance instead.
    """

    kind: ClassVar[str] = "encoder"


class LossSpec(ComponentSpec):
    """Declares a loss and the phases it has."""

    kind: ClassVar[str] = "loss"
    phases: ClassVar[Mapping[str, Phase]]
    """The phases by name; a schedule says when each runs."""
    networks: ClassVar[Mapping[str, Role]] = {}
    """Further networks that the loss needs, by name."""
    terms: ClassVar[Mapping[str, str]] = {}
    """What each term and statistic means and where its zero is, by phase and name:
    `{"discriminator/real": "-E log D(x), log 2 where D does not know"}`. `ganzoo components loss`
    prints them."""

    @property
    def has_weights(self) -> bool:
        """Whether `build` returns a module with weights of its own, trained in every phase."""
        return False

    def trains(self, phase: str) -> frozenset[str]:
        """What `phase` trains: names of networks, and `"loss"` for the loss's own weights."""
        return self.phases[phase].trains | ({"loss"} if self.has_weights else set())

    @abstractmethod
    def build(self, context: BuildContext) -> Loss: ...


class RegularizerSpec(ComponentSpec):
    """Declares a regularizer: a term added to one phase every k iterations."""

    kind: ClassVar[str] = "regularizer"
    phase: ClassVar[str] = "discriminator"
    """The phase to which the term is added."""
    differentiates: ClassVar[frozenset[str]] = frozenset()
    """What the term differentiates with respect to: `x`, `z`, `fake`. The step's tensors of these
    names then require gradients before anything is computed from them."""
    terms: ClassVar[Mapping[str, str]] = {}
    """What each of its terms means, by name."""

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

    paired: bool = Field(
        False, description="the same draw for everything that D sees in a step, real and fake"
    )

    @abstractmethod
    def build(self, context: BuildContext) -> Augmentation: ...


class ScheduleSpec(ComponentSpec):
    """Declares a schedule: which phases run in iteration n."""

    kind: ClassVar[str] = "schedule"

    @property
    @abstractmethod
    def runs(self) -> frozenset[str]:
        """Names of the phases that the schedule may run."""
        raise NotImplementedError

    @property
    def observes(self) -> int:
        """Iterations between two readings of the statistics for the schedule; 0 for none.

        The host waits for the device at each of them.
        """
        return 0

    @abstractmethod
    def build(self, context: BuildContext) -> Schedule: ...


class DatasetSpec(ComponentSpec):
    """Declares a data set. `build` returns a `ganzoo.engine.Data`."""

    kind: ClassVar[str] = "dataset"
    hub_id: ClassVar[str] = ""
    """Its name on the Hugging Face hub, such as `ylecun/mnist`, for model cards."""

    @property
    @abstractmethod
    def sample_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` or `(D,)`, known without touching the data."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None for data without labels."""
        return None

    def completed(self, data_root: Path) -> Self:
        """The data set with the keys that were left out and follow from its files, such as names
        of classes. A recipe holds this one. Raises `UserError` where the files do not suit."""
        return self

    @abstractmethod
    def build(self, context: BuildContext) -> Any: ...


class PriorSpec(ComponentSpec):
    """Declares a prior: where latents come from when a trained generator is sampled."""

    kind: ClassVar[str] = "prior"
    fitted: ClassVar[bool] = True
    """Whether it is fitted to codes of real samples, which only some losses know."""

    @abstractmethod
    def build(self, context: BuildContext) -> Prior: ...


class ExtractorSpec(ComponentSpec):
    """Declares a feature extractor, in whose features distances are taken.

    `build` returns a module from samples `(N, *sample_shape)`, images in [-1, 1], to the pair of
    features `(N, F)` and logits of its classes `(N, K)`, or None where it has none. Its attribute
    `note`, a text, says what a reader of the values has to know. `context.data` is the data set.
    """

    kind: ClassVar[str] = "extractor"

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        """How well it suits data where a recipe names none: the highest above 0 is taken."""
        return 0.0

    @abstractmethod
    def build(self, context: BuildContext) -> nn.Module: ...


class MetricSpec(ComponentSpec):
    """Declares a metric of generated samples against held-out real ones.

    The name of a value is `type/name`, or only `type` where the name is the type; of one taken
    in features the extractor follows in brackets: `fid[classifier@3f2a]`. A metric that needs
    `condition` is computed for class-conditional recipes only.
    """

    kind: ClassVar[str] = "metric"
    reads: ClassVar[Literal["samples", "features", "probabilities"]] = "samples"
    """What `Metric.update` is given: samples `(N, *sample_shape)`, their features `(N, F)`, or
    the extractor's probabilities of its classes `(N, K)`. Where the extractor has no classes, a
    metric that reads probabilities is left out."""
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {}
    """Which way each value is better; one that is not named here says what is, not how good."""
    bounds: ClassVar[Mapping[str, tuple[float | None, float | None]]] = {}
    """What a value can never be less than, and more than: no interval reaches beyond."""
    labels: ClassVar[Mapping[str, str]] = {}
    """What people call each value: `Recall`, `Classes covered`. Others are shown by their names."""
    collapse: ClassVar[Mapping[str, float]] = {}
    """By value, the factor by which its end must be worse than its best on the way for the run
    to be flagged as collapsed."""
    judges_samples: ClassVar[bool] = True
    """Whether the values depend on the generated samples, and so on the prior."""
    compared: ClassVar[bool] = True
    """Whether comparisons take the metric by themselves where a recipe meets its `needs`."""

    @property
    def least_samples(self) -> int:
        """Real samples, and generated ones, with fewer of which the metric is left out."""
        return 1

    @classmethod
    def label(cls, value: str) -> str:
        """What people call a value; of one without a label, its name in words."""
        return cls.labels.get(value) or in_words(value_name(cls.type, value))

    @abstractmethod
    def build(self, context: BuildContext) -> Metric: ...


def value_name(type: str, value: str) -> str:
    """The name of a value of a metric, but for the extractor: `fid`, `modes/kl`."""
    return type if value == type else f"{type}/{value}"


def in_words(name: str) -> str:
    """The name of a value as people read it: `Class accuracy: class 7`."""
    words = name.replace("-", " ").replace("/", ": ")
    return words[:1].upper() + words[1:]


class ProbeSpec(ComponentSpec):
    """Declares a probe: values of the networks that are taken while they are trained."""

    kind: ClassVar[str] = "probe"

    every: PositiveInt = Field(100, description="iterations between two measurements")

    @abstractmethod
    def build(self, context: BuildContext) -> Probe: ...


class ListenerSpec(ComponentSpec):
    """Declares a listener: it follows the runs whose recipe names it in `[[listeners]]`.

    `build` returns an object whose methods are lifecycle hooks of `ganzoo.hookspecs`, marked with
    `@hookimpl`; they may take fewer arguments than the hooks have.
    """

    kind: ClassVar[str] = "listener"


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
        PriorSpec,
        ExtractorSpec,
        MetricSpec,
        ProbeSpec,
        ListenerSpec,
    )
}
"""The base class of every kind of component."""

NETWORKS: Sequence[str] = ("generator", "discriminator", "encoder")
"""Tables of a recipe that hold the well-known networks."""
