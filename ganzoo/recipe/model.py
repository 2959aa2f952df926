"""A recipe that has been checked: every component known, every value valid."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import tomli_w

from ganzoo.plugins import Plugin
from ganzoo.recipe.settings import (
    Checkpoint,
    Ema,
    Engine,
    Evaluate,
    Latent,
    Log,
    Optimizer,
    Train,
)
from ganzoo.specs import (
    NETWORKS,
    AugmentationSpec,
    ComponentSpec,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    ExtractorSpec,
    GeneratorSpec,
    ListenerSpec,
    LossSpec,
    MetricSpec,
    NetworkSpec,
    PriorSpec,
    ProbeSpec,
    RegularizerSpec,
    ScheduleSpec,
)

SLOTS: Mapping[str, str] = {
    "data": "dataset",
    "generator": "generator",
    "discriminator": "discriminator",
    "encoder": "encoder",
    "loss": "loss",
    "schedule": "schedule",
    "prior": "prior",
    "extractor": "extractor",
}
"""Tables of a recipe that name one component, and the kind of it."""

ARRAYS: Mapping[str, str] = {
    "regularizers": "regularizer",
    "augmentations": "augmentation",
    "priors": "prior",
    "probes": "probe",
    "metrics": "metric",
    "listeners": "listener",
}
"""Arrays of tables that name any number of components, and the kind of each."""

OBSERVING = frozenset(
    {"name", "summary", "log", "checkpoint", "evaluate", "extractor", "probes", "metrics"}
    | {"listeners"}
)
"""Tables that decide what is seen of a run, and not which weights it ends with."""


S = TypeVar("S", bound=ComponentSpec, covariant=True)


@dataclass(frozen=True)
class Component(Generic[S]):
    """One component of a recipe."""

    name: str
    """The type as the recipe writes it."""
    spec: S
    plugin: Plugin

    def table(self, *, qualified: bool = False) -> dict[str, Any]:
        """The TOML table of the component with every default written out."""
        name = f"{self.plugin.distribution}:{self.spec.type}" if qualified else self.name
        fields = set(type(self.spec).model_fields)
        keys = self.spec.model_dump(mode="json", include=fields, exclude_none=True, by_alias=True)
        return {"type": name, **keys}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run. Make one with `ganzoo.load_recipe`."""

    name: str
    summary: str
    condition: Literal["class"] | None
    """What generated samples are conditioned on, if anything."""
    latent: Latent
    data: Component[DatasetSpec]
    generator: Component[GeneratorSpec]
    discriminator: Component[DiscriminatorSpec] | None
    encoder: Component[EncoderSpec] | None
    further_networks: Mapping[str, Component[NetworkSpec]]
    """What `[networks.NAME]` gives the loss beside the three well-known networks."""
    loss: Component[LossSpec]
    regularizers: tuple[Component[RegularizerSpec], ...]
    augmentations: tuple[Component[AugmentationSpec], ...]
    schedule: Component[ScheduleSpec]
    optimizers: Mapping[str, Optimizer]
    """One for each network that some scheduled phase trains, and for a loss with weights."""
    train: Train
    ema: Ema
    log: Log
    checkpoint: Checkpoint
    engine: Engine
    prior: Component[PriorSpec]
    """Where latents come from when the generator is sampled."""
    priors: tuple[Component[PriorSpec], ...]
    """Other priors that are fitted and evaluated beside it."""
    extractor: Component[ExtractorSpec] | None
    """In whose features distances are taken; None for the one that suits the data best."""
    probes: tuple[Component[ProbeSpec], ...]
    metrics: tuple[Component[MetricSpec], ...]
    listeners: tuple[Component[ListenerSpec], ...]
    evaluate: Evaluate
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What is unwise about it, a line each, with its place."""

    @property
    def networks(self) -> dict[str, Component[NetworkSpec]]:
        """All networks of the recipe by name."""
        known = {name: getattr(self, name) for name in NETWORKS}
        return {name: each for name, each in known.items() if each} | dict(self.further_networks)

    @property
    def all_priors(self) -> dict[str, Component[PriorSpec]]:
        """The prior that is sampled from, and then the others, by type."""
        return {each.spec.type: each for each in (self.prior, *self.priors)}

    @property
    def reads_features(self) -> bool:
        """Whether a metric of it reads features of images, which are kept in the cache."""
        images = len(self.data.spec.sample_shape) == 3  # points are their own features
        return images and any(metric.spec.reads != "samples" for metric in self.metrics)

    def components(self) -> Iterator[tuple[str, Component[Any]]]:
        """Every component with its place: `generator`, `networks.critic`, `regularizers.0`, ..."""
        for slot in SLOTS:
            if getattr(self, slot) is not None:
                yield slot, getattr(self, slot)
        for name, component in self.further_networks.items():
            yield f"networks.{name}", component
        for array in ARRAYS:
            for index, component in enumerate(getattr(self, array)):
                yield f"{array}.{index}", component

    def meets(self, needs: Iterable[str]) -> bool:
        """Whether every table that `needs` names is there and able to do what it says."""

        def met(need: str) -> bool:
            table, _, capability = need.partition(".")
            if table == "condition":
                return self.condition is not None
            component: Component[ComponentSpec] | None = getattr(self, table)
            return component is not None and (
                not capability or capability in component.spec.capabilities
            )

        return all(met(need) for need in needs)

    def requested(self, name: str) -> frozenset[str]:
        """Capabilities that the other components need of the network `name`."""
        return frozenset(
            need.partition(".")[2]
            for _, component in self.components()
            for need in component.spec.needs
            if need.startswith(f"{name}.")
        )

    def tables(self, *, qualified: bool = False) -> dict[str, Any]:
        """The recipe as plain tables, every default written out.

        `qualified` writes each type with its distribution, so that the tables mean the same
        whatever else is installed.
        """
        tables: dict[str, Any] = {"name": self.name}
        if self.summary:
            tables["summary"] = self.summary
        if self.condition:
            tables["condition"] = self.condition
        tables["latent"] = _plain(self.latent)
        for slot in SLOTS:
            if (component := getattr(self, slot)) is not None:
                tables[slot] = component.table(qualified=qualified)
        if self.further_networks:
            tables["networks"] = {
                name: component.table(qualified=qualified)
                for name, component in self.further_networks.items()
            }
        tables["optimizer"] = {
            name: {"type": optimizer.type, **_plain(optimizer)}
            for name, optimizer in self.optimizers.items()
        }
        for name in ("train", "ema", "log", "checkpoint", "engine", "evaluate"):
            tables[name] = _plain(getattr(self, name))
        for array in ARRAYS:
            if components := getattr(self, array):
                tables[array] = [component.table(qualified=qualified) for component in components]
        return tables

    def to_toml(self) -> str:
        """A TOML text that loads back to this recipe."""
        return tomli_w.dumps(self.tables())

    def changed(self, **tables: Mapping[str, Any]) -> Recipe:
        """The recipe with other values in tables of settings: `changed(train={"seed": 1})`."""
        return replace(
            self,
            **{
                name: getattr(self, name).model_copy(update=dict(new))
                for name, new in tables.items()
            },
        )

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the weights that a run ends with, in 16 hexadecimal digits.

        How a run is logged, drawn and evaluated is no part of it, nor on which device it trains.
        """
        return _fingerprint(self.tables(qualified=True))

    def fingerprint_as_written(self, tables: Mapping[str, Any]) -> str:
        """The fingerprint that a run of this recipe had when its recipe.toml was written.

        `tables` are those of the file. By now a version of ganzoo or of a plugin may know keys
        that the file does not have, and they are no part of it.
        """
        written = copy.deepcopy(dict(tables))
        for place, component in self.components():
            table, names = _at(written, place), (component.name, component.spec.type)
            if isinstance(table, dict) and table.get("type") in names:
                table["type"] = component.table(qualified=True)["type"]
        return _fingerprint(written)


