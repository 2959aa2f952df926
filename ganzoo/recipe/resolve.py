"""Checks the tables of a recipe and collects every problem in one pass."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ganzoo.errors import UserError, one_of
from ganzoo.recipe.lines import Path
from ganzoo.recipe.model import ARRAYS, SLOTS, Component, Recipe
from ganzoo.recipe.settings import OPTIMIZERS, TABLES, Optimizer
from ganzoo.recipe.source import COMMAND_LINE, Problem, RecipeError, Source
from ganzoo.registry import Registry
from ganzoo.specs import TRAINED, LossSpec, ScheduleSpec

Model = TypeVar("Model", bound=BaseModel)

REQUIRED = ("data", "generator", "loss", "schedule", "optimizer", "train")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def resolve(source: Source, registry: Registry) -> Recipe:
    """The recipe that `source` describes. Raises `RecipeError` with every problem found."""
    resolver = _Resolver(source, registry)
    parts = resolver.parts()
    if resolver.problems:
        raise RecipeError(sorted(dict.fromkeys(resolver.problems), key=_position))
    return Recipe(**parts)


def _position(problem: Problem) -> tuple[bool, str, float]:
    """Problems are told in the order of the lines; the command line comes last."""
    origin = problem.origin
    return origin.file == COMMAND_LINE, origin.file, origin.line or math.inf


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
        self.check_prior(parts)
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
            self.problem((key,), f"should be a text (got {_short(value)})")
            return default
        return value

    def array(self, array: str, kind: str) -> tuple[Component[Any] | None, ...]:
        """The components of an array; None stands for one that has a problem."""
        rows = self.source.table.get(array, [])
        if not isinstance(rows, list):
            self.problem((array,), "should be an array of tables", f"write [[{array}]]")
            return ()
        found = tuple(self.component((array, index), kind, row) for index, row in enumerate(rows))
        if array != "augmentations":
            self.check_named_once(array, kind, found)
        return found

    def check_named_once(
        self, array: str, kind: str, components: Iterable[Component[Any] | None]
    ) -> None:
        """What a component writes down is named by its type, so no type may come twice."""
        seen: set[tuple[str, str]] = set()
        for index, component in enumerate(components):
            if component is None:
                continue
            identity = (component.plugin.name, component.spec.type)
            if identity in seen:
                message = f"{kind} '{component.name}' is there already"
                self.problem((array, index, "type"), message, f"remove one table [[{array}]]")
            seen.add(identity)

    def component(self, path: Path, kind: str, table: Any) -> Component[Any] | None:
        """Look up the type first, then validate the table against its class."""
        if not isinstance(table, dict):
            hint = f"write [{path[0]}]" if len(path) == 1 else f"write [[{path[0]}]]"
            if isinstance(table, str) and len(path) == 1:
                hint = f"write {path[0]}.type = {_short(table)}"
            self.problem(path, f"should be a table (got {_short(table)})", hint)
            return None
        name = table.get("type")
        if not isinstance(name, str):
            wrong = "missing" if name is None else f"should be a text (got {_short(name)})"
            self.problem((*path, "type"), wrong, self.registry.advice(kind))
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

    def settings(
        self,
        path: Path,
        model: type[Model],
        table: Any,
        what: str,
        place: Callable[[Path], Path] | None = None,
    ) -> Model | None:
        """Validate in JSON mode: arrays serve as tuples, whole numbers as floats, nothing else.

        `place` says where a key of the table was written, if not below `path`.
        """
        if not isinstance(table, dict):
            self.problem(path, f"should be a table (got {_short(table)})", f"write [{path[0]}]")
            return None
        try:
            return model.model_validate_json(json.dumps(table, default=str))
        except ValidationError as error:
            for detail in error.errors():
                location, message, hint = _complaint(model, table, what, dict(detail))
                self.problem(place(location) if place else (*path, *location), message, hint)
            return None

    def check_needs(self, parts: Mapping[str, Any]) -> None:
        """Every component finds what it says it needs, and every network is used."""
        places: dict[Path, Component[Any] | None] = {
            (slot,): parts[slot] for slot in SLOTS if slot in self.source.table
        } | {(array, index): part for array in ARRAYS for index, part in enumerate(parts[array])}
        components = {path: part for path, part in places.items() if part is not None}
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
                if kind not in ("metric", "probe"):
                    needed.add(slot)  # to be looked at is not to be used
                if parts[slot] is None and (slot in self.source.table or slot in REQUIRED):
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
        if len(components) < len(places):
            return  # a component that is not known yet may use any network
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
                f"but loss '{loss.name}' has "
                + " and ".join(f"'{name}'" for name in sorted(phases))
            )
            fitting = [
                entry.spec.type
                for entry in self.registry.entries("schedule")
                if issubclass(entry.spec, ScheduleSpec) and entry.spec.runs <= phases
            ]
            hint = f"{one_of(fitting)} would do" if fitting else None
            self.problem(("schedule", "type"), message, hint)
        for index, regularizer in enumerate(parts["regularizers"]):
            phase = regularizer.spec.phase if regularizer else None
            if phase is not None and phase not in schedule.spec.runs:
                message = (
                    f"regularizer '{regularizer.name}' joins the phase '{phase}', "
                    f"which schedule '{schedule.name}' never runs"
                )
                self.problem(("regularizers", index, "type"), message)

    def check_prior(self, parts: Mapping[str, Any]) -> None:
        """A mixture can be fitted where the loss knows codes."""
        loss, prior = parts["loss"], parts["prior"]
        if loss is None or prior is None or prior.distribution == "latent":
            return
        if "codes" not in loss.spec.provides:
            message = f"the mixture is fitted to codes of real samples; loss '{loss.name}' has none"
            able = [
                entry.spec.type
                for entry in self.registry.entries("loss")
                if "codes" in entry.spec.provides
            ]
            self.problem(
                ("prior", "distribution"), message, f"{one_of(able)} has" if able else None
            )

    def optimizers(self, trained: frozenset[str]) -> dict[str, Optimizer]:
        """One optimizer for each slot that is trained: [optimizer], overridden by its own table."""
        table = self.source.table.get("optimizer", {})
        if not isinstance(table, dict):
            message = f"should be a table (got {_short(table)})"
            self.problem(("optimizer",), message, "write [optimizer]")
            return {}
        shared = {key: value for key, value in table.items() if key not in TRAINED}
        found = {}
        for slot in TRAINED:
            own = table.get(slot, {})
            if slot in table and slot not in self.source.table:
                self.problem(("optimizer", slot), f"this recipe has no {slot}")
            elif not isinstance(own, dict):
                message = f"should be a table (got {_short(own)})"
                self.problem(("optimizer", slot), message, f"write [optimizer.{slot}]")
            elif {slot, "optimizer"} <= set(self.source.table) and (
                slot in trained or own or shared
            ):
                # The table of a network that is not trained is checked too, and then left out.
                optimizer = self.optimizer(slot, shared, own)
                if optimizer is not None and slot in trained:
                    found[slot] = optimizer
        return found

    def optimizer(
        self, slot: str, shared: Mapping[str, Any], own: Mapping[str, Any]
    ) -> Optimizer | None:
        changed = own.get("type", shared.get("type")) != shared.get("type")
        alone = bool(own) and (changed or not shared)
        merged = own if alone else {**shared, **own}

        def place(location: Path) -> Path:
            """Keys of the network's own table stand one level deeper than the shared ones."""
            deeper = location[0] in own if location else bool(own)
            return ("optimizer", *([slot] if alone or deeper else []), *location)

        name = merged.get("type")
        if not isinstance(name, str):
            wrong = "missing" if name is None else f"should be a text (got {_short(name)})"
            self.problem(place(("type",)), wrong, f"there is {one_of(list(OPTIMIZERS))}")
            return None
        if name not in OPTIMIZERS:
            hint = _did_you_mean(name, OPTIMIZERS) or f"there is {one_of(list(OPTIMIZERS))}"
            self.problem(place(("type",)), f"no optimizer is called '{name}'", hint)
            return None
        keys = {key: value for key, value in merged.items() if key != "type"}
        return self.settings(("optimizer",), OPTIMIZERS[name], keys, f"optimizer '{name}'", place)


