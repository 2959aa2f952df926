"""`ganzoo components`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganzoo.cli.output import stdout, table, warn_about_broken_plugins

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ganzoo.registry import Entry

REQUIRED = "required"
ABSENT = "absent"


def components(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="generator, loss, dataset, ...")
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="TYPE", help="One component.")] = None,
) -> None:
    """List what recipes can be made of. With KIND and TYPE, every key of one component."""
    from ganzoo import registry
    from ganzoo.errors import UserError, one_of
    from ganzoo.specs import KINDS

    warn_about_broken_plugins()
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"no kind of component is called '{kind}'", hint=f"there is {one_of(list(KINDS))}"
        )
    found = registry.installed()
    if kind is not None and name is not None:
        _describe(found.find(kind, name), name)
        return
    rows = [
        (entry.kind, each, entry.plugin.label, entry.spec.summary())
        for some_kind in ([kind] if kind else KINDS)
        for each, entry in zip(found.names(some_kind), found.entries(some_kind), strict=True)
    ]
    stdout().print(table(("kind", "type", "from", "summary"), rows))


def _describe(entry: Entry, name: str) -> None:
    """Help text, needs, keys and a table to paste of the component that `name` means."""
    import inspect

    console = stdout()
    console.print(f"{entry.kind} {name} ({entry.plugin.label})\n")
    console.print(inspect.cleandoc(entry.spec.__doc__ or ""))
    for label, words in (("needs", entry.spec.needs), ("provides", entry.spec.provides)):
        if words:
            console.print(f"\n{label}: {', '.join(sorted(words))}")
    rows = list(_keys(entry.spec))
    if rows:
        console.print()
        console.print(table(("key", "type", "default", "meaning"), rows))
    console.print()
    console.print(_example(entry.kind, name, rows), end="")


def _keys(
    model: type[BaseModel], defaults: BaseModel | None = None, prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of every field; keys of an inner table are dotted.

    `defaults` is the value that the table has where nobody writes it.
    """
    from pydantic import BaseModel

    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        if defaults is None:
            value = field.get_default(call_default_factory=True)
        else:
            value = getattr(defaults, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            known = value if isinstance(value, inner) else None
            yield from _keys(inner, known, f"{prefix}{name}.")
            continue
        described = _type(schema["properties"][name], schema)
        yield f"{prefix}{name}", described, _default(value), field.description or ""


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON-Schema type in a few words."""
    if "$ref" in field:
        return _type(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    if "anyOf" in field:
        return " | ".join(_type(choice, schema) for choice in field["anyOf"])
    name = str(field.get("type", "any"))
    if name == "array":
        items: dict[str, Any] = field.get("items") or next(iter(field.get("prefixItems", [])), {})
        return f"array of {_type(items, schema)}"
    bounds = {
        "exclusiveMinimum": "> ",
        "minimum": ">= ",
        "exclusiveMaximum": "< ",
        "maximum": "<= ",
    }
    limits = [f"{sign}{field[word]:g}" for word, sign in bounds.items() if word in field]
    names = {"object": "table", "null": "absent", "number": "float"}
    return " ".join([names.get(name, name), ", ".join(limits)]).strip()


def _default(value: Any) -> str:
    """A default as a recipe would write it."""
    from pydantic_core import PydanticUndefined, to_jsonable_python

    if value is PydanticUndefined:
        return REQUIRED
    return ABSENT if value is None else _toml(to_jsonable_python(value))


def _toml(value: Any) -> str:
    """A value of a TOML file, on one line."""
    import tomli_w

    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()


def _example(kind: str, name: str, rows: Sequence[Sequence[str]]) -> str:
    """A table with every key, the required ones left for the reader to fill in."""
    from ganzoo.recipe.model import ARRAYS, SLOTS

    headers = {held: f"[{slot}]" for slot, held in SLOTS.items()}
    headers |= {held: f"[[{array}]]" for array, held in ARRAYS.items()}
    lines = [headers[kind], f"type = {_toml(name)}"]
    for key, described, default, _ in rows:
        if default == REQUIRED:
            lines.append(f"# {key} = ...  required: {described}")
        elif default != ABSENT:
            lines.append(f"{key} = {default}")
    return "\n".join(lines) + "\n"
