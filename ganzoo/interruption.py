"""What a process does when it is asked to end, so that nothing is lost.

Three signals ask: SIGINT (Ctrl-C), SIGTERM (`kill`, `timeout`, a scheduler, a container that is
stopped) and SIGHUP (a terminal that is gone). Handlers are installed for each, because process 1
of a container has no default ones. SIGHUP stays ignored where it was, as `nohup` wants it.

The answer to the first signal depends on what would be lost:

leave    nothing was begun: the process ends at once, without a word
raise    something was begun: `Interrupted` is raised, and whoever began it puts it in order
note     a run is in training: it ends after the iteration, with a checkpoint

Launchers and terminals often send the same signal to a process and again to its group, so a later
one changes nothing, with one exception: a second Ctrl-C, half a second or more after the first
signal, is from somebody in a hurry and raises.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""
REPEATED_SECONDS = 0.5
"""A signal so soon after the first is the same request, sent twice."""

Answer = Literal["leave", "raise", "note"]


class Interrupted(KeyboardInterrupt):
    """The process was asked to end, by signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def number_of(stop: KeyboardInterrupt) -> int:
    """The signal that a `KeyboardInterrupt` stands for; SIGINT if it is not one of ours."""
    return stop.number if isinstance(stop, Interrupted) else signal.SIGINT


class Interruption:
    """Whether the process was asked to end, and how it answers; `handled` makes one."""

    def __init__(self, answer: Answer) -> None:
        self.number: int | None = None
        """The first signal that asked, or None."""
        self._answer: Answer = answer
        self._since = 0.0
        self._held = False

    @property
    def requested(self) -> bool:
        """Whether a signal has asked the process to end."""
        return self.number is not None

    @contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """Give another answer until the context ends.

        Raises `Interrupted` where signals raise, and one was noted before.
        """
        if answer == "raise" and self.number is not None:
            raise Interrupted(self.number)
        before, self._answer = self._answer, answer
        try:
            yield
        finally:
            self._answer = before

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody's hurry break off what the context does: a checkpoint is written whole."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def note(self, number: int) -> None:
        """Remember that signal `number` asked, here or in another process of the run."""
        if self.number is None:
            self.number, self._since = number, time.monotonic()

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        """Answer a signal."""
        if self._answer == "leave":
            # An exception could be lost, or printed, in the middle of an import.
            os._exit(128 + number)
        repeated = self.requested and time.monotonic() - self._since >= REPEATED_SECONDS
        hurry = repeated and number == signal.SIGINT and not self._held
        if hurry or (self._answer == "raise" and not self.requested):
            self.note(number)
            raise Interrupted(number)
        self.note(number)


_process: Interruption | None = None
"""Signals are the process's, and so is this: there is one or none."""


@contextmanager
def handled(answer: Answer) -> Iterator[Interruption]:
    """Give this answer to the signals that ask the process to end, until the context ends.

    Contexts within one another share an `Interruption`. Outside the main thread signals cannot be
    handled, and nothing is noted.
    """
    global _process
    if threading.current_thread() is not threading.main_thread():
        yield Interruption(answer)
        return
    if _process is not None:
        with _process.answering(answer):
            yield _process
        return
    _process = Interruption(answer)
    previous = {}
    for number in SIGNALS:
        before = signal.getsignal(number)
        if number != signal.SIGHUP or before != signal.SIG_IGN:
            previous[number] = before
            signal.signal(number, _process.handle)
    try:
        yield _process
    finally:
        _process = None
        for number, before in previous.items():
            # A handler that was not installed from Python reads as None.
            signal.signal(number, signal.SIG_DFL if before is None else before)


@contextmanager
def blocked() -> Iterator[None]:
    """Processes and threads that are started meanwhile never get these signals.

    This thread gets those that came, when the context ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Let this thread get the signals again, in a process that was started while `blocked`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore() -> None:
    """Ignore these signals from now on, at the end of a process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def cause_of_death(exit_code: int | None) -> str:
    """Why a child process died."""
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    if exit_code == -signal.SIGKILL:
        return "killed by SIGKILL, perhaps out of memory"
    return f"killed by {signal.Signals(-exit_code).name}"