def _at(tables: Any, place: str) -> Any:
    """What is written at `generator`, `networks.critic`, `regularizers.0`, ..., or None."""
    for key in place.split("."):
        if isinstance(tables, list):
            tables = tables[int(key)] if int(key) < len(tables) else None
        else:
            tables = tables.get(key) if isinstance(tables, dict) else None
    return tables


def deciding(tables: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe's tables decides the weights that a run ends with."""
    kept = {name: table for name, table in tables.items() if name not in OBSERVING}
    if isinstance(engine := kept.get("engine"), dict):
        kept["engine"] = {key: engine[key] for key in engine if key != "device"}
    return kept


def _fingerprint(tables: Mapping[str, Any]) -> str:
    """The fingerprint of tables whose types are qualified."""
    text = json.dumps(deciding(tables), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def snapshot_iterations(last: int, count: int) -> list[int]:
    """The iterations after which a run of `last` keeps its `count` snapshots, in order."""
    return sorted({last * number // count for number in range(1, count + 1)} - {0})


def _plain(settings: Any) -> dict[str, Any]:
    """A table of settings as TOML would hold it."""
    plain: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    return plain


def shortages(
    metrics: Sequence[Component[MetricSpec]], generated: int, real: int
) -> dict[str, str]:
    """Why metrics cannot be computed from so many samples, by type; the others are not named."""
    reasons = {}
    for metric in metrics:
        least = metric.spec.least_samples
        for count, side in ((real, "real"), (generated, "generated")):
            if count < least:
                reason = f"it needs {least} {side} samples, and there are {count}"
                reasons[metric.spec.type] = reason
    return reasons