def trained_networks(
    loss: Component[LossSpec] | None, schedule: Component[ScheduleSpec] | None
) -> frozenset[str]:
    """What some phase of the schedule trains: slots of networks, and perhaps the loss."""
    if loss is None or schedule is None:
        return frozenset()
    phases = schedule.spec.runs & set(loss.spec.phases)
    return frozenset().union(*(loss.spec.trains(phase) for phase in phases))


def _complaint(
    model: type[BaseModel], table: Any, what: str, detail: Mapping[str, Any]
) -> tuple[Path, str, str | None]:
    """One of pydantic's complaints about `table`, as a place in it, a message and a hint."""
    location: Path = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        names = [*_fields(model, location[:-1])]
        if issubclass(model, Optimizer) and len(location) == 1:
            names += TRAINED
        hint = _did_you_mean(str(location[-1]), names)
        if hint is None and names:
            hint = f"it has {', '.join(names)}"
        return location, f"unknown key for {what}", hint
    if detail["type"] == "missing":
        thing = "element" if isinstance(location[-1], int) else "key"
        return location, f"missing {thing} of {what}", _meaning(model, location)
    location = _written(table, location) or location[:1]
    message = detail["msg"].removeprefix("Value error, ").replace(" after validation", "")
    message = re.sub("^(Input|Tuple|List|String) should", "should", message)
    message = message[:1].lower() + message[1:]
    message += f" (got {_short(detail['input'])})" if location else ""
    return location, message, _meaning(model, location)


def _fields(model: type[BaseModel], location: Path) -> Mapping[str, FieldInfo]:
    """The fields of the model that stands at `location` in `model`; none where there is none."""
    fields: Mapping[str, FieldInfo] = model.model_fields
    for name in location:
        inner = fields[str(name)].annotation if name in fields else None
        fields = {}
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            fields = inner.model_fields
    return fields


def _meaning(model: type[BaseModel], location: Path) -> str | None:
    """The description of the key at `location`, or of the key whose value it is part of."""
    for length in range(len(location), 0, -1):
        field = _fields(model, location[: length - 1]).get(str(location[length - 1]))
        if field is not None:
            return field.description
    return None


def _written(table: Any, location: Path) -> Path:
    """`location` without the names of a union's members, which are no keys of the table."""
    written: Path = ()
    for part in location:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            continue
        written += (part,)
    return written


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _short(value: Any, limit: int = 60) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _did_you_mean(name: str, names: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
