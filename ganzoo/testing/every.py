"""Checks of a plugin as a whole, and of every kind of component."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import tomli_w
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor
from torch.nn.parameter import is_lazy

from ganzoo.recipe.model import Component
from ganzoo.specs import KINDS, ComponentSpec
from ganzoo.testing.building import making, ready, streams_at
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.importing import Imported, measure
from ganzoo.testing.surroundings import make_spec

MILLISECONDS = 300
"""What importing a plugin's declarations may take."""
SUMMARY = 100
"""Characters that fit into a table."""
STRANGER = "no-such-key"


@functools.lru_cache(maxsize=1)
def imported(module: str) -> Imported:
    """What importing a plugin does, in a process of its own."""
    return measure(module, at_most=MILLISECONDS)


def _import(subject: Subject) -> Imported:
    result = imported(subject.plugin.module)
    if result.error:
        raise Wrong(
            f"cannot be imported in a process of its own: {result.error}; import in it whatever it "
            "needs, and nothing that only the tests can see"
        )
    return result


@check("plugin")
def light_import(subject: Subject) -> None:
    """Every command imports every installed plugin, `ganzoo --help` too: a slow one makes all of
    them slow."""
    result = _import(subject)
    if result.milliseconds > MILLISECONDS:
        brings = f" (it brings in {', '.join(result.packages)})" if result.packages else ""
        raise Wrong(
            f"importing it takes {result.milliseconds:.0f} ms beyond ganzoo.api{brings}, and at "
            f"most {MILLISECONDS} are allowed; import what `build` needs inside `build`"
        )


@check("plugin")
def import_without_torch(subject: Subject) -> None:
    """Torch takes seconds to import, and commands that build nothing would wait for it."""
    if "torch" in _import(subject).packages:
        raise Wrong(
            "importing it imports torch; import torch, and files that do, inside `build`, and "
            "for annotations below `if TYPE_CHECKING:`"
        )


@check("plugin")
def import_side_effects(subject: Subject) -> None:
    """A plugin that is merely installed must not change runs in which it has no part."""
    if changed := _import(subject).changed:
        raise Wrong(f"importing it changes the {', the '.join(changed)}; leave it as it was")


@check("plugin")
def silent_import(subject: Subject) -> None:
    """What is printed at import stands in the output of every command, which programs read."""
    if printed := _import(subject).printed:
        raise Wrong(f"importing it prints {_short(printed)}; take that out")


@check(*KINDS, every_example=False)
def summary(subject: Subject) -> None:
    """`ganzoo components` shows the first line of the docstring, and nothing else."""
    assert subject.declared is not None
    summary = subject.declared.summary()
    if not summary:
        raise Wrong("its docstring is blank; say in its first line what it is")
    if len(summary) > SUMMARY:
        raise Wrong(
            f"the first line of its docstring has {len(summary)} characters, and {SUMMARY} fit "
            "into a table; say it in fewer, and the rest below an empty line"
        )


@check(*KINDS, every_example=False)
def described_keys(subject: Subject) -> None:
    """Whoever writes a recipe knows a key only by its description."""
    assert subject.declared is not None
    for path, model, name in _keys(subject.declared):
        if not (model.model_fields[name].description or "").strip():
            raise Wrong(
                f"key '{path}' has no description; write {name}: ... = Field(..., description="
                '"...")'
            )


@check(*KINDS)
def valid_examples(subject: Subject) -> None:
    """A table that names a type and nothing else should be one that can be trained with."""
    assert subject.declared is not None
    fields = subject.declared.model_fields
    required = [name for name, key in fields.items() if key.is_required()]
    if required and not subject.declared.examples:
        raise Wrong(
            f"{', '.join(required)} has no default and there is no example, so that nothing can be "
            "checked; write examples: ClassVar = ({...},) with a value for every such key"
        )
    if not isinstance(subject.example, Mapping):
        raise Wrong("`examples` should be a sequence of tables, each from key to value")
    make_spec(subject)


def _valid(subject: Subject) -> ComponentSpec:
    """The declaration; raises `Skip` where its keys are refused, for which there is a check."""
    try:
        return make_spec(subject)
    except Wrong as error:
        raise Skip("its keys are refused; see `valid-examples`") from error


