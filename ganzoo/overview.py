"""Runs side by side: what there is of each in a line, and in what two of them differ."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from ganzoo.errors import GanzooError
from ganzoo.evaluation.document import Measures, headline
from ganzoo.plans import written_tables
from ganzoo.recipe import load_recipe
from ganzoo.recipe.shipped import shipped
from ganzoo.records import WarningRow, read_json, read_rows
from ganzoo.references import run_folders
from ganzoo.runs import Environment, RunFolder
from ganzoo.status import read_status

NAMES = frozenset({"name", "summary"})
"""Keys of a recipe in which a difference means nothing."""

Differences = dict[str, tuple[Any, Any]]
"""Two values by the key that has them, None where a key is not there."""


class Headline(TypedDict):
    """The value that stands for a run."""

    name: str
    value: float


class Overview(TypedDict):
    """One run."""

    name: str
    """What commands know it by: `digits-dcgan@-1` for the newest of a recipe."""
    path: str
    state: str
    """See `ganzoo.status.Status`; `new` before it has begun, `damaged` where nobody can tell."""
    begun: str
    """When, by ISO 8601."""
    iteration: int
    iterations: int | None
    """Those of the whole run, or None before it has begun."""
    headline: Headline | None
    warnings: list[str]
    """Names of the signs that its training went wrong, such as `one-class`."""
    bytes: int
    """What its files take."""
    changes: Differences | None
    """Its recipe's values and those of the shipped recipe of its name; None where none ships."""


def overview(runs: Path) -> list[Overview]:
    """All runs below a folder, in the order in which they were begun; damaged ones too."""
    folders = run_folders(runs)
    left = Counter(folder.path.parent.name for folder in folders)
    rows: list[Overview] = []
    for folder in folders:
        name = folder.path.parent.name
        rows.append(_row(folder, f"{name}@-{left[name]}"))
        left[name] -= 1
    return rows


def _row(folder: RunFolder, name: str) -> Overview:
    begun = datetime.fromtimestamp(folder.recipe.stat().st_mtime, UTC)
    row: Overview = {
        "name": name,
        "path": str(folder.path),
        "state": "damaged",
        "begun": begun.isoformat(timespec="seconds"),
        "iteration": 0,
        "iterations": None,
        "headline": None,
        "warnings": [],
        "bytes": size(folder.path),
        "changes": None,
    }
    try:
        original = _original(folder.path.parent.name)
        if original is not None:
            row["changes"] = differences(written_tables(folder), original)
        row["warnings"] = [each["name"] for each in read_rows(folder.warnings, WarningRow)]
        value = headline(read_json(folder.evaluation, Measures))
        row["headline"] = None if value is None else {"name": value[0], "value": value[1]}
        status = read_status(folder)
        row["iteration"] = status.get("iteration", 0)
        row["iterations"] = status.get("iterations")
        row["state"] = status.get("state", "new")
    except GanzooError:
        pass  # its own commands say what is wrong
    return row


@functools.cache
def _original(name: str) -> Mapping[str, Any] | None:
    """The tables of the shipped recipe of a name, with every default; None where none ships, or
    plugins that it needs are missing."""
    if name not in shipped():
        return None
    try:
        return load_recipe(name).tables()
    except GanzooError:
        return None


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; those that vanish meanwhile have none."""
    total = 0
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        try:
            status = file.lstat()
        except OSError:
            continue
        total += 0 if file.is_dir() else status.st_size
    return total


def compared(first: RunFolder, second: RunFolder) -> Differences:
    """In what two runs differ: keys of their recipes, versions and choices.

    Raises `RunError` where a file that says so is damaged.
    """
    tables = differences(written_tables(first), written_tables(second))
    return tables | differences(_made_with(first), _made_with(second))


def _made_with(folder: RunFolder) -> dict[str, Any]:
    environment: Environment = read_json(folder.environment, Environment)
    parts = {key: environment.get(key) for key in ("torch", "device_name", "plugins", "choices")}
    data: Any = environment.get("data") or {}
    return {**parts, "data hash": str(data.get("digest"))[:12]}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Differences:
    """The values of two tables by dotted key, where they differ."""
    mine, theirs = dict(_flat(first)), dict(_flat(second))
    return {
        key: (mine.get(key), theirs.get(key))
        for key in dict.fromkeys([*mine, *theirs])
        if mine.get(key) != theirs.get(key) and key not in NAMES
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """`regularizers.0.gamma` and its value, for all that is no table."""
    if isinstance(value, Mapping):
        pairs = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        pairs = [(str(index), each) for index, each in enumerate(value)]
    else:
        yield path, list(value) if isinstance(value, tuple) else value
        return
    for key, each in pairs:
        yield from _flat(each, f"{path}.{key}" if path else key)
