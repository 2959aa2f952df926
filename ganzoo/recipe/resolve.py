"""Checks the tables of a recipe and collects every problem in one pass."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ganzoo.errors import UserError, one_of
from ganzoo.recipe.lines import Path
from ganzoo.recipe.model import ARRAYS, SLOTS, Component, Recipe
from ganzoo.recipe.settings import OPTIMIZERS, TABLES, Optimizer
from ganzoo.recipe.source import Problem, RecipeError, Source
from ganzoo.registry import Registry
from ganzoo.specs import NETWORKS, LossSpec, ScheduleSpec

Model = TypeVar("Model", bound=BaseModel)

REQUIRED = ("data", "generator", "loss", "schedule", "optimizer", "train")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def resolve(source: Source, registry: Registry) -> Recipe:
    """The recipe that `source` describes. Raises `RecipeError` with every problem found."""
    resolver = _Resolver(source, registry)
    parts = resolver.parts()
    if resolver.problems:
        raise RecipeError(dict.fromkeys(resolver.problems))
    return Recipe(**parts)


class _Resolver:
    def __init__(self, source: Source, registry: Registry) -> None:
        self.source = source
        self.registry = registry
        self.problems: list[Problem] = []

    def problem(self, path: Path, message: str, hint: str | None = None) -> None:
        key = ".".join(map(str, path))
        self.problems.append(Problem(key, message, self.source.origin(path), hint))

    def parts(self) -> dict[str, Any]:
        """The arguments of `Recipe`; incomplete where there were problems."""
        table = self.source.table
        known = ["name", "summary", "optimizer", *SLOTS, *ARRAYS, *TABLES]
        for key in table:
            if key not in known:
                self.problem((key,), "unknown table or key", _did_you_mean(key, known))
        for key in REQUIRED:
            if key not in table:
                self.problem((key,), "missing table", f"add a table [{key}]")
        parts: dict[str, Any] = {"name": self.name(), "summary": self.text("summary", "")}
        for name, settings in TABLES.items():
            if name not in table and name in REQUIRED:
                continue
            parts[name] = self.settings((name,), settings, table.get(name, {}), f"[{name}]")
        for slot, kind in SLOTS.items():
            parts[slot] = self.component((slot,), kind, table[slot]) if slot in table else None
        for array, kind in ARRAYS.items():
            parts[array] = self.array(array, kind)
        self.check_needs(parts)
        self.check_phases(parts)
        parts["optimizers"] = self.optimizers(trained_networks(parts["loss"], parts["schedule"]))
        return parts

    def name(self) -> str:
        stem = re.split(r"[/\\]", self.source.file)[-1].removesuffix(".toml")
        name = self.text("name", stem)
        if not NAME.fullmatch(name):
            hint = "letters, digits, '.', '_' and '-': it names a folder"
            self.problem(("name",), f"'{name}' cannot be a name", hint)
        return name

    def text(self, key: str, default: str) -> str:
        value = self.source.table.get(key, default)
        if not isinstance(value, str):
            self.problem((key,), f"should be a text (got {value!r})")
            return default
        return value

    def array(self, array: str, kind: str) -> tuple[Component[Any], ...]:
        rows = self.source.table.get(array, [])
        if not isinstance(rows, list):
            self.problem((array,), "should be an array of tables", f"write [[{array}]]")
            return ()
        found = [self.component((array, index), kind, row) for index, row in enumerate(rows)]
        return tuple(component for component in found if component is not None)

    def component(self, path: Path, kind: str, table: Any) -> Component[Any] | None:
        """Look up the type first, then validate the table against its class."""
        if not isinstance(table, dict):
            self.problem(path, "should be a table", f'{path[0]} = {{ type = "..." }}')
            return None
        name = table.get("type")
        if not isinstance(name, str):
            hint = f"there is {one_of(self.registry.names(kind))}"
            wrong = "missing" if name is None else f"should be a text (got {name!r})"
            self.problem((*path, "type"), wrong, hint)
            return None
        try:
            entry = self.registry.find(kind, name)
        except UserError as error:
            self.problem((*path, "type"), error.message, error.hint)
            return None
        keys = {key: value for key, value in table.items() if key != "type"}
        what = f"{kind} '{name}' ({entry.plugin.label})"
        spec = self.settings(path, entry.spec, keys, what)
        return None if spec is None else Component(name, spec, entry.plugin)

    def settings(self, path: Path, model: type[Model], table: Any, what: str) -> Model | None:
        """Validate in JSON mode: arrays serve as tuples, whole numbers as floats, nothing else."""
        if not isinstance(table, dict):
            self.problem(path, f"should be a table (got {table!r})")
            return None
        try:
            return model.model_validate_json(json.dumps(table, default=str))
        except ValidationError as error:
            for detail in error.errors():
                self.invalid(path, model, table, what, dict(detail))
            return None

    def invalid(
        self, path: Path, model: type[BaseModel], table: Any, what: str, detail: Mapping[str, Any]
    ) -> None:
        """Turn one of pydantic's complaints into a problem."""
        location: Path = tuple(detail["loc"])
        if detail["type"] == "extra_forbidden":
            names = list(model.model_fields) if len(location) == 1 else []
            message, hint = f"unknown key for {what}", _did_you_mean(str(location[-1]), names)
        elif detail["type"] == "missing":
            message, hint = f"missing key of {what}", None
            if len(location) == 1:
                hint = model.model_fields[str(location[0])].description
        else:
            # The location of a union's member ends in a tag that is no key of the table.
            depth = next(
                (depth for depth in range(len(location), 0, -1) if _has(table, location[:depth])),
                0,
            )
            location = location[:depth]
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
            message = message[:1].lower() + message[1:]
            message += f" (got {_short(detail['input'])})" if location else ""
            hint = None
        self.problem((*path, *location), message, hint)

    def check_needs(self, parts: Mapping[str, Any]) -> None:
        """Every component finds what it says it needs, and every network is used."""
        components = {(slot,): parts[slot] for slot in SLOTS if parts[slot] is not None} | {
            (array, index): part for array in ARRAYS for index, part in enumerate(parts[array])
        }
        needed: set[str] = set()
        for path, component in components.items():
            kind = component.spec.kind
            trains = (
                frozenset().union(*(phase.trains for phase in component.spec.phases.values()))
                if isinstance(component.spec, LossSpec)
                else frozenset()
            )
            for need in sorted(component.spec.needs | trains):
                slot, _, capability = need.partition(".")
                needed.add(slot)
                if slot in self.source.table and parts[slot] is None:
                    continue  # its own problem is told already
                what = f"{kind} '{component.name}' needs {_article(SLOTS[slot])}"
                if parts[slot] is None:
                    message = f"{what}; this recipe has none"
                    self.problem((*path, "type"), message, f"add a table [{slot}]")
                elif capability and capability not in parts[slot].spec.provides:
                    message = (
                        f"{what} with {capability}; {SLOTS[slot]} '{parts[slot].name}' has none"
                    )
                    able = [
                        entry.spec.type
                        for entry in self.registry.entries(SLOTS[slot])
                        if capability in entry.spec.provides
                    ]
                    hint = f"{one_of(able)} would do" if able else None
                    self.problem((*path, "type"), message, hint)
        for slot in ("discriminator", "encoder"):
            if parts[slot] is not None and parts["loss"] is not None and slot not in needed:
                message = f"loss '{parts['loss'].name}' does not use {_article(slot)}"
                self.problem((slot,), message, f"remove the table [{slot}]")

    def check_phases(self, parts: Mapping[str, Any]) -> None:
        """The schedule runs phases that the loss has, regularizers join phases that are run."""
        loss, schedule = parts["loss"], parts["schedule"]
        if loss is None or schedule is None:
            return
        phases = frozenset(loss.spec.phases)
        for phase in sorted(schedule.spec.runs - phases):
            message = (
                f"schedule '{schedule.name}' runs the phase '{phase}', "
                f"but loss '{loss.name}' has {one_of(sorted(phases))}"
            )
            fitting = [
                entry.spec.type
                for entry in self.registry.entries("schedule")
                if issubclass(entry.spec, ScheduleSpec) and entry.spec.runs <= phases
            ]
            hint = f"{one_of(fitting)} would do" if fitting else None
            self.problem(("schedule", "type"), message, hint)
        for index, regularizer in enumerate(parts["regularizers"]):
            phase = regularizer.spec.phase
            if phase not in schedule.spec.runs:
                message = (
                    f"regularizer '{regularizer.name}' joins the phase '{phase}', "
                    f"which schedule '{schedule.name}' never runs"
                )
                self.problem(("regularizers", index, "type"), message)

    def optimizers(self, trained: frozenset[str]) -> dict[str, Optimizer]:
        """One optimizer for each trained network: [optimizer], overridden by its own table."""
        table = self.source.table.get("optimizer", {})
        if not isinstance(table, dict):
            self.problem(("optimizer",), "should be a table")
            return {}
        shared = {key: value for key, value in table.items() if key not in NETWORKS}
        found = {}
        for slot in NETWORKS:
            own = table.get(slot, {})
            if slot in table and slot not in self.source.table:
                self.problem(("optimizer", slot), f"this recipe has no {slot}")
            elif not isinstance(own, dict):
                self.problem(("optimizer", slot), "should be a table")
            elif slot in trained and "optimizer" in self.source.table:
                optimizer = self.optimizer(slot, shared, own)
                if optimizer is not None:
                    found[slot] = optimizer
        return found

    def optimizer(
        self, slot: str, shared: Mapping[str, Any], own: Mapping[str, Any]
    ) -> Optimizer | None:
        if own.get("type", shared.get("type")) != shared.get("type"):
            shared = {}
        merged = {**shared, **own}
        name = merged.pop("type", None)
        home: Path = ("optimizer", slot) if "type" in own else ("optimizer",)
        if name not in OPTIMIZERS:
            wrong = "missing" if name is None else f"no optimizer is called '{name}'"
            hint = _did_you_mean(str(name), list(OPTIMIZERS))
            self.problem((*home, "type"), wrong, hint or f"there is {one_of(list(OPTIMIZERS))}")
            return None
        what = f"optimizer '{name}'"
        before = len(self.problems)
        optimizer = self.settings(("optimizer",), OPTIMIZERS[name], merged, what)
        # Keys of the network's own table stand one level deeper than the shared ones.
        for index, problem in enumerate(self.problems[before:], before):
            key = problem.key.split(".")
            if len(key) > 1 and key[1] in own:
                path: Path = ("optimizer", slot, *key[1:])
                self.problems[index] = Problem(
                    ".".join(map(str, path)),
                    problem.message,
                    self.source.origin(path),
                    problem.hint,
                )
        return optimizer


def trained_networks(
    loss: Component[LossSpec] | None, schedule: Component[ScheduleSpec] | None
) -> frozenset[str]:
    """Slots of the networks that some phase of the schedule trains."""
    if loss is None or schedule is None:
        return frozenset()
    trains = [loss.spec.phases[name].trains for name in schedule.spec.runs & set(loss.spec.phases)]
    return frozenset().union(*trains)


def _has(table: Any, path: Path) -> bool:
    for part in path:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _short(value: Any, limit: int = 60) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _did_you_mean(name: str, names: list[str]) -> str | None:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
