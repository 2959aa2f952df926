"""The keys of a recipe's tables, described for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from ganzoo.recipe.json_schema import is_value, json_schema

REQUIRED = "required"
"""Stands for the default of a key that has none."""
ABSENT = "absent"
"""Stands for a value that TOML cannot write: the key is left out."""


def keys(
    model: type[BaseModel], defaults: BaseModel | None = None, prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of every field; keys of an inner table are dotted.

    `defaults` is the value that the table has where nobody writes it.
    """
    properties = json_schema(model).get("properties", {})
    for name, field in model.model_fields.items():
        if defaults is None:
            value = field.get_default(call_default_factory=True)
        else:
            value = getattr(defaults, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            known = value if isinstance(value, inner) else None
            yield from keys(inner, known, f"{prefix}{name}.")
            continue
        described = _type(properties[field.alias or name])
        yield f"{prefix}{field.alias or name}", described, _default(value), field.description or ""


def _type(field: dict[str, Any]) -> str:
    """A JSON-Schema type in a few words."""
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    if is_value(field):
        return " ".join(["number or ramp", _limits(field["oneOf"][0])]).strip()
    if "anyOf" in field:
        return " | ".join(map(_type, field["anyOf"]))
    name = str(field.get("type", "any"))
    if name == "array":
        items: dict[str, Any] = field.get("items") or next(iter(field.get("prefixItems", [])), {})
        return f"array of {_type(items)}"
    names = {"object": "table", "null": "absent", "number": "float"}
    return " ".join([names.get(name, name), _limits(field)]).strip()


def _limits(field: dict[str, Any]) -> str:
    """The bounds of a number, such as `>= 0, < 1`."""
    signs = {
        "exclusiveMinimum": "> ",
        "minimum": ">= ",
        "exclusiveMaximum": "< ",
        "maximum": "<= ",
    }
    bounds = {sign: field[word] for word, sign in signs.items() if word in field}
    return ", ".join(
        f"{sign}{bound:_}" if isinstance(bound, int) else f"{sign}{bound:g}"
        for sign, bound in bounds.items()
    )


def _default(value: Any) -> str:
    """A default as a recipe would write it."""
    if value is PydanticUndefined:
        return REQUIRED
    return ABSENT if value is None else toml_value(to_jsonable_python(value))


def toml_value(value: Any) -> str:
    """A value of a TOML file, on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        items = ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()
