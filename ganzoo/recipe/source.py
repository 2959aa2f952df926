"""Reads recipe files: TOML, `extends`, overrides; remembers where every key was written."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo.errors import UserError
from ganzoo.recipe import lines
from ganzoo.recipe.lines import Path as KeyPath
from ganzoo.recipe.settings import OPTIONS

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Origin:
    """Where a key was written."""

    file: str
    line: int | None
    text: str
    """The source line, without its line break."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe."""

    key: str
    """Dotted key, or an empty string for the file as a whole."""
    message: str
    origin: Origin
    hint: str | None = None

    def __str__(self) -> str:
        place = self.origin.file + (f":{self.origin.line}" if self.origin.line else "")
        head = ": ".join(part for part in (place, self.key, self.message) if part)
        rows = [head]
        if self.origin.text:
            number = f"{self.origin.line} | " if self.origin.line else ""
            text = self.origin.text.strip()
            rows.append(f"    {number}{text if len(text) <= 120 else text[:117] + '...'}")
        # The hint stands below the bar that follows the line number.
        margin = " " * (5 + len(str(self.origin.line or 0)))
        rows += [f"{margin}= {row}" for row in (self.hint or "").splitlines()]
        return "\n".join(rows)


class RecipeError(UserError):
    """A recipe that cannot be run, with every problem that was found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        text = "\n".join([*map(str, self.problems), f"{count} {noun}; nothing was run"])
        super().__init__(text)

    def __reduce__(self) -> tuple[object, ...]:
        return RecipeError, (self.problems,)


@dataclass
class Source:
    """The tables of a recipe, not yet validated, and the origin of every key in them."""

    file: str
    table: dict[str, Any]
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Origin of the value at `path`, or of the nearest table around it."""
        return _nearest(self.origins, path) or Origin(self.file, None, "")


def read(file: str | Path) -> Source:
    """Read a recipe file and the files that it extends. Raises `RecipeError`."""
    return _read(Path(file), (), None)


def _read(file: Path, descendants: tuple[Path, ...], named_at: Origin | None) -> Source:
    """Read `file`, which `descendants` extend; the last of them names it at `named_at`."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        identity = file.resolve()
    except (OSError, ValueError) as error:
        raise RecipeError([_unreadable(file, error, named_at)]) from error
    if named_at and identity in descendants:
        raise RecipeError([Problem("extends", "the files extend each other", named_at)])
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError([_syntax_problem(file, text, error)]) from error
    rows = text.replace("\r\n", "\n").split("\n")
    origins = {
        path: Origin(str(file), line, rows[line - 1])
        for path, line in lines.key_lines(text).items()
    }
    source = Source(str(file), table, origins)
    base = table.pop("extends", None)
    if base is None:
        return source
    if not isinstance(base, str):
        raise RecipeError(
            [Problem("extends", "must be the path of a recipe", source.origin(("extends",)))]
        )
    parent = _read(file.parent / base, (*descendants, identity), source.origin(("extends",)))
    for own in ("name", "summary"):
        parent.table.pop(own, None)
        _forget(parent, (own,))
    merged = Source(str(file), parent.table, parent.origins)
    _merge(merged, merged.table, source.table, (), source.origins)
    return merged


def override(source: Source, assignments: Iterable[str]) -> Source:
    """Lay `key=value` assignments over a source, in order, as if each were a file that extends
    it; `regularizers.0.gamma=2` reaches into an array. Raises `RecipeError`.
    """
    result = Source(source.file, deepcopy(source.table), dict(source.origins))
    problems: list[Problem] = []
    for assignment in assignments:
        origin = Origin(COMMAND_LINE, None, assignment)
        key, equals, text = assignment.partition("=")
        key = key.strip()
        names = key.split(".")
        if not equals or "" in names:
            hint = "write key=value"
            problems.append(Problem("", "cannot be read as an override", origin, hint))
            continue
        try:
            tree: Any = _value(text.strip())
        except (ValueError, RecursionError) as error:
            hint = "texts with spaces or signs need quotes, lists need brackets"
            reason = _without_place(str(error))
            problems.append(Problem(key, f"the value is not TOML: {reason}", origin, hint))
            continue
        try:
            path = _located(result.table, names)
        except IndexError as error:
            problems.append(Problem(key, str(error), origin, "write its position, from 0"))
            continue
        for part in reversed(path):
            tree = {part: tree}
        origins = {path[:length]: origin for length in range(1, len(path) + 1)}
        _merge(result, result.table, tree, (), origins)
    if problems:
        raise RecipeError(problems)
    return result


def _value(text: str) -> Any:
    """A TOML value; a bare word is taken as a string, so that `loss.type=minimax` works."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[A-Za-z0-9_~./][A-Za-z0-9_~./:-]*", text):
            return text
        raise


