"""Writes the best point of a sweep as a recipe that extends the swept one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from ganzoo.recipe import Recipe
from ganzoo.recipe.lines import Path as KeyPath
from ganzoo.recipe.shipped import recipe_file, shipped
from ganzoo.recipe.source import override, read
from ganzoo.records import write_text
from ganzoo.sweeps.space import Point

SAME = ("name", "summary", "train.seed")
"""What the written recipe does not share with the point."""


def write_best(file: Path, point: Point, recipe: Recipe, out: Path, remark: str) -> Path:
    """Write `best.toml` into a folder, and return its path.

    `recipe` is the point's, with the budget; `remark` is a comment at the top. The file extends the
    swept recipe `file` and holds the values of the point and nothing else.
    """
    name, path = f"{recipe.name}-best", out / "best.toml"
    summary = f"{recipe.name} with {point.label}"
    head = "".join(f"# {line}\n" for line in remark.splitlines())
    tables = {"extends": _reference(file, out), "name": name, "summary": summary}
    written = _nested(_changes(file, point, recipe))
    write_text(path, f"{head}\n{tomli_w.dumps(tables | written)}")
    return path


def _reference(file: Path, out: Path) -> str:
    """What a recipe in the folder `out` extends: a shipped recipe by its name, a file by its path
    from there."""
    if not os.path.exists(file) and str(file) in shipped():
        return str(file)
    return Path(os.path.relpath(recipe_file(file).resolve(), out.resolve())).as_posix()


def _changes(file: Path, point: Point, recipe: Recipe) -> dict[KeyPath, Any]:
    """The values that the point sets, by their places in a file that extends the recipe.

    An array of tables is replaced as a whole by whoever extends a recipe, so it is written whole.
    """
    table = override(read(file), point.overrides).table
    changes: dict[KeyPath, Any] = {}
    for key, _ in point.values:
        if key in SAME:
            continue
        path: KeyPath = ()
        value: Any = table
        for name in key.split("."):
            if not isinstance(value, dict) or name not in value:
                break
            path, value = (*path, name), value[name]
        changes[path] = value
    if table["train"]["iterations"] != recipe.train.iterations:  # the budget
        changes["train", "iterations"] = recipe.train.iterations
    return changes


def _nested(changes: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """Values by path as tables within tables."""
    tables: dict[str, Any] = {}
    for path, value in changes.items():
        inner = tables
        for name in path[:-1]:
            inner = inner.setdefault(str(name), {})
        inner[str(path[-1])] = value
    return tables
