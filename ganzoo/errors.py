"""The two ways a command can fail, as exceptions that carry a text for people."""

from __future__ import annotations

import signal
import unicodedata
from collections.abc import Sequence
from functools import partial


class GanzooError(Exception):
    """Base of every error whose message is meant for the user; shown without a traceback.

    `hint` says what to do next. `exit_code` is the exit status of the command line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.message, self.hint)

    def __str__(self) -> str:
        return "\n  = ".join([self.message, *(self.hint or "").splitlines()])


def _rebuilt(kind: type[GanzooError], message: str, hint: str | None) -> GanzooError:
    """An error that has crossed from another process."""
    return kind(message, hint=hint)


class UserError(GanzooError):
    """What the user gave (a recipe, a path, an option) is wrong. Exit code 2."""

    exit_code = 2


class RunError(GanzooError):
    """A run that had begun could not go on: diverged, no space left, a broken part. Exit code 1."""


class InterruptedRun(GanzooError):
    """A signal stopped a run; its last checkpoint is whole.

    `number` is the signal's. The exit code is 128 more, as shells expect: 130 after Ctrl-C, 143
    after SIGTERM, 129 after SIGHUP.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, number: int = signal.SIGINT
    ) -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.exit_code = 128 + number

    def __reduce__(self) -> tuple[object, ...]:
        rebuilt = partial(type(self), hint=self.hint, number=self.number)
        return rebuilt, (self.message,)


class PausedRun(GanzooError):
    """A run came to the iteration at which it was to pause; its checkpoint is whole."""


class GanzooWarning(UserWarning):
    """Something that the user should know and that stops nothing."""


def visible(text: str, *, keep: str = "\n\t") -> str:
    """The text with what a terminal would obey, or not show, written as `\\u001b`.

    Control and format characters, line separators and halves of characters are replaced, except
    those in `keep`. TOML and JSON read what replaces them.
    """
    return "".join(each if each in keep or _harmless(each) else _escaped(each) for each in text)


def _harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, limit: int) -> str:
    """The text, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def one_of(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`: a list of names for a message."""
    quoted = [f"'{name}'" for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return ", ".join(quoted[:-1]) + " or " + quoted[-1]


_MACHINERY = ("ganzoo.plugins", "importlib", "pluggy", "pydantic")
"""Modules that stand between a plugin and its mistakes: the place is not in them."""


def describe(error: BaseException) -> str:
    """`KeyError: 'x' (file.py:12)`: an exception in one line, with the place that raised it."""
    traceback = error.__traceback__
    place = ""
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        module = f"{traceback.tb_frame.f_globals.get('__name__')}."
        if not filename.startswith("<") and not any(
            module.startswith(f"{name}.") for name in _MACHINERY
        ):
            place = f" ({filename}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}"
