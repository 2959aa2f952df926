"""Where every key of a recipe was written."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.recipe.lines import Path


@dataclass(frozen=True)
class Origin:
    """Where a key was written."""

    file: str
    line: int | None
    text: str
    """The source line, without its line break."""


class Origins:
    """Origins by path: a tree, so that whole tables are laid over others or dropped at once."""

    def __init__(self) -> None:
        self._own: Origin | None = None
        self._below: dict[str | int, Origins] = {}

    def copy(self) -> Origins:
        """A tree of its own with the same origins."""
        result = Origins()
        result._own = self._own
        result._below = {part: below.copy() for part, below in self._below.items()}
        return result

    def put(self, path: Path, origin: Origin) -> None:
        """Say where the value at `path` was written."""
        node = self
        for part in path:
            node = node._below.setdefault(part, Origins())
        node._own = origin

    def nearest(self, path: Path) -> Origin | None:
        """Origin of the value at `path`, or of the nearest table around it."""
        node, found = self, None
        for part in path:
            if part not in node._below:
                break
            node = node._below[part]
            found = node._own or found
        return found

    def drop(self, path: Path) -> None:
        """Forget the origin at `path` and all below it."""
        node = self
        for part in path[:-1]:
            if part not in node._below:
                return
            node = node._below[part]
        node._below.pop(path[-1], None)

    def take(self, path: Path, other: Origins) -> None:
        """Replace what is known of `path` by what `other` knows of it."""
        self.drop(path)
        source, target = other, self
        for part in path[:-1]:
            if part not in source._below:
                break
            source, target = source._below[part], target._below.setdefault(part, Origins())
        else:
            if path[-1] in source._below:
                target._below[path[-1]] = source._below[path[-1]]
        # Keys of an inline table have no line of their own.
        if origin := other.nearest(path):
            self.put(path, origin)
