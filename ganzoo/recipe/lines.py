"""On which line of a TOML text each key stands; `tomllib` does not say.

The text is taken to be valid TOML (parse it first). Keys inside inline tables and arrays are
not looked up: they stand on the line of the key that holds them, or just below it.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
"""Where a value stands: `("generator", "hidden", 0)`, `("regularizers", 1, "gamma")`."""

DEEPEST = 32
"""Names of a dotted key, or tables within tables, that a recipe may have at most."""

_KEY = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_DOTTED = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*")
_BARE = re.compile(r"[A-Za-z0-9_.-]+")
_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")'
    r"|'''.*?'''(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|\n|[\[\]{}]|[^\n\[\]{}\"'#]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Line number, from 1, of every table header and every key of a valid TOML text.

    A table without a header of its own stands where it is named first. Takes a time that grows
    with the length of the text; of paths of more than `DEEPEST` names only the first are told.
    """
    # tomllib reads a carriage return with its line feed as one line break.
    text = text.replace("\r\n", "\n")
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    line, counted = 1, 0
    position = _SPACE.match(text).end()  # type: ignore[union-attr]
    while position < len(text):
        line, counted = line + text.count("\n", counted, position), position
        brackets = len(re.match(r"\[{0,2}", text[position : position + 2])[0])  # type: ignore[index]
        start = _SPACE.match(text, position + brackets).end()  # type: ignore[union-attr]
        match = _DOTTED.match(text, start)
        assert match is not None, "the text is valid TOML"
        parts = _parts(match[0])[:DEEPEST]
        if brackets:
            table = ()
            for depth, name in enumerate(parts, start=1):
                table += (name,)
                lines.setdefault(table, line)
                if depth == len(parts) and brackets == 1:
                    lines[table] = line  # [a.b] may stand before [a]
                elif depth == len(parts):
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table += (counts[table],)
                    lines.setdefault(table, line)
            position = text.index("]", match.end()) + brackets
        else:
            for length in range(1, len(parts) + 1):
                lines.setdefault(table + parts[:length], line)
            position = _end_of_value(text, match.end())
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    """The names of a dotted key, unquoted."""
    if _BARE.fullmatch(dotted):
        return tuple(dotted.split("."))
    table = tomllib.loads(f"{dotted} = 0")
    names = []
    while True:
        ((name, value),) = table.items()
        names.append(name)
        if value == 0:
            return tuple(names)
        table = value


def _end_of_value(text: str, position: int) -> int:
    """Where the value that begins after `position` ends: at a line break outside all brackets."""
    depth = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        assert token is not None, "the text is valid TOML"
        if token[0] == "\n" and depth == 0:
            break
        depth += (token[0] in "[{") - (token[0] in "]}")
        position = token.end()
    return position
