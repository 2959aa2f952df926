"""JSON Schema of a recipe with the installed plugins, for completion in editors."""

from __future__ import annotations

from typing import Any

from ganzoo.recipe.json_schema import json_schema
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.resolve import CONDITIONS, REQUIRED
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Registry
from ganzoo.specs import NETWORKS


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """Schema (draft 2020-12) of a recipe file.

    A file that extends another need not be complete: it may lack required tables, and the
    tables it has may lack `type` and required settings, which then come from the other file.
    """
    properties: dict[str, Any] = {
        "extends": {"type": "string", "description": "path or name of the recipe to start from"},
        "name": {"type": "string"},
        "summary": {"type": "string"},
        "condition": {"enum": list(CONDITIONS), "description": "what samples are conditioned on"},
    }
    for slot, kind in SLOTS.items():
        properties[slot] = _component(registry, kind)
    for array, kind in ARRAYS.items():
        items = {**_component(registry, kind), "required": ["type"]}
        properties[array] = {"type": "array", "items": items}
    properties["networks"] = _further_networks(registry)
    complete: dict[str, Any] = {slot: {"required": ["type"]} for slot in SLOTS}
    complete["networks"] = {"additionalProperties": {"required": ["type"]}}
    for name, settings in TABLES.items():
        properties[name] = json_schema(settings)
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
        branch = json_schema(entry.spec)
        names = list(dict.fromkeys((name, entry.qualified)))
        branch["properties"] = {"type": {"enum": names}, **branch.get("properties", {})}
        branch["required"] = ["type", *branch.get("required", [])]
        branches.append(branch)
    return {"type": "object", "oneOf": [*branches, {"not": {"required": ["type"]}}]}


def _further_networks(registry: Registry) -> dict[str, Any]:
    """Tables of any name, each of a network of any kind: it is the loss that says which."""
    kinds = [_component(registry, SLOTS[slot]) for slot in NETWORKS]
    return {"type": "object", "additionalProperties": {"anyOf": kinds}}


def _optimizer() -> dict[str, Any]:
    """Keys of all optimizers, on top for every network or in the table of one, of any name."""
    keys: dict[str, Any] = {"type": {"enum": list(OPTIMIZERS)}}
    for settings in OPTIMIZERS.values():
        keys.update(json_schema(settings)["properties"])
    one = {"type": "object", "properties": keys, "additionalProperties": False}
    known = dict.fromkeys((*NETWORKS, "loss"), one)
    return {"type": "object", "properties": {**keys, **known}, "additionalProperties": one}
