"""The line of every key, against documents that are written so as to mislead the scanner."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.recipe.lines import Path, key_lines

SCALARS = [
    "1",
    "-3.5e-7",
    "inf",
    "true",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "1979-05-27 07:32:00.5-07:00",
    "07:32:00",
    "0xdead_beef",
    '""',
    "''",
    '""""""',
    "''''''",
    '"[not.a.table]"',
    '"# no comment"',
    '"a \\" b \\\\"',
    '"\\\\"',
    "'\\'",
    "'\"'",
    '"\'"',
    "'[[x]] # \"'",
    '"\u2028 \u0085"',
    # Up to two quotes may stand before the three that close a text.
    '"""a""""',
    '"""a"""""',
    '"""""""',
    '""""""""',
    "'''a''''",
    "'''a'''''",
    "'''''''",
    '"""\\""""',
    '"""\\\\"""',
    "'''\\'''",
    '"""\n[k0]\nk0 = 1\n"""',
    "'''\n[[k0]] # \"\nk0 = 1'''",
    '"""""\n""k0 = 1"""',
    '"""\\\n   k0\\\n"""',
    "'''\n\"\"\"\n'''",
    '"""\n\'\'\'\n"""',
]
"""Values as TOML writes them; some go over several lines, some contain what looks like keys."""

COMMENTS = ["", "", "", " # comment", " # ] } \"\"\" ''' [k0]", "\t#", " # = '"]

KEYS: list[tuple[str, str]] = [
    ("{}", "{}"),
    ("{}-x_Y", "{}-x_Y"),
    ('"{}"', "{}"),
    ('"{}.a = [1] # \'"', "{}.a = [1] # '"),
    ('"{} \\" \\\\ \\u00e9"', '{} " \\ é'),
    ("'{}.\\ \"]'", '{}.\\ "]'),
    ("'{}]]'", "{}]]"),
    ('"{}\u2028"', "{}\u2028"),
]
"""Keys as TOML writes them and as they are meant, around a word that is used only once."""

NO_KEYS: list[tuple[str, str]] = [('""', ""), ("''", ""), ("1234", "1234"), ("1-2", "1-2")]
"""Keys that are used once in a table."""


class Writer:
    """Writes a random document and notes on which line it puts each key."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}
        self.used = 0

    def pick(self, choices: list[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def number(self, low: int, high: int) -> int:
        number: int = self.draw(st.integers(low, high))
        return number

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def key(self) -> tuple[str, str]:
        self.used += 1
        written, meant = self.pick(KEYS)
        return written.format(f"k{self.used}"), meant.format(f"k{self.used}")

    def space(self) -> str:
        text: str = self.pick(["", "", " ", "\t "])
        return text

    def gap(self) -> str:
        """What may stand between statements."""
        text: str = self.pick(["", "", "\n", "  \n\t\n", "# [k0]\n", '#"""\n'])
        return text

    def value(self, depth: int = 0) -> str:
        shape = self.pick(["scalar", "scalar", "array", "table"]) if depth < 2 else "scalar"
        if shape == "array":
            items = [self.value(depth + 1) for _ in range(self.number(0, 3))]
            space = self.pick(["", " ", "\n", ' # ] "\n', "\n\n  # [k0]\n\t"])
            tail = self.pick([",", ""]) if items else ""
            return f"[{space}" + f"{space},{space}".join(items) + f"{space}{tail}{space}]"
        if shape == "table":
            rows = [f"{self.key()[0]} = {self.value(depth + 1)}" for _ in range(self.number(0, 2))]
            return "{ " + ", ".join(rows) + " }"
        scalar: str = self.pick(SCALARS)
        return scalar

    def dotted(self, parts: list[str]) -> str:
        return "".join(
            (f"{self.space()}.{self.space()}" if index else "") + part
            for index, part in enumerate(parts)
        )

    def statements(self, path: Path) -> None:
        """Keys of the table at `path`."""
        rows = [[self.key() for _ in range(self.number(1, 3))] for _ in range(self.number(0, 3))]
        if self.number(0, 3) == 0:
            rows.append([self.pick(NO_KEYS)])
        for keys in rows:
            self.text += self.gap() + self.space()
            for length in range(1, len(keys) + 1):
                here = path + tuple(meant for _, meant in keys[:length])
                self.lines.setdefault(here, self.line)
            name = self.dotted([written for written, _ in keys])
            equals = f"{self.space()}={self.space()}"
            self.text += name + equals + self.value() + self.pick(COMMENTS) + "\n"

    def header(self, written: list[str], path: Path, brackets: int) -> None:
        self.text += self.gap() + self.space()
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], self.line)
        if brackets == 2:
            self.lines.setdefault(path, self.line)
        else:
            self.lines[path] = self.line
        inside = self.space() + self.dotted(written) + self.space()
        self.text += "[" * brackets + inside + "]" * brackets + self.pick(COMMENTS) + "\n"

    def table(self, written: list[str], path: Path, depth: int) -> None:
        """A table with its own header, before or after the tables in it, or without one."""
        where = self.pick(["before", "before", "after", "nowhere"]) if depth < 3 else "before"
        if where == "before":
            self.header(written, path, 1)
            self.statements(path)
        self.inner(written, path, depth)
        if where == "after":
            self.header(written, path, 1)
            self.statements(path)

    def array(self, written: list[str], path: Path, depth: int) -> None:
        for index in range(self.number(1, 3)):
            self.header(written, (*path, index), 2)
            self.statements((*path, index))
            self.inner(written, (*path, index), depth)

    def inner(self, written: list[str], path: Path, depth: int) -> None:
        for _ in range(self.number(0, 2) if depth < 3 else 0):
            own, meant = self.key()
            kind = self.pick([self.table, self.table, self.array])
            kind([*written, own], (*path, meant), depth + 1)


