"""What a check is, the list of them all, and the cases that a plugin makes of them."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ganzoo.errors import describe
from ganzoo.plugins import Plugin
from ganzoo.specs import ComponentSpec

WHY = "\n  why it matters: "


class Wrong(AssertionError):
    """A component does not keep the contract; the message says what to change."""


class Skip(unittest.SkipTest):
    """A check does not apply, or cannot be made here; the message says why. pytest knows it."""


class Expected(Skip):
    """A check failed as it was expected to."""


@dataclass(frozen=True)
class Subject:
    """What is checked: a plugin, or one of its components with one of its examples."""

    plugin: Plugin
    declared: type[ComponentSpec] | None = None
    """The component's class, or None where the plugin as a whole is checked."""
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The keys that are set, as a recipe would write them."""
    number: int = 0
    """Which of the component's examples this is."""

    @property
    def kind(self) -> str:
        """The kind of component, or `plugin`."""
        return "plugin" if self.declared is None else self.declared.kind

    def __str__(self) -> str:
        if self.declared is None:
            return self.plugin.module
        return f"{self.kind}/{self.declared.type}" + (f"[{self.number}]" if self.number else "")


CheckFunction = Callable[[Any], None]


@dataclass(frozen=True)
class Check:
    """One thing that a component must do."""

    name: str
    """Words joined by hyphens."""
    why: str
    """A sentence: what goes wrong in a run where this does not hold."""
    kinds: frozenset[str]
    """The kinds of component that it is for; `plugin` for the plugin as a whole."""
    function: CheckFunction
    """Raises `Wrong` or `Skip`."""
    on: Callable[[Subject], Iterable[Any]] = lambda subject: [subject]
    """What the function is called with, one after the other: benches, or the subject itself."""
    every_example: bool = True
    """Whether it is made for each example, or for the first alone."""

    def __call__(self, subject: Subject) -> None:
        """Make the check. It is skipped where it is for everything that it is called with."""
        skips, calls = [], 0
        for each in self.on(subject):
            try:
                self.function(each)
                calls += 1
            except Skip as skip:
                skips.append(skip)
        if skips and not calls:
            raise skips[0]


CHECKS: dict[str, Check] = {}
"""All checks by name, in the order in which they are made."""


def check(*kinds: str, **how: Any) -> Callable[[CheckFunction], CheckFunction]:
    """Make a function a check of these kinds, called as it is, whose docstring says why it
    matters; `how` are further fields of `Check`."""

    def register(function: CheckFunction) -> CheckFunction:
        name = function.__name__.replace("_", "-")
        assert function.__doc__, name
        assert name not in CHECKS, name
        why = " ".join(function.__doc__.split())
        CHECKS[name] = Check(name, why, frozenset(kinds), function, **how)
        return function

    return register


@dataclass(frozen=True)
class Case:
    """One check of one subject. Calling it makes the check."""

    check: Check
    subject: Subject
    expected: str | None = None
    """Why it is expected to fail, where it is."""

    def __call__(self) -> None:
        """Raises `Wrong` where the component is wrong or an expected failure did not come, and
        `Skip` where nothing was checked, in the form of `Expected` where it failed as expected."""
        try:
            self.check(self.subject)
        except Skip:
            raise
        except (Exception, SystemExit) as error:
            if self.expected is not None:
                raise Expected(f"expected to fail: {self.expected}") from error
            message = str(error) if isinstance(error, Wrong) else describe(error)
            raise Wrong(f"{self}: {message}{WHY}{self.check.why}") from error
        if self.expected is not None:
            problem = f"{self} was expected to fail ({self.expected}) and does not"
            raise Wrong(f"{problem}: take it out of the expected failures")

    def __str__(self) -> str:
        return f"{self.check.name}:{self.subject}"


def cases_of(plugin: Plugin, expected: Mapping[str, str]) -> Iterator[Case]:
    """All cases of a plugin: of itself, then of its components with each of their examples."""
    subjects = [Subject(plugin)]
    for _, declared in plugin.components:
        subjects += [
            Subject(plugin, declared, example, number)
            for number, example in enumerate(examples(declared))
        ]
    for subject in subjects:
        for each in CHECKS.values():
            if subject.kind in each.kinds and (each.every_example or subject.number == 0):
                yield Case(each, subject, expected.get(str(Case(each, subject))))


def examples(declared: type[ComponentSpec]) -> Sequence[Mapping[str, Any]]:
    """The settings that a component is checked with: its defaults, where they are complete, and
    what it declares."""
    return [*([] if required_keys(declared) else [{}]), *declared.examples] or [{}]


def required_keys(declared: type[ComponentSpec]) -> Sequence[str]:
    """Names of the keys that have no default."""
    return [name for name, key in declared.model_fields.items() if key.is_required()]
