"""Checks of a recipe that concern several of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ganzoo.errors import UserError, describe, one_of
from ganzoo.folders import data_root
from ganzoo.recipe.lines import Path
from ganzoo.recipe.model import ARRAYS, SLOTS, Component
from ganzoo.recipe.source import Source
from ganzoo.registry import Registry
from ganzoo.specs import (
    NETWORKS,
    ComponentSpec,
    DatasetSpec,
    DiscriminatorSpec,
    LossSpec,
    PriorSpec,
    Role,
    ScheduleSpec,
)

Spec = TypeVar("Spec", bound=ComponentSpec)

POINTS = frozenset({"points"})
"""What the data can do that a network of codes sees."""


class Checks:
    """The checks of one recipe; `problem(path, message, hint)` takes what is wrong."""

    def __init__(
        self,
        source: Source,
        registry: Registry,
        problem: Callable[..., None],
        parts: Mapping[str, Any],
    ) -> None:
        self.source, self.registry, self.problem, self.parts = source, registry, problem, parts
        self.loss: Component[LossSpec] | None = parts["loss"]
        self.schedule: Component[ScheduleSpec] | None = parts["schedule"]

    def check(self) -> None:
        """Make all checks."""
        self.check_needs()
        self.check_condition()
        self.check_phases()
        self.check_packing()
        self.check_priors()

    def components(self) -> Iterator[tuple[Path, Component[Any] | None]]:
        """Every component that the recipe writes, with its place; None for one with a problem."""
        for slot in SLOTS:
            if slot in self.source.table:
                yield (slot,), self.parts[slot]
        for name, part in self.parts["further_networks"].items():
            yield ("networks", name), part
        for array in ARRAYS:
            for index, part in enumerate(self.parts[array]):
                yield (array, index), part

    def check_needs(self) -> None:
        """Every component finds what it says it needs, and every network is used."""
        used: set[str] = set()
        unknown = False
        for path, component in self.components():
            if component is None:
                unknown = True
                continue
            needs = set(component.spec.needs)
            if isinstance(component.spec, LossSpec):
                needs |= {
                    name
                    for phase in component.spec.phases.values()
                    for name in phase.trains & set(NETWORKS)
                }
            if component.spec.kind not in ("metric", "probe"):
                used |= {
                    need.partition(".")[0] for need in needs
                }  # to be measured is not to be used
            for need in sorted(needs):
                self.check_need(path, component, need)
        if unknown:
            return  # a component that is not known yet may use any network
        for slot in ("discriminator", "encoder"):
            if self.parts[slot] is not None and self.loss is not None and slot not in used:
                message = f"loss '{self.loss.name}' does not use {article(slot)}"
                self.problem((slot,), message, f"remove the table [{slot}]")

    def check_need(self, path: Path, component: Component[Any], need: str) -> None:
        """One table or capability that a component needs is there."""
        table, _, capability = need.partition(".")
        what = f"{component.spec.kind} '{component.name}' needs"
        if table == "condition":
            if self.parts["condition"] is None:
                hint = 'write condition = "class" above the first table'
                self.problem((*path, "type"), f"{what} a class-conditional recipe", hint)
            return
        other: Component[Any] | None = self.parts[table]
        if other is None and table in self.source.table:
            return  # its own problem is reported already
        if other is None and table in ("data", "generator", "loss", "schedule"):
            return  # as a missing table
        what = f"{what} {article(SLOTS[table])}"
        if other is None:
            message = f"{what}; this recipe has none"
            self.problem((*path, "type"), message, f"add a table [{table}]")
            return
        role = self.role(path)
        if table == "data" and role is not None and role.sees != "samples":
            if capability and capability not in POINTS:
                message = (
                    f"{component.spec.kind} '{component.name}' needs {capability}, but "
                    f"'{path[-1]}' sees {role.sees}, which are points"
                )
                self.problem((*path, "type"), message, self.suitable(component.spec, need))
        elif capability and capability not in other.spec.capabilities:
            message = f"{what} with {capability}; {SLOTS[table]} '{other.name}' has none"
            able = self.providers(SLOTS[table], capability)
            would = f"{one_of(able)} would do" if able else None
            self.problem((*path, "type"), message, would)

    def role(self, path: Path) -> Role | None:
        """The role of a further network."""
        if path[0] != "networks" or self.loss is None:
            return None
        return self.loss.spec.networks[str(path[1])]

    def suitable(self, spec: ComponentSpec, need: str) -> str | None:
        """Components of the same kind without a need."""
        able = [
            entry.spec.type
            for entry in self.registry.entries(spec.kind)
            if need not in entry.spec.needs
        ]
        return f"{one_of(able)} would do" if able else None

    def providers(self, kind: str, capability: str) -> list[str]:
        """Types of the components of a kind that provide a capability."""
        return [
            entry.spec.type
            for entry in self.registry.entries(kind)
            if capability in entry.spec.provides
        ]

    def check_condition(self) -> None:
        """A conditional recipe has labelled data, and networks that take labels."""
        if self.parts["condition"] is None:
            return
        data = self.parts["data"]
        if data is not None and data.spec.num_classes is None:
            message = f"dataset '{data.name}' has no classes"
            able = self.providers("dataset", "labels")
            hint = f"{one_of(able)} has" if able else None
            if "labels" in data.spec.provides:
                hint = f"its keys can give it classes: ganzoo components dataset {data.name}"
            self.problem(("condition",), message, hint)
        for slot in NETWORKS:
            network = self.parts[slot]
            if network is not None and "classes" not in network.spec.capabilities:
                message = f"{slot} '{network.name}' cannot be conditioned on classes"
                able = self.providers(slot, "classes")
                self.problem((slot, "type"), message, f"{one_of(able)} can" if able else None)

    def check_phases(self) -> None:
        """The schedule runs phases that the loss has, regularizers join phases that are run."""
        loss, schedule = self.loss, self.schedule
        if loss is None or schedule is None:
            return
        phases = frozenset(loss.spec.phases)
        for phase in sorted(schedule.spec.runs - phases):
            message = (
                f"schedule '{schedule.name}' runs the phase '{phase}', "
                f"but loss '{loss.name}' has "
                + " and ".join(f"'{name}'" for name in sorted(phases))
            )
            fitting = [
                entry.spec.type
                for entry in self.registry.entries("schedule")
                if isinstance(runs := entry.spec.runs, frozenset) and runs <= phases  # type: ignore[attr-defined]
            ]
            names = ", ".join(f'["{name}"]' for name in loss.spec.phases)
            fits = one_of(fitting) if fitting else f'type = "sequence" with groups = [{names}]'
            self.problem(("schedule", "type"), message, f"{fits} would do")
        for index, regularizer in enumerate(self.parts["regularizers"]):
            joined = regularizer.spec.phase if regularizer else None
            if joined is not None and joined not in schedule.spec.runs:
                message = (
                    f"regularizer '{regularizer.name}' joins the phase '{joined}', "
                    f"which schedule '{schedule.name}' never runs"
                )
                self.problem(("regularizers", index, "type"), message)

    def check_packing(self) -> None:
        """A batch can be cut into packs, and nothing else in the recipe needs single samples."""
        discriminator, train = self.parts["discriminator"], self.parts.get("train")
        spec = None if discriminator is None else discriminator.spec
        if not isinstance(spec, DiscriminatorSpec) or spec.pack == 1:
            return
        path = ("discriminator", "pack")
        if train is not None and train.batch_size % (train.accumulate * spec.pack):
            parts = f"{train.accumulate} parts of " if train.accumulate > 1 else ""
            message = (
                f"train.batch_size = {train.batch_size} cannot be cut into {parts}packs of "
                f"{spec.pack}"
            )
            self.problem(path, message, "make one a multiple of the other")
        if self.parts["condition"] is not None:
            self.problem(
                path, "a pack holds samples of several classes", "leave out one of the two"
            )
        generator = self.parts["generator"]
        needs = () if generator is None else generator.spec.needs
        if any(need.partition(".")[0] == "discriminator" for need in needs):
            message = f"generator '{generator.name}' needs the logits of single samples"
            self.problem(path, message, "leave out one of the two")

    def check_priors(self) -> None:
        """A prior can be fitted where the loss knows codes."""
        if self.loss is None or "codes" in self.loss.spec.capabilities:
            return
        able = self.providers("loss", "codes")
        named: list[tuple[Path, Component[PriorSpec] | None]] = []
        if "prior" in self.source.table:
            named.append((("prior", "type"), self.parts["prior"]))
        named += [
            (("priors", index, "type"), prior) for index, prior in enumerate(self.parts["priors"])
        ]
        for path, prior in named:
            if prior is not None and prior.spec.fitted:
                message = (
                    f"prior '{prior.name}' is fitted to codes of real samples; "
                    f"loss '{self.loss.name}' has none"
                )
                self.problem(path, message, f"{one_of(able)} has" if able else None)


def trained_networks(
    loss: Component[LossSpec] | None, schedule: Component[ScheduleSpec] | None
) -> frozenset[str]:
    """What some phase of the schedule trains: names of networks, and perhaps the loss."""
    if loss is None or schedule is None:
        return frozenset()
    phases: Iterable[str] = schedule.spec.runs & set(loss.spec.phases)
    return frozenset().union(*(loss.spec.trains(phase) for phase in phases))


def completed(
    spec: Spec | None, what: str, path: Path, problem: Callable[..., None]
) -> Spec | None:
    """A component with all its keys; None where its files do not suit, which `problem` is told."""
    if not isinstance(spec, DatasetSpec) or type(spec).completed is DatasetSpec.completed:
        return spec
    root = data_root()
    try:
        return spec.completed(root)
    except UserError as error:
        problem(path, error.message, error.hint)
    except Exception as error:
        problem(path, f"{what} fails when it reads its files: {describe(error)}")
    return None


def article(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