def _located(table: Any, names: Iterable[str]) -> KeyPath:
    """The path that `names` mean in `table`: where there is an array, a name is a position."""
    path: KeyPath = ()
    for name in names:
        if isinstance(table, list):
            if not (name.isdecimal() and int(name) < len(table)):
                where = ".".join(map(str, path))
                noun = "element" if len(table) == 1 else "elements"
                raise IndexError(f"{where} is an array of {len(table)} {noun}")
            path, table = (*path, int(name)), table[int(name)]
        else:
            path, table = (*path, name), table.get(name) if isinstance(table, dict) else None
    return path


def _merge(
    source: Source,
    table: Any,
    child: Mapping[Any, Any],
    path: KeyPath,
    origins: Mapping[KeyPath, Origin],
) -> None:
    """Lay `child`, whose keys stand at `origins`, over `table`, which stands at `path`.

    Tables merge key by key, everything else is replaced. A changed `type` drops the keys of the
    old type, since they belong to another component. Where `table` is an array, the keys of
    `child` are positions in it.
    """
    if path and "type" in child and child["type"] != table.get("type"):
        # [optimizer.generator] stands inside [optimizer] but is no key of its type.
        kept = () if path != ("optimizer",) else set(table) - OPTIONS
        for key in [key for key in table if key not in kept]:
            del table[key]
            _forget(source, (*path, key))
        if origin := _nearest(origins, path):
            source.origins[path] = origin
    for key, value in child.items():
        here: KeyPath = (*path, key)
        old = table[key] if isinstance(table, list) else table.get(key)
        if isinstance(value, dict) and (
            isinstance(old, dict)
            or (isinstance(old, list) and any(isinstance(name, int) for name in value))
        ):
            _merge(source, old, value, here, origins)
        else:
            table[key] = deepcopy(value)
            _forget(source, here)
            for place, origin in origins.items():
                if place[: len(here)] == here:
                    source.origins[place] = origin
            # Keys of an inline table have no line of their own.
            if origin := _nearest(origins, here):
                source.origins[here] = origin


def _nearest(origins: Mapping[KeyPath, Origin], path: KeyPath) -> Origin | None:
    """Origin of the value at `path`, or of the nearest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return None


def _forget(source: Source, path: KeyPath) -> None:
    for key in [key for key in source.origins if key[: len(path)] == path]:
        del source.origins[key]


def _nowhere(file: Path) -> Origin:
    return Origin(str(file), None, "")


def _unreadable(file: Path, error: Exception, named_at: Origin | None) -> Problem:
    """`named_at` is where another recipe says that it extends this file."""
    key, subject = ("extends", f"'{file}' ") if named_at else ("", "")
    origin = named_at or _nowhere(file)
    if isinstance(error, UnicodeDecodeError):
        return Problem(key, f"{subject}is not a text in UTF-8", origin)
    if not isinstance(error, FileNotFoundError):
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Problem(key, f"{subject}cannot be read: {reason}", origin)
    folder = file.parent
    there = [path.name for path in folder.glob("*.toml")] if folder.is_dir() else []
    near = difflib.get_close_matches(file.name, there, n=1)
    hint = f"did you mean '{folder / near[0]}'?" if near else "`ganzoo recipes` lists the recipes"
    message = f"there is no recipe {subject.strip()}" if named_at else "no such recipe"
    return Problem(key, message, origin, hint)


_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")
"""tomllib ends its messages with the place: `... (at line 3, column 5)`."""


def _without_place(message: str) -> str:
    return _PLACE.sub("", message).removesuffix(" (at end of document)")


def _syntax_problem(file: Path, text: str, error: Exception) -> Problem:
    message = str(error)
    match = _PLACE.search(message)
    rows = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    line = min(int(match[1]), len(rows)) if match else len(rows)
    origin = Origin(str(file), line, rows[line - 1])
    return Problem("", f"not valid TOML: {message[: match.start()] if match else message}", origin)
