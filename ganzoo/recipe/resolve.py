"""Turns the tables of a recipe into its parts and collects every problem in one pass."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ganzoo.errors import UserError, one_of, shortened, visible
from ganzoo.recipe.checks import Checks, article, completed, trained_networks
from ganzoo.recipe.lines import Path
from ganzoo.recipe.model import ARRAYS, SLOTS, Component, Recipe
from ganzoo.recipe.problems import Problem, RecipeError
from ganzoo.recipe.remarks import remarks
from ganzoo.recipe.settings import OPTIMIZERS, OPTIONS, TABLES, Optimizer
from ganzoo.recipe.source import COMMAND_LINE, Source
from ganzoo.recipe.toml import KEYS
from ganzoo.registry import Registry
from ganzoo.remarks import Remark
from ganzoo.specs import NETWORKS, LossSpec
from ganzoo.synonyms import usual_key

Model = TypeVar("Model", bound=BaseModel)

REQUIRED = ("data", "generator", "loss", "schedule", "optimizer", "train")
CONDITIONS = ("class",)
LATENT_PRIOR, FITTED_PRIOR = "latent", "mixture"
"""The prior of a recipe that names none, and the one that is fitted beside it to known codes."""
HINTED = 500
"""Problems for which hints are looked for."""
MOST_COMPONENTS = 100
"""Tables of one array."""
Hint = str | Callable[[], str | None] | None
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def resolve(source: Source, registry: Registry) -> Recipe:
    """The recipe that `source` describes. Raises `RecipeError` with every problem found."""
    resolver = _Resolver(source, registry)
    parts = resolver.parts()
    if not resolver.problems:
        remarks(parts, source, resolver.remark)
    if resolver.problems:
        raise RecipeError(sorted(dict.fromkeys(resolver.problems), key=_position))
    return Recipe(**parts, notes=tuple(resolver.notes))


def _position(problem: Problem) -> tuple[bool, str, float]:
    """Problems are reported in the order of the lines; the command line comes last."""
    origin = problem.origin
    return origin.file == COMMAND_LINE, origin.file, origin.line or math.inf


class _Resolver:
    def __init__(self, source: Source, registry: Registry) -> None:
        self.source = source
        self.registry = registry
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def problem(self, path: Path, message: str, hint: Hint = None) -> None:
        """Note a problem; a hint that takes time to find is left out where nobody reads it."""
        key = ".".join(map(str, path))
        if callable(hint):
            hint = hint() if len(self.problems) < HINTED else None
        self.problems.append(Problem(key, message, self.source.origin(path), hint))

    def remark(self, path: Path, remark: Remark) -> None:
        """Take what a component says of the recipe: a problem, or a note in one line."""
        if remark.fatal:
            self.problem(path, remark.message, remark.hint)
            return
        origin = self.source.origin(path)
        place = f"{origin.file}:{origin.line}" if origin.line else origin.file
        hint = f"; {remark.hint}" if remark.hint else ""
        note = f"{place}: {'.'.join(map(str, path))}: {remark.message}{hint}"
        self.notes.append(visible(note, keep=""))

    def parts(self) -> dict[str, Any]:
        """The arguments of `Recipe`; incomplete where there were problems."""
        table = self.source.table
        for key in table:
            if key not in KEYS:
                self.problem((key,), "unknown table or key", partial(_did_you_mean, key, KEYS))
        for key in REQUIRED:
            if key not in table:
                self.problem((key,), "missing table", f"add a table [{key}]")
        parts: dict[str, Any] = {
            "name": self.name(),
            "summary": self.text("summary", ""),
            "condition": self.condition(),
        }
        for name, settings in TABLES.items():
            if name not in table and name in REQUIRED:
                continue
            parts[name] = self.settings((name,), settings, table.get(name, {}), f"[{name}]")
        for slot, kind in SLOTS.items():
            parts[slot] = self.component((slot,), kind, table[slot]) if slot in table else None
        for array, kind in ARRAYS.items():
            parts[array] = self.array(array, kind)
        parts["further_networks"] = self.further_networks(parts["loss"])
        self.choose_priors(parts)
        Checks(self.source, self.registry, self.problem, parts).check()
        trained = trained_networks(parts["loss"], parts["schedule"])
        parts["optimizers"] = self.optimizers(trained)
        parts["further_networks"] = {
            name: each for name, each in parts["further_networks"].items() if each is not None
        }
        return parts

    def condition(self) -> str | None:
        value = self.source.table.get("condition")
        if value is not None and value not in CONDITIONS:
            self.problem(("condition",), f"should be {one_of(CONDITIONS)} (got {_short(value)})")
            return None
        return value

    def further_networks(
        self, loss: Component[LossSpec] | None
    ) -> dict[str, Component[Any] | None]:
        """What `[networks.NAME]` gives the loss; None stands for a table that has a problem."""
        tables = self.source.table.get("networks", {})
        if not isinstance(tables, dict):
            hint = "write [networks.NAME]"
            self.problem(("networks",), f"should be a table (got {_short(tables)})", hint)
            return {}
        if loss is None:
            return dict.fromkeys(tables)  # nobody knows what they are for
        roles = loss.spec.networks
        for name in tables:
            if name in NETWORKS:
                self.problem(("networks", name), "has a table of its own", f"write [{name}]")
            elif name not in roles:
                message = f"loss '{loss.name}' has no network '{name}'"
                others = f"it has {', '.join(roles)}" if roles else "remove the table"
                near = partial(_did_you_mean, name, roles, others)
                self.problem(("networks", name), message, near)
        for name, role in roles.items():
            if name not in tables:
                message = f"loss '{loss.name}' needs {article(role.kind)} '{name}'"
                self.problem(("networks", name), message, f"add a table [networks.{name}]")
        return {
            name: self.component(("networks", name), role.kind, tables[name])
            for name, role in roles.items()
            if name in tables
        }

    def choose_priors(self, parts: dict[str, Any]) -> None:
        """Fill in the prior of a recipe that names none, and the one fitted beside it."""
        if "prior" not in self.source.table:
            parts["prior"] = self.standard_prior(LATENT_PRIOR)
        loss, prior = parts["loss"], parts["prior"]
        if "priors" in self.source.table or loss is None or prior is None:
            return
        if "codes" in loss.spec.capabilities:
            other = LATENT_PRIOR if prior.spec.fitted else FITTED_PRIOR
            standard = self.standard_prior(other)
            parts["priors"] = () if standard is None else (standard,)

    def standard_prior(self, name: str) -> Component[Any] | None:
        """A prior of the core with its defaults."""
        try:
            entry = self.registry.find("prior", name)
        except UserError as error:
            self.problem(("prior",), error.message, error.hint)
            return None
        return Component(name, entry.spec(), entry.plugin)

    def name(self) -> str:
        stem = re.split(r"[/\\]", self.source.file)[-1].removesuffix(".toml")
        name = self.text("name", stem)
        if not NAME.fullmatch(name):
            hint = "letters, digits, '.', '_' and '-': it names a folder"
            self.problem(("name",), f"'{shortened(name, 60)}' cannot be a name", hint)
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
        if len(rows) > MOST_COMPONENTS:
            message = f"should hold at most {MOST_COMPONENTS} tables (got {len(rows)})"
            self.problem((array,), message)
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
        spec = completed(self.settings(path, entry.spec, keys, what), what, path, self.problem)
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
            for detail in error.errors(include_url=False, include_context=False):
                location, message, hint = _complaint(model, table, what, dict(detail))
                self.problem(place(location) if place else (*path, *location), message, hint)
            return None

    def optimizers(self, trained: frozenset[str]) -> dict[str, Optimizer]:
        """One optimizer for each slot that is trained: [optimizer], overridden by its own table."""
        table = self.source.table.get("optimizer", {})
        if not isinstance(table, dict):
            message = f"should be a table (got {_short(table)})"
            self.problem(("optimizer",), message, "write [optimizer]")
            return {}
        names = self.trainable_names()
        # A table is a network that the recipe lacks; anything else is a misspelt option.
        strangers = [
            key
            for key, value in table.items()
            if key not in names and key not in OPTIONS and isinstance(value, dict)
        ]
        for key in strangers:
            near = partial(_did_you_mean, key, names, f"it has {', '.join(names)}")
            self.problem(("optimizer", key), f"this recipe has no {key}", near)
        apart = {*names, *strangers}
        shared = {key: each for key, each in table.items() if key not in apart}
        found = {}
        for slot in names:
            own = table.get(slot, {})
            if not isinstance(own, dict):
                message = f"should be a table (got {_short(own)})"
                self.problem(("optimizer", slot), message, f"write [optimizer.{slot}]")
            elif "optimizer" in self.source.table and (slot in trained or own or shared):
                # The table of a network that is not trained is checked too, and then left out.
                optimizer = self.optimizer(slot, shared, own)
                if optimizer is not None and slot in trained:
                    found[slot] = optimizer
        return found

    def trainable_names(self) -> list[str]:
        """Names of all that can have an optimizer: the networks and the loss of the recipe."""
        table = self.source.table
        further = table.get("networks", {})
        names = [name for name in (*NETWORKS, "loss") if name in table]
        return [*names, *(further if isinstance(further, dict) else ())]

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


def _complaint(
    model: type[BaseModel], table: Any, what: str, detail: Mapping[str, Any]
) -> tuple[Path, str, Hint]:
    """One of pydantic's complaints about `table`, as a place in it, a message and a hint."""
    location: Path = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        location = _written(table, location)
        names = list(_fields(model, location[:-1]))
        others = f"it has {', '.join(names)}" if names else None
        near = partial(_did_you_mean, str(location[-1]), names, others)
        return location, f"unknown key for {what}", near
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
    """The keys of the table that stands at `location` in `model`; none where there is none."""
    fields = _keys(model)
    for name in location:
        if isinstance(name, int):
            continue  # an element has the keys that its array takes
        annotation = fields[name].annotation if name in fields else None
        fields = {}
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                fields |= _keys(inner)
    return fields


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that a recipe writes."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


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


def _short(value: Any) -> str:
    return shortened(json.dumps(value, default=str, ensure_ascii=False), 60)


def _did_you_mean(name: str, names: Iterable[str], otherwise: str | None = None) -> str | None:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"recipes have {usual}" if (usual := usual_key(name)) else otherwise
