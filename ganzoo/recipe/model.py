"""A recipe that has been checked: every component found, every value valid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

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
    Prior,
    Train,
)
from ganzoo.specs import (
    NETWORKS,
    AugmentationSpec,
    ComponentSpec,
    DatasetSpec,
    LossSpec,
    MetricSpec,
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
}
"""Tables of a recipe that name one component, and the kind of it."""

ARRAYS: Mapping[str, str] = {
    "regularizers": "regularizer",
    "augmentations": "augmentation",
    "probes": "probe",
    "metrics": "metric",
}
"""Arrays of tables that name any number of components, and the kind of each."""


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
        keys = self.spec.model_dump(mode="json", include=fields, exclude_none=True)
        return {"type": name, **keys}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run. Make one with `ganzoo.load_recipe`."""

    name: str
    summary: str
    latent: Latent
    prior: Prior
    data: Component[DatasetSpec]
    generator: Component[ComponentSpec]
    discriminator: Component[ComponentSpec] | None
    encoder: Component[ComponentSpec] | None
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
    probes: tuple[Component[ProbeSpec], ...]
    metrics: tuple[Component[MetricSpec], ...]
    evaluate: Evaluate

    @property
    def networks(self) -> dict[str, Component[ComponentSpec]]:
        """The networks of the recipe by slot."""
        return {slot: getattr(self, slot) for slot in NETWORKS if getattr(self, slot) is not None}

    @property
    def snapshots(self) -> frozenset[int]:
        """The iterations after which weights are kept to be measured; the last is one of them."""
        count, last = self.evaluate.snapshots, self.train.iterations
        return frozenset(last * number // count for number in range(1, count + 1)) - {0}

    def components(self) -> Iterator[tuple[str, Component[Any]]]:
        """Every component with its place: `generator`, `regularizers.0`, ..."""
        for slot in SLOTS:
            if getattr(self, slot) is not None:
                yield slot, getattr(self, slot)
        for array in ARRAYS:
            for index, component in enumerate(getattr(self, array)):
                yield f"{array}.{index}", component

    def meets(self, needs: frozenset[str]) -> bool:
        """Whether every slot that `needs` names is there and able to do what it says."""

        def met(need: str) -> bool:
            slot, _, capability = need.partition(".")
            component: Component[ComponentSpec] | None = getattr(self, slot)
            return component is not None and (
                not capability or capability in component.spec.provides
            )

        return all(met(need) for need in needs)

    def asked(self, slot: str) -> frozenset[str]:
        """Capabilities that the other components need of the one in `slot`."""
        return asked_of(slot, (component.spec for _, component in self.components()))

    def tables(self, *, qualified: bool = False) -> dict[str, Any]:
        """The recipe as plain tables, every default written out.

        `qualified` writes each type with its distribution, so that the tables mean the same
        whatever else is installed.
        """
        tables: dict[str, Any] = {"name": self.name}
        if self.summary:
            tables["summary"] = self.summary
        tables["latent"] = self.latent.model_dump(mode="json")
        for slot in SLOTS:
            if (component := getattr(self, slot)) is not None:
                tables[slot] = component.table(qualified=qualified)
        tables["optimizer"] = {
            slot: {"type": optimizer.type, **optimizer.model_dump(mode="json")}
            for slot, optimizer in self.optimizers.items()
        }
        for name in ("prior", "train", "ema", "log", "checkpoint", "engine", "evaluate"):
            tables[name] = getattr(self, name).model_dump(mode="json")
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
        """Hash of all that the recipe says, in 16 hexadecimal digits; key order does not count."""
        text = json.dumps(self.tables(qualified=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def asked_of(slot: str, specs: Iterator[ComponentSpec]) -> frozenset[str]:
    """Capabilities that `specs` need of the component in `slot`."""
    return frozenset(
        need.partition(".")[2]
        for spec in specs
        for need in spec.needs
        if need.startswith(f"{slot}.")
    )