@check(*KINDS)
def toml_round_trip(subject: Subject) -> None:
    """A run keeps its recipe as TOML: a resumed or repeated run would be of another component."""
    spec = _valid(subject)
    table = Component(spec.type, spec, subject.plugin).table()
    del table["type"]
    try:
        read = tomllib.loads(tomli_w.dumps(table))
        again = type(spec).model_validate_json(json.dumps(read, default=str))
    except (TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise Wrong(
            f"its keys cannot be written as TOML and read again: {_short(text)}; use numbers, "
            "texts, lists and tables, and None only as a default"
        ) from error
    for name in type(spec).model_fields:
        before, after = getattr(spec, name), getattr(again, name)
        if before != after:
            raise Wrong(
                f"key '{name}' is {before!r}, and {after!r} after it was written as TOML and read "
                "again; a validator must leave alone what it has made itself"
            )


@check(*KINDS, every_example=False)
def unknown_keys(subject: Subject) -> None:
    """A misspelt key that is passed over costs a training run that was not the one meant."""
    assert subject.declared is not None
    for model in dict.fromkeys(model for _, model, _ in _keys(subject.declared)):
        written = subject.example if model is subject.declared else {}
        try:
            model.model_validate({**written, STRANGER: 1})
        except ValidationError as error:
            if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
                continue
        raise Wrong(
            f"{model.__name__} takes keys that it does not have; "
            'write model_config = ConfigDict(extra="forbid", strict=True, frozen=True)'
        )


@check(*KINDS)
def builds(subject: Subject) -> None:
    """Whatever `ganzoo check` lets pass should be there when the run begins."""
    _valid(subject)
    if making(subject).build() is None:
        raise Wrong("build() returns None; return what it has made")


@check(*KINDS)
def build_side_effects(subject: Subject) -> None:
    """The other components of a run would be built or trained otherwise than alone."""
    made = ready(subject)
    # Libraries that are imported for the first time draw from these streams.
    once = [change for change in made.first.changed if not change.startswith("random stream")]
    with streams_at(3):
        again = made.watch()[1].changed
    if changed := sorted({*once, *again}):
        raise Wrong(
            f"building it changes the {', the '.join(changed)}; leave it as it was, and draw from "
            "torch's default random stream, which the engine has seeded"
        )


@check(*KINDS)
def silent_build(subject: Subject) -> None:
    """What is printed or warned of stands in the middle of the progress of a run."""
    made = ready(subject)
    for watch in (made.watch()[1], made.first):
        printed = watch.out if subject.kind == "dataset" else watch.out + watch.err
        if printed:
            raise Wrong(f"building it prints {_short(printed)}; take that out")
        if watch.warned:
            raise Wrong(f"building it warns: {_short(watch.warned[0])}; mend what it warns of")


@check(*sorted(KINDS.keys() - {"dataset"}))
def seeded_build(subject: Subject) -> None:
    """The seed of a recipe fixes the run: the same one must start from the same weights."""
    made = ready(subject)
    built = []
    for others in (1, 2):
        with streams_at(others):
            built.append(made.build())
    if (place := difference(built[0], built[1])) is not None:
        raise Wrong(
            f"two builds under one seed differ in {place or 'what they are'}; draw from torch's "
            "default random stream, which the engine has seeded, or from generators with a fixed "
            "seed"
        )


def difference(one: Any, other: Any, place: str = "", seen: frozenset[int] = frozenset()) -> Any:
    """Where two values differ, as a path of attributes and keys, or None where they are alike.

    Functions and other things without attributes are taken to be alike.
    """
    if one is other or id(one) in seen:
        return None
    if type(one).__qualname__ != type(other).__qualname__:
        return place
    if isinstance(one, bool | int | float | complex | str | bytes | set | frozenset | PurePath):
        return None if one == other or one != one else place
    if isinstance(one, Tensor | np.ndarray):
        return None if _equal(torch.as_tensor(one), torch.as_tensor(other)) else place
    if isinstance(one, torch.Generator):
        return None if torch.equal(one.get_state(), other.get_state()) else place
    if isinstance(one, Mapping):
        if list(one) != list(other):
            return place
        pairs: list[tuple[Any, Any, Any]] = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            return place
        pairs = list(zip(range(len(one)), one, other, strict=True))
    elif callable(one) and not isinstance(one, torch.nn.Module):
        return None
    else:
        attributes = _attributes(other)
        pairs = [(key, has, attributes.get(key)) for key, has in _attributes(one).items()]
    for key, ours, theirs in pairs:
        inner = difference(ours, theirs, f"{place}.{key}".lstrip("."), seen | {id(one)})
        if inner is not None:
            return inner
    return None


def _attributes(thing: Any) -> dict[str, Any]:
    """What an object holds; of a module its weights, buffers and parts too, but no hooks."""
    held = dict(getattr(thing, "__dict__", {}))
    if not isinstance(thing, torch.nn.Module):
        return held
    public = {name: value for name, value in held.items() if not name.startswith("_")}
    return public | {**held["_parameters"], **held["_buffers"], **held["_modules"]}


def _equal(one: Tensor, other: Tensor) -> bool:
    if is_lazy(one) and is_lazy(other):
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _keys(
    model: type[BaseModel], prefix: str = "", around: frozenset[type] = frozenset()
) -> Iterator[tuple[str, type[BaseModel], str]]:
    """Path, class and name of every key, those of inner tables too."""
    for name, key in model.model_fields.items():
        yield f"{prefix}{name}", model, name
        for inner in _inner(key.annotation):
            if inner not in around:
                yield from _keys(inner, f"{prefix}{name}.", around | {model})


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    """Classes of tables in a key's annotation, such as `Options | None` or `list[Options]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, list, tuple, dict):
        for part in get_args(annotation):
            yield from _inner(part)


def _short(text: str) -> str:
    """The beginning of a text, on one line and in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 120 else f"{line[:120]}...")
