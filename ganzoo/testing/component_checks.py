"""Checks of a plugin as a whole, and of every kind of component."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from ganzoo.ramps import Ramp, Ramps
from ganzoo.recipe.model import Component
from ganzoo.specs import KINDS, ComponentSpec
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import built, every_shape, first, make_spec
from ganzoo.testing.checks import Skip, Subject, Wrong, check, required_keys
from ganzoo.testing.effects import streams_at
from ganzoo.testing.imports import BLANKET, ENVIRONMENT, Effects, measure
from ganzoo.testing.state_checks import difference

MILLISECONDS = 300
"""What importing a plugin's declarations may take."""
SUMMARY = 100
"""Characters that fit into a table."""
SEEDED = "torch's default random stream, which the engine has seeded"
BY_LIBRARIES = re.compile(
    rf"(?!{BLANKET})(warning filters|sys.path)"
    rf"|{ENVIRONMENT} (?!CUDA|PYTORCH|OMP|MKL|OPENBLAS|GANZOO|PYTHON)"
)
"""Changes that libraries make when they are imported, but for variables that steer a run."""


def imports(subject: Subject) -> list[Effects]:
    """What importing the module does; raises `Wrong` where it cannot be imported."""
    result = measure(subject.plugin.module, MILLISECONDS)
    if result.error:
        remedy = "import in it whatever it needs, and nothing that only the tests can see"
        raise Wrong(f"cannot be imported in a process of its own: {result.error}; {remedy}")
    return [result]


@check("plugin", on=imports)
def light_import(result: Effects) -> None:
    """Every command imports every installed plugin, `ganzoo --help` too: a slow one slows all."""
    if result.milliseconds > MILLISECONDS:
        brings = f" (it brings in {', '.join(result.packages)})" if result.packages else ""
        takes = f"takes {result.milliseconds:.0f} ms beyond ganzoo.api{brings}"
        remedy = f"at most {MILLISECONDS} are allowed; import what `build` needs inside `build`"
        raise Wrong(f"importing it {takes}, and {remedy}")


@check("plugin", on=imports)
def import_without_torch(result: Effects) -> None:
    """Torch takes seconds to import, and commands that build nothing would wait for it."""
    if "torch" in result.packages:
        remedy = "inside `build`, and for annotations below `if TYPE_CHECKING:`"
        raise Wrong(f"importing it imports torch; import torch, and files that do, {remedy}")


@check("plugin", on=imports)
def import_side_effects(result: Effects) -> None:
    """A plugin that is merely installed must not change runs in which it has no part."""
    if result.changed:
        raise Wrong(f"importing it changes {', '.join(result.changed)}; leave it as it was")


@check("plugin", on=imports)
def silent_import(result: Effects) -> None:
    """What is printed at import stands in the output of every command, which programs read."""
    _check_silence("importing", result, result.out + result.err)


def _declared(subject: Subject) -> type[ComponentSpec]:
    assert subject.declared is not None
    return subject.declared


@check(*KINDS, every_example=False)
def summary(subject: Subject) -> None:
    """`ganzoo components` shows the first line of the docstring, and nothing else."""
    line = _declared(subject).summary()
    if not line:
        raise Wrong("its docstring is blank; say in its first line what it is")
    if len(line) > SUMMARY:
        remedy = f"{SUMMARY} fit into a table; say it in fewer, and the rest below an empty line"
        raise Wrong(f"the first line of its docstring has {len(line)} characters, and {remedy}")


@check(*KINDS, every_example=False)
def described_keys(subject: Subject) -> None:
    """Whoever writes a recipe knows a key only by its description."""
    for path, model, name in _keys(_declared(subject)):
        if not (model.model_fields[name].description or "").strip():
            remedy = f'write {name}: ... = Field(..., description="...")'
            raise Wrong(f"key '{path}' has no description; {remedy}")


