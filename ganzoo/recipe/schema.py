"""JSON Schema of a recipe with the installed plugins, for completion in editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.resolve import REQUIRED
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Registry
from ganzoo.specs import TRAINED


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """Schema (draft 2020-12) of a recipe file.

    A file that extends another need not be complete: it may lack required tables, and the
    tables it has may lack `type` and required settings, which then come from the other file.
    """
    properties: dict[str, Any] = {
        "extends": {"type": "string", "description": "path of the recipe to start from"},
        "name": {"type": "string"},
        "summary": {"type": "string"},
    }
    for slot, kind in SLOTS.items():
        properties[slot] = _component(registry, kind)
    for array, kind in ARRAYS.items():
        items = {**_component(registry, kind), "required": ["type"]}
        properties[array] = {"type": "array", "items": items}
    complete: dict[str, Any] = {slot: {"required": ["type"]} for slot in SLOTS}
    for name, settings in TABLES.items():
        properties[name] = _inlined(settings)
        if required := properties[name].pop("required", None):
            complete[name] = {"required": required}
    properties["optimizer"] = _optimizer()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ganzoo recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [
            {"required": ["extends"]},
            {"required": list(REQUIRED), "properties": complete},
        ],
    }


def _component(registry: Registry, kind: str) -> dict[str, Any]:
    """One branch for each type, selected by its name, and one for a table without a type."""
    branches = []
    for name, entry in zip(registry.names(kind), registry.entries(kind), strict=True):
        branch = _inlined(entry.spec)
        names = list(dict.fromkeys((name, entry.qualified)))
        branch["properties"] = {"type": {"enum": names}, **branch.get("properties", {})}
        branch["required"] = ["type", *branch.get("required", [])]
        branches.append(branch)
    return {"type": "object", "oneOf": [*branches, {"not": {"required": ["type"]}}]}


def _optimizer() -> dict[str, Any]:
    """Keys of all optimizers, on top for every network or in the table of one."""
    keys: dict[str, Any] = {"type": {"enum": list(OPTIMIZERS)}}
    for settings in OPTIMIZERS.values():
        keys.update(_inlined(settings)["properties"])
    one = {"type": "object", "properties": keys, "additionalProperties": False}
    return {**one, "properties": {**keys, **dict.fromkeys(TRAINED, one)}}


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema with its definitions put where they are used."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})

    def expand(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return {**expand(definitions[name]), **rest}
            return {key: expand(value) for key, value in node.items()}
        return [expand(value) for value in node] if isinstance(node, list) else node

    expanded: dict[str, Any] = expand(schema)
    return expanded
