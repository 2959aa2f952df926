"""Files of plain data: JSON, and lines of it; written whole, and checked when they are read."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from ganzoo.errors import RunError
from ganzoo.files import read_regular
from ganzoo.unfinished import cannot_write, whole_file

Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


_adapter = functools.cache(TypeAdapter)


def write_json(path: Path, value: Any) -> None:
    """Write plain data as an indented JSON file, whole or not at all.

    JSON knows no infinities and nothing that is not a number: they are written as null.
    """
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Plain data with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def read_json(path: Path, kind: Any = dict[str, Any]) -> Any:
    """The content of a JSON file, checked against a type, or an empty dictionary where there is
    none. Raises `RunError`, which says what to do, for one that is damaged."""
    try:
        content = read_regular(path, most=None)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    return _checked(path, content, kind)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a JSON-lines file, in one write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(row) + "\n").encode())
    except OSError as error:
        raise cannot_write(path, error) from error


@with_config(ConfigDict(extra="allow"))
class Row(TypedDict):
    """What every line of a JSON-lines file has."""

    iteration: Count


@with_config(ConfigDict(extra="allow"))
class StatisticsRow(Row):
    """A line of statistics.jsonl."""

    images: Count
    statistics: dict[str, float]


@with_config(ConfigDict(extra="allow"))
class TimingRow(Row):
    """A line of timing.jsonl."""

    seconds: Amount


@with_config(ConfigDict(extra="allow"))
class WarningRow(Row):
    """A line of warnings.jsonl."""

    name: str
    text: str


def read_rows(path: Path, kind: Any = Row) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, checked against a type; a line cut short by a crash is left
    out. Raises `RunError` for a line that is damaged.
    """
    try:
        lines = read_regular(path, most=None).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    return [_checked(path, line, kind, number) for number, line in enumerate(lines, start=1)]


def cut_rows(path: Path, iteration: int) -> None:
    """Drop the rows after `iteration`, which a resumed run will write again."""
    if path.exists():
        rows = [row for row in read_rows(path) if row["iteration"] <= iteration]
        with whole_file(path) as file:
            file.writelines((json.dumps(row) + "\n").encode() for row in rows)


def _checked(path: Path, content: bytes, kind: Any, line: int | None = None) -> Any:
    """Plain data of a type. Raises `RunError` for other data, and for what is no JSON."""
    try:
        return _adapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise damaged(path, reason, line) from error


def damaged(path: Path, reason: str, line: int | None = None) -> RunError:
    """The message for a file of plain data that is not as it was written."""
    run = next((up for up in path.parents if (up / "recipe.toml").exists()), None)
    hint = "restore it from a copy, or delete it: it is made anew when it is needed"
    if run is not None:
        hint = f"restore it from a copy, or delete it: `ganzoo resume {run}` makes it anew"
    if line is not None:
        path, hint = Path(f"{path}:{line}"), "restore the file from a copy, or delete the line"
    return RunError(f"{path} is damaged: {reason}", hint=hint)