@check(*KINDS)
def valid_examples(subject: Subject) -> None:
    """A table that names a type and nothing else should be one that can be trained with."""
    declared = _declared(subject)
    required = required_keys(declared)
    if required and not declared.examples:
        problem = "has no default and there is no example, so that nothing can be checked"
        remedy = "write examples: ClassVar = ({...},) with a value for every such key"
        raise Wrong(f"{', '.join(required)} {problem}; {remedy}")
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
        problem = f"its keys cannot be written as TOML and read again: {_short(str(error))}"
        remedy = "use numbers, texts, lists and tables, and None only as a default"
        raise Wrong(f"{problem}; {remedy}") from error
    for name in type(spec).model_fields:
        before, after = getattr(spec, name), getattr(again, name)
        if before != after:
            problem = f"is {before!r}, and {after!r} after it was written as TOML and read again"
            remedy = "a validator must leave alone what it has made itself"
            raise Wrong(f"key '{name}' {problem}; {remedy}")


@check(*KINDS, every_example=False)
def unknown_keys(subject: Subject) -> None:
    """A misspelt key that is passed over costs a training run that was not the one meant."""
    for model in dict.fromkeys(model for _, model, _ in _keys(_declared(subject))):
        written = subject.example if model is subject.declared else {}
        try:
            model.model_validate({**written, "no-such-key": 1})
        except ValidationError as error:
            if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
                continue
        remedy = 'write model_config = ConfigDict(extra="forbid", strict=True, frozen=True)'
        raise Wrong(f"{model.__name__} takes keys that it does not have; {remedy}")


@functools.lru_cache(maxsize=1)
def _effects(subject: Subject) -> tuple[Effects, Effects]:
    """What happens when a component is built again, and what did when it was for the first time."""
    once, again = Effects(), Effects()
    with once.recorded():
        bench = every_shape(subject)[0]
    with streams_at(3):
        bench.build(within=again.recorded())
    return again, once


@check(*KINDS)
def builds(subject: Subject) -> None:
    """Whatever `ganzoo check` lets pass should be there when the run begins."""
    _valid(subject)
    _effects(subject)  # while it is the first time, for the checks below
    if every_shape(subject)[0].build() is None:
        raise Wrong("build() returns None; return what it has made")


@check(*KINDS)
def build_side_effects(subject: Subject) -> None:
    """The other components of a run would be built or trained otherwise than alone."""
    with built():
        again, once = _effects(subject)
    # Libraries that are imported for the first time draw from these streams.
    changes = {change for change in once.changed if "random stream" not in change}
    changes |= set(again.changed)
    if changed := sorted(change for change in changes if not BY_LIBRARIES.match(change)):
        remedy = f"leave it as it was, and draw from {SEEDED}"
        raise Wrong(f"building it changes {', '.join(changed)}; {remedy}")


@check(*KINDS)
def silent_build(subject: Subject) -> None:
    """What is printed or warned of stands in the middle of the progress of a run."""
    with built():
        recorded = _effects(subject)
    for effects in recorded:
        # A data set may tell people on stderr how far it is.
        printed = effects.out + ("" if subject.kind == "dataset" else effects.err)
        _check_silence("building", effects, printed)


@check(*sorted(KINDS.keys() - {"dataset"}), on=first)
def seeded_build(bench: Bench) -> None:
    """The seed of a recipe fixes the run: the same one must start from the same weights."""
    built = []
    for others in (1, 2):
        with streams_at(others):
            built.append(bench.build())
    if (place := difference(*built)) is not None:
        remedy = f"draw from {SEEDED}, or from generators with a fixed seed"
        raise Wrong(f"two builds under one seed differ in {place or 'what they are'}; {remedy}")


def _check_silence(doing: str, effects: Effects, printed: str) -> None:
    if printed:
        raise Wrong(f"{doing} it prints {_short(printed)}; take that out")
    if effects.warned:
        raise Wrong(f"{doing} it warns: {_short(effects.warned[0])}; mend what it warns of")


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
    if annotation in (Ramp, Ramps):
        return  # of a `Value`, whose key says what it is
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def _short(text: str) -> str:
    """The beginning of a text, on one line and in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 120 else f"{line[:120]}...")
