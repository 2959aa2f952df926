"""The JSON Schema of a table, as editors and the lists of keys need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

BOUNDS: Mapping[str, str] = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}
"""pydantic's words for bounds, which it leaves beside a union, and those of JSON Schema."""


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema (draft 2020-12), its definitions written out where they are used.

    Bounds of a `ganzoo.ramps.Value` stand at its number and at both ends of its ramps.
    """
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})

    def expand(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return {**expand(definitions[name]), **rest}
            expanded = {key: expand(value) for key, value in node.items()}
            return _bounded_value(expanded) if is_value(expanded) else expanded
        return [expand(value) for value in node] if isinstance(node, list) else node

    expanded: dict[str, Any] = expand(schema)
    return expanded


def is_value(schema: Mapping[str, Any]) -> bool:
    """Whether an expanded schema is that of a `ganzoo.ramps.Value`."""
    forms = schema.get("oneOf")
    return isinstance(forms, list) and [form.get("title") for form in forms[1:]] == [
        "Ramp",
        "Ramps",
    ]


def _bounded_value(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a `Value` with its bounds where a validator looks for them."""
    bounds = {BOUNDS[key]: schema[key] for key in BOUNDS if key in schema}
    number, ramp, ramps = schema["oneOf"]
    ends = {end: {**ramp["properties"][end], **bounds} for end in ("from", "to")}
    ramp = {**ramp, "properties": {**ramp["properties"], **ends}}
    forms = [{**number, **bounds}, ramp, {**ramps, "items": ramp, "minItems": 1}]
    rest = {key: value for key, value in schema.items() if key not in BOUNDS}
    return {**rest, "oneOf": forms}
