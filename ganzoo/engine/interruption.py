"""Lets a run end at the close of an iteration when the user or the system asks for it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class Interruption:
    """A context in which SIGINT (Ctrl-C) and SIGTERM are noted instead of raised.

    A second signal is raised at once as `KeyboardInterrupt`, for somebody in a hurry. Outside
    the main thread signals cannot be handled and nothing is noted.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
