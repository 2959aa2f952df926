"""What several runs at once tell, on one screen: sent by each process, shown by the one that waits.

On a terminal a run is a bar, elsewhere a line for each logging interval. Lines begin with the title
of the run.
"""

from __future__ import annotations

import io
import sys
from contextlib import AbstractContextManager, redirect_stderr
from typing import TYPE_CHECKING, Literal

from ganzoo.comparison.workers import Sender
from ganzoo.output import talks, tell

if TYPE_CHECKING:
    from ganzoo.display import Bars
    from ganzoo.engine.events import Listener

Kind = Literal["bars", "lines"]

COMPLAINT = "warning: plugin "
"""How a warning of a plugin begins."""
LINE = 1000
"""Characters of a line that are sent at once."""


class Screen:
    """Shows on stderr what workers tell."""

    def __init__(self, *, progress: bool) -> None:
        """Without `progress`, warnings alone are shown."""
        self.kind: Kind | None = None
        """What workers have to tell of their progress."""
        self._bars: Bars | None = None
        self._complaints: set[str] = set()
        """Warnings of plugins that were shown."""
        if progress and talks():
            self.kind = "bars" if sys.stderr.isatty() else "lines"

    def show(self, title: str, message: object) -> None:
        """Show a line of text, or a `Standing`, of the run of that title."""
        if isinstance(message, str):
            # What is wrong with a plugin is wrong in all runs, and runs at once do not know of one
            # another.
            new = message not in self._complaints
            if message.startswith(COMPLAINT):
                self._complaints.add(message)
            if talks() and new:
                tell(f"{title}: {message}")
            return
        from ganzoo.display import Bars, Standing

        if isinstance(message, Standing):
            self._bars = self._bars or Bars()
            self._bars.show(title, message)

    def ended(self, title: str) -> None:
        """A run is over, or its process has died."""
        if self._bars is not None:
            self._bars.remove(title)

    def close(self) -> None:
        """Leave the screen to others."""
        if self._bars is not None:
            self._bars.stop()


def telling(kind: Kind | None, sender: Sender) -> Listener | None:
    """What follows a run in a worker's process, for a `Screen.kind`."""
    if kind is None:
        return None
    from ganzoo.display import LineProgress, SentProgress

    return SentProgress(sender.offer) if kind == "bars" else LineProgress(named=False)


def lines_to(sender: Sender) -> AbstractContextManager[object]:
    """Send what is printed to stderr meanwhile, such as warnings, line by line."""
    return redirect_stderr(_Lines(sender))


class _Lines(io.TextIOBase):
    """A text stream whose lines are sent."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            shown = line.rpartition("\r")[2]  # what a terminal would show of it at the end
            for start in range(0, len(shown), LINE):
                self._sender.send(shown[start : start + LINE])
        return len(text)
