"""What a sweep varies: `KEY=V1,V2` and `KEY=LOW..HIGH`, from texts to axes.

optimizer.lr=1e-4,5e-4          these two values
generator.hidden=[32],[64,64]   commas within brackets, braces and quotes belong to a value
optimizer.lr=1e-5..1e-3         a search draws from the range; log-uniformly, as the ends are
                                positive and their ratio is above 10
ema.decay=0.9..0.999:linear     uniformly, whatever the ends are; `:log` the other way
train.batch_size=32..256        whole numbers, as both ends are
train.iterations=2000           one value: a change to all points
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ganzoo.recipe.model import OBSERVING
from ganzoo.recipe.origins import Origin
from ganzoo.recipe.problems import Problem
from ganzoo.recipe.source import COMMAND_LINE

WIDE = 10.0
"""Positive ends of a greater ratio are drawn between log-uniformly."""
LARGEST = 2**63
DIGITS = 4
"""Significant digits of a number that is drawn: a value that people can read and write."""

_NUMBER = r"[+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})(?:\s*:\s*(log|linear))?")
_WHOLE = re.compile(r"[+-]?[0-9_]+")


@dataclass(frozen=True)
class Span:
    """A range of numbers to draw from."""

    low: float
    high: float
    whole: bool
    """Whether whole numbers are drawn."""
    log: bool
    """Whether log-uniformly, else uniformly."""

    def text(self, number: float) -> str:
        """A number that was drawn as TOML, to four significant digits."""
        if self.whole:
            return str(int(number))
        rounded = float(f"{number:.{DIGITS - 1}e}")
        return repr(min(max(rounded, self.low), self.high))


@dataclass(frozen=True)
class Axis:
    """A key and the values that it takes."""

    key: str
    values: tuple[str, ...] = ()
    """Values in TOML, as the user wrote them; none for a range."""
    span: Span | None = None

    @property
    def varied(self) -> bool:
        """Whether it takes more than one value."""
        return self.span is not None or len(self.values) > 1

    @property
    def ends(self) -> tuple[str, ...]:
        """The values, or the two ends of the range."""
        if self.span is None:
            return self.values
        return (self.span.text(self.span.low), self.span.text(self.span.high))


@dataclass(frozen=True)
class Point:
    """One value for each key of a sweep."""

    values: tuple[tuple[str, str], ...]
    """Keys and values in TOML, in the order of the command line."""
    varied: tuple[str, ...]
    """The keys that are not the same in all points."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """The changes to the recipe."""
        return tuple(f"{key}={value}" for key, value in self.values)

    @property
    def settings(self) -> dict[str, str]:
        """The values of the keys that are varied."""
        return {key: value for key, value in self.values if key in self.varied}

    @property
    def label(self) -> str:
        """`lr=1e-4, gamma=0.1`; keys are dotted where their last names are the same."""
        names = short_names(self.varied)
        return ", ".join(f"{names[key]}={value}" for key, value in self.settings.items())


@dataclass(frozen=True)
class Space:
    """All that a sweep may try."""

    axes: tuple[Axis, ...]
    """In the order of the command line; those of one value change all points."""

    @property
    def varied(self) -> tuple[Axis, ...]:
        """The axes of several values."""
        return tuple(axis for axis in self.axes if axis.varied)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are varied."""
        return tuple(axis.key for axis in self.varied)

    @property
    def fixed(self) -> tuple[str, ...]:
        """Changes to all points."""
        return tuple(f"{axis.key}={axis.values[0]}" for axis in self.axes if not axis.varied)

    @property
    def size(self) -> int | None:
        """How many points there are; None with a range."""
        if any(axis.span for axis in self.axes):
            return None
        return math.prod(len(axis.values) for axis in self.axes)

    def point(self, settings: dict[str, str]) -> Point:
        """The point with these values of the keys that are varied."""
        values = (
            (axis.key, settings[axis.key] if axis.varied else axis.values[0]) for axis in self.axes
        )
        return Point(tuple(values), self.keys)

    def corners(self) -> Iterator[Point]:
        """All points; of a range its two ends."""
        for values in itertools.product(*(axis.ends for axis in self.axes)):
            names = (axis.key for axis in self.axes)
            yield Point(tuple(zip(names, values, strict=True)), self.keys)

    def arms(self) -> Iterator[Point]:
        """The first point, and those that differ from it in one key."""
        first = {axis.key: axis.ends[0] for axis in self.varied}
        yield self.point(first)
        for axis in self.varied:
            for value in axis.ends[1:]:
                yield self.point({**first, axis.key: value})


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last name of each dotted key, or the whole key where that would not tell two apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: key if last.count(name) > 1 or name.isdecimal() else name
        for key, name in zip(keys, last, strict=True)
    }