@st.composite
def documents(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.statements(())
    writer.inner([], (), 0)
    text = writer.text + writer.pick(["", "", "# the end", "\n\n", " "])
    if writer.pick([False, False, True]):
        text = text.removesuffix("\n")
    if writer.pick([False, False, True]):
        text = text.replace("\n", "\r\n")
    return text, writer.lines


def reach(table: Any, path: Path) -> Any:
    for part in path:
        table = table[part]
    return table


@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[Path, int]]) -> None:
    text, lines = document
    table = tomllib.loads(text)
    for path in lines:
        reach(table, path)
    assert key_lines(text) == lines


@given(documents(), st.data())
def test_no_valid_text_breaks_it(document: tuple[str, Any], data: st.DataObject) -> None:
    """Change characters at random; whatever tomllib still accepts has to be understood."""
    text = document[0]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 2))
        new = data.draw(st.text(alphabet="[]{}\"'#=.,\\\n\t k1é", max_size=3))
        text = text[:at] + new + text[at + cut :]
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert {path[0] for path in lines} == set(table)
    last = text.count("\n") + 1
    for path, line in lines.items():
        reach(table, path)
        assert 1 <= line <= last


PLAIN = st.recursive(
    st.one_of(
        st.text(),
        st.integers(),
        st.floats(allow_nan=False),
        st.booleans(),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.sampled_from(["[k]", '"""', "'''", "# x", "a\nb = 1\n[c]\n", '\\"']),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=20,
)


def marked(value: Any, counter: Iterator[int]) -> Any:
    """`value` with a mark in every key that occurs nowhere else."""
    if isinstance(value, dict):
        return {f"<{next(counter)}>{key}": marked(item, counter) for key, item in value.items()}
    return [marked(item, counter) for item in value] if isinstance(value, list) else value


def paths(table: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths(value, (*path, key))


@given(st.dictionaries(st.text(max_size=6), PLAIN, max_size=4), st.booleans())
def test_what_tomli_w_writes_is_understood(table: dict[str, Any], multiline: bool) -> None:
    table = marked(table, itertools.count())
    text = tomli_w.dumps(table, multiline_strings=multiline)
    lines = key_lines(text)
    assert set(paths(table)) <= set(lines)
    rows = text.split("\n")
    for path, line in lines.items():
        reach(table, path)
        name = [part for part in path if isinstance(part, str)][-1]
        assert name.partition(">")[0] + ">" in rows[line - 1]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", {}),
        ("\n# only a comment", {}),
        ("a=1", {("a",): 1}),
        ("[a]\n[b]", {("a",): 1, ("b",): 2}),
        ('\n\n"" = 1', {("",): 3}),
        ('["".\'\'.x]\n"" = 1', {("",): 1, ("", ""): 1, ("", "", "x"): 1, ("", "", "x", ""): 2}),
        ("'a.b' = 1\na.b = 2", {("a.b",): 1, ("a",): 2, ("a", "b"): 2}),
        ("1.2 = 3", {("1",): 1, ("1", "2"): 1}),
        ("a = [\n'b = 1', # c = 2 ]\n[{ d = 1 }]\n]\ne = 1", {("a",): 1, ("e",): 5}),
        ("a = { b = [\n1\n] }\nc = 1", {("a",): 1, ("c",): 4}),
        ('a = """\nb = 1\n"""\nc = 1', {("a",): 1, ("c",): 4}),
        ('a = """x\\"""""\nb = 1', {("a",): 1, ("b",): 2}),
        ('a = """\r\nb\r\n"""\r\nc = 1\r\n', {("a",): 1, ("c",): 4}),
        ("[a.b]\n[a]", {("a",): 2, ("a", "b"): 1}),
        ("[a.b.c]", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1}),
        (
            "[[a]]\nx=1\n[[a]]\nx=1\n[a.b]\n[[a.c]]\n[[a.c]]\ny=1",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "x"): 2,
                ("a", 1): 3,
                ("a", 1, "x"): 4,
                ("a", 1, "b"): 5,
                ("a", 1, "c"): 6,
                ("a", 1, "c", 0): 6,
                ("a", 1, "c", 1): 7,
                ("a", 1, "c", 1, "y"): 8,
            },
        ),
    ],
)
def test_examples(text: str, lines: dict[Path, int]) -> None:
    tomllib.loads(text)
    assert key_lines(text) == lines
