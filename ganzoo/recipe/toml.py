"""From the bytes of a file to tables of TOML and the origins of their keys, within bounds."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

from ganzoo.files import read_regular
from ganzoo.recipe import lines
from ganzoo.recipe.lines import DEEPEST
from ganzoo.recipe.lines import Path as KeyPath
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.origins import Origin, Origins
from ganzoo.recipe.problems import Problem, RecipeError
from ganzoo.recipe.settings import TABLES
from ganzoo.recipe.shipped import shipped

INTEGERS = range(-(2**63), 2**63)
"""The integers of TOML, which have 64 bits."""

KEYS = ("name", "summary", "condition", "networks", "optimizer", *SLOTS, *ARRAYS, *TABLES)
"""What stands at the top of a recipe, besides `extends`."""

_NAME = r"""(?:"[^"\n]*+"|'[^'\n]*+'|[A-Za-z0-9_-]++)"""
_TOO_DEEP = re.compile(rf"(?<![A-Za-z0-9_-]){_NAME}(?:[ \t]*+\.[ \t]*+{_NAME}){{{DEEPEST}}}")
"""A dotted key that takes `tomllib` a time that grows with the square of its length."""
_LONG_NUMBER = re.compile(r"(?<![A-Za-z0-9_])[0-9][0-9_]{4299}")
_OURS = re.compile(rf"^\s*\[{{0,2}}\s*(?:extends|{'|'.join(KEYS)})\b", re.MULTILINE)
_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")
"""tomllib ends its messages with the place: `... (at line 3, column 5)`."""


def parse(file: Path, named_at: Origin | None) -> tuple[dict[str, Any], Origins]:
    """The tables of a recipe file, not yet validated, and where each key stands.

    `named_at` is where another recipe says that it extends this one: what turns out to be no
    recipe is then told there, and nothing of it is shown. Raises `RecipeError`.
    """
    try:
        content = read_regular(file)
    except (OSError, ValueError) as error:
        raise RecipeError([_unreadable(file, error, named_at)]) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError([_undecodable(file, content, error, named_at)]) from error
    if "\0" in text:
        raise RecipeError([_undecodable(file, content, None, named_at)])
    try:
        if match := _TOO_DEEP.search(text):
            raise _Misplaced(f"a key of more than {DEEPEST} names", match.start())
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if named_at and not _OURS.search(text):
            raise RecipeError([_no_recipe(file, named_at)]) from error
        raise RecipeError([_syntax_problem(file, text, error)]) from error
    if named_at and table and not set(table) & {"extends", *KEYS}:
        raise RecipeError([_no_recipe(file, named_at)])
    rows = text.replace("\r\n", "\n").split("\n")
    origins = Origins()
    for path, line in lines.key_lines(text).items():
        origins.put(path, Origin(str(file), line, rows[line - 1]))
    problems = [
        Problem(".".join(map(str, path)), message, origins.nearest(path) or _nowhere(file))
        for path, message in faults(table)
    ]
    if problems:
        raise RecipeError(problems)
    return table, origins


def faults(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Places of a value that no component could take, and why: too deep, or too large."""
    if isinstance(value, dict | list):
        if len(path) > DEEPEST:
            yield path[:3], f"holds tables or arrays more than {DEEPEST} deep"
            return
        for part, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from faults(each, (*path, part))
    elif not isinstance(value, bool | int | float | str | date | time):
        yield path, f"is of {type(value).__name__}, which TOML does not have"
    elif isinstance(value, int) and value not in INTEGERS:
        yield path, "is a number beyond the 64 bits of a TOML integer"
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            yield path, "is not a text in UTF-8"


def plain(value: Any) -> Any:
    """Python's mappings, sequences, paths and numbers as those of TOML; anything else as it is."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def without_place(message: str) -> str:
    """A message of tomllib without the line and column that it ends with."""
    return _PLACE.sub("", message).removesuffix(" (at end of document)")


class _Misplaced(ValueError):
    """Something at a position of a text, which tomllib would not tell."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def _nowhere(file: Path) -> Origin:
    return Origin(str(file), None, "")


def _told(file: Path, named_at: Origin | None) -> tuple[str, str, Origin]:
    """Key, subject and place of what is wrong with a whole file."""
    return ("extends", f"'{file}' ", named_at) if named_at else ("", "", _nowhere(file))


def _no_recipe(file: Path, named_at: Origin) -> Problem:
    return Problem("extends", f"'{file}' is no recipe", named_at)


def _undecodable(
    file: Path, content: bytes, error: UnicodeDecodeError | None, named_at: Origin | None
) -> Problem:
    """What is not UTF-8; nothing of it is shown, since nobody knows how to read it."""
    key, subject, origin = _told(file, named_at)
    if error is None or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = f"{subject}is not a text in UTF-8: it looks like UTF-16 or no text at all"
        return Problem(key, message, origin, "save it as UTF-8")
    line = content.count(b"\n", 0, error.start) + 1
    where = f" (line {line})" if named_at else ""
    message = f"{subject}is not a text in UTF-8{where}"
    return Problem(key, message, named_at or Origin(str(file), line, ""), "save it as UTF-8")


def _unreadable(file: Path, error: Exception, named_at: Origin | None) -> Problem:
    """A file that is not there, or cannot be read."""
    key, subject, origin = _told(file, named_at)
    if not isinstance(error, FileNotFoundError):
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Problem(key, f"{subject}cannot be read: {reason}", origin)
    folder = file.parent
    there = [str(path) for path in folder.glob("*.toml")] if folder.is_dir() else []
    near = difflib.get_close_matches(str(file), [*there, *shipped()], n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`ganzoo recipes` lists the recipes"
    message = f"there is no recipe {subject.strip()}" if named_at else "no such recipe"
    return Problem(key, message, origin, hint)


def _syntax_problem(file: Path, text: str, error: Exception) -> Problem:
    message = str(error)
    rows = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    match, number = _PLACE.search(message), _LONG_NUMBER.search(text)
    if match:
        line, message = min(int(match[1]), len(rows)), message[: match.start()]
    elif isinstance(error, _Misplaced):
        line = text.count("\n", 0, error.position) + 1
    elif number and not isinstance(error, tomllib.TOMLDecodeError | RecursionError):
        line, message = text.count("\n", 0, number.start()) + 1, "a number of over 4300 digits"
    else:
        line = len(rows)
    if isinstance(error, RecursionError):
        message = "tables or arrays are nested too deep"
    return Problem("", f"not valid TOML: {message}", Origin(str(file), line, rows[line - 1]))