def parse_space(
    texts: Sequence[str], *, searched: bool, budgeted: bool = False
) -> tuple[Space, list[Problem]]:
    """The axes that texts describe, and what is wrong with the others.

    `searched` says whether ranges can be drawn from, `budgeted` whether a budget gives the length
    of the runs. Whether a recipe has the keys, and whether they take the values, is not looked at.
    """
    axes: dict[str, Axis] = {}
    problems: list[Problem] = []
    for text in texts:
        key, equals, given = (part.strip() for part in text.partition("="))
        if not equals or not key:
            reason, hint = "cannot be read as a key and its values", "write KEY=V1,V2"
            problems.append(_problem("", reason, text, hint))
            continue
        if key in axes:
            hint = "write all of its values after one ="
            problems.append(_problem(key, "is given twice", text, hint))
            continue
        found = _axis(key, given, text)
        if isinstance(found, Axis):
            found = _refusal(found, text, searched, budgeted) or found
        if isinstance(found, Axis):
            axes[key] = found
        else:
            problems.append(found)
    return Space(tuple(axes.values())), problems


def split(text: str) -> list[str]:
    """The parts of a text between its commas, but for those in brackets, braces and quotes.

    >>> split('[32, 64], "a,b", 1')
    ['[32, 64]', '"a,b"', '1']
    """
    parts, depth, quote, start, position = [], 0, "", 0, 0
    while position < len(text):
        character = text[position]
        if quote:
            position += quote == '"' and character == "\\"  # what is escaped ends nothing
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    return [*parts, text[start:].strip()]


def _axis(key: str, given: str, text: str) -> Axis | Problem:
    """The axis of a key, or what is wrong with its values."""
    values = split(given)
    if "" in values:
        return _problem(key, "a value is empty", text, "write KEY=V1,V2; an empty text is ''")
    ranges = [match for value in values if (match := _RANGE.fullmatch(value))]
    if not ranges:
        return Axis(key, tuple(values))
    if len(values) > 1:
        return _problem(key, "a range stands alone", text, "write KEY=LOW..HIGH, or values alone")
    low, high, scale = ranges[0].groups()
    ends = float(low), float(high)
    whole = all(_WHOLE.fullmatch(end) for end in (low, high))
    if not all(abs(end) < (LARGEST if whole else math.inf) for end in ends):
        return _problem(key, "an end of the range is too large", text)
    if ends[0] >= ends[1]:
        return _problem(key, "the range does not go up", text, "write KEY=LOW..HIGH")
    if scale == "log" and ends[0] <= 0:
        return _problem(key, "a logarithmic range has positive ends", text, "leave out :log")
    log = scale == "log" or (scale is None and ends[0] > 0 and ends[1] / ends[0] > WIDE)
    return Axis(key, span=Span(*ends, whole=whole, log=log))


def _refusal(axis: Axis, text: str, searched: bool, budgeted: bool) -> Problem | None:
    """Why a key cannot be varied as it is asked for."""
    if not axis.varied:
        return None
    key, table = axis.key, axis.key.partition(".")[0]
    if axis.span is not None and not searched:
        hint = "--search 20 tries 20 points of it; a grid needs values: KEY=V1,V2"
        return _problem(key, "a grid has no ranges", text, hint)
    if key == "train.seed":
        hint = "--seeds 3 trains each point with the seeds 0, 1 and 2"
        return _problem(key, "seeds are no points of a sweep", text, hint)
    if table == "data":
        hint = "give it one value, and sweep once for each"
        return _problem(key, "all points are measured on the same data", text, hint)
    if table in OBSERVING or key == "engine.device":
        return _problem(key, "decides nothing of how a run ends", text, "give it one value")
    if key == "train.iterations" and budgeted:
        return _problem(key, "the budget gives the length of all runs", text, "leave out --budget")
    return None


def _problem(key: str, message: str, text: str, hint: str | None = None) -> Problem:
    return Problem(key, message, Origin(COMMAND_LINE, None, text), hint)
