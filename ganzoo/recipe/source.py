"""Reads recipe files: TOML, `extends`, overrides; remembers where every key was written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo.recipe.lines import DEEPEST
from ganzoo.recipe.lines import Path as KeyPath
from ganzoo.recipe.origins import Origin, Origins
from ganzoo.recipe.problems import Problem, RecipeError
from ganzoo.recipe.settings import OPTIONS
from ganzoo.recipe.shipped import recipe_file
from ganzoo.recipe.toml import faults, parse, plain, without_place

COMMAND_LINE = "command line"

LONGEST_CHAIN = 32
"""Files that may extend one another in a row."""


@dataclass
class Source:
    """The tables of a recipe, not yet validated, and the origin of every key in them."""

    file: str
    table: dict[str, Any]
    origins: Origins = field(default_factory=Origins)
    dropped: dict[KeyPath, dict[str, Any]] = field(default_factory=dict)
    """By table, the keys that were inherited and went when its `type` was changed."""

    def value(self, path: KeyPath) -> Any:
        """What is written at `path`. Raises `KeyError` or `IndexError` where there is nothing."""
        value: Any = self.table
        for key in path:
            value = value[key]
        return value

    def origin(self, path: KeyPath) -> Origin:
        """Origin of the value at `path`, or of the nearest table around it."""
        return self.origins.nearest(path) or Origin(self.file, None, "")


TABLES = "recipe"
"""What stands for the file of a recipe that is none."""


def read(recipe: str | Path | Mapping[str, Any]) -> Source:
    """Read a recipe, by its file, its name or its tables, and those that it extends.

    Raises `RecipeError`.
    """
    if not isinstance(recipe, Mapping):
        return _read(recipe_file(recipe), (), None)
    origin = Origin(TABLES, None, "")
    table = plain(recipe)
    if wrong := list(faults(table)):
        raise RecipeError(
            [Problem(".".join(map(str, path)), message, origin) for path, message in wrong]
        )
    origins = Origins()
    for key in table:
        origins.put((key,), origin)
    return _extended(Source(TABLES, table, origins), Path(), ())


def _read(file: Path, descendants: tuple[Path, ...], named_at: Origin | None) -> Source:
    """Read `file`, which `descendants` extend; the last of them names it at `named_at`."""
    table, origins = parse(file, named_at)
    identity = file.resolve()
    if named_at and identity in descendants:
        raise RecipeError([Problem("extends", "the files extend each other", named_at)])
    if named_at and len(descendants) == LONGEST_CHAIN:
        message = f"more than {LONGEST_CHAIN} files extend one another"
        raise RecipeError([Problem("extends", message, named_at)])
    return _extended(Source(str(file), table, origins), file.parent, (*descendants, identity))


def _extended(source: Source, folder: Path, descendants: tuple[Path, ...]) -> Source:
    """What `source`, which stands in `folder`, makes of the recipe that it extends, if it does."""
    base = source.table.pop("extends", None)
    if base is None:
        return source
    if not isinstance(base, str):
        raise RecipeError(
            [Problem("extends", "must be the path of a recipe", source.origin(("extends",)))]
        )
    base = recipe_file(base, folder)
    parent = _read(base, descendants, source.origin(("extends",)))
    for own in ("name", "summary"):
        parent.table.pop(own, None)
        parent.origins.drop((own,))
    merged = Source(source.file, parent.table, parent.origins, parent.dropped)
    _merge(merged, merged.table, source.table, (), source.origins)
    return merged


def override(source: Source, assignments: Iterable[str]) -> Source:
    """Lay `key=value` assignments over a source, in order, as if each were a file that extends
    it; `regularizers.0.gamma=2` reaches into an array. Raises `RecipeError`.
    """
    result = Source(
        source.file, deepcopy(source.table), source.origins.copy(), dict(source.dropped)
    )
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
            reason = without_place(str(error))
            problems.append(Problem(key, f"the value is not TOML: {reason}", origin, hint))
            continue
        if len(names) > DEEPEST:
            problems.append(Problem(key, f"a key of more than {DEEPEST} names", origin))
            continue
        if wrong := [*faults(tree, tuple(names)), *faults(key)]:
            problems += [Problem(key, message, origin) for _, message in wrong]
            continue
        try:
            path = _located(result.table, names)
        except IndexError as error:
            problems.append(Problem(key, str(error), origin, "write its position, from 0"))
            continue
        origins = Origins()
        for length in range(1, len(path) + 1):
            origins.put(path[:length], origin)
        for part in reversed(path):
            tree = {part: tree}
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
    origins: Origins,
) -> None:
    """Lay `child`, whose keys stand at `origins`, over `table`, which stands at `path`.

    Tables merge key by key, everything else is replaced. A changed `type` drops the keys of the
    old type, since they belong to another component. Where `table` is an array, the keys of
    `child` are positions in it.
    """
    if path and "type" in child and child["type"] != table.get("type"):
        # [optimizer.generator] stands inside [optimizer] but is no key of its type.
        kept = () if path != ("optimizer",) else set(table) - OPTIONS
        gone = {key: table.pop(key) for key in [key for key in table if key not in kept]}
        for key in gone:
            source.origins.drop((*path, key))
        if "type" in gone:
            source.dropped[path] = {**source.dropped.get(path, {}), **gone}
        if origin := origins.nearest(path):
            source.origins.put(path, origin)
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
            source.origins.take(here, origins)
