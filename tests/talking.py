"""What workers do in tests of them: a process that is started anew imports it by name."""

from __future__ import annotations

import signal
import sys
import time

from ganzoo.comparison.screen import LINE, lines_to
from ganzoo.comparison.workers import Sender
from ganzoo.interruption import SIGNALS


def deaf(sender: Sender) -> None:
    """Ignore all signals that ask it to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sender.send("deaf")
    time.sleep(100)


def chatty(sender: Sender) -> None:
    """Print."""
    with lines_to(sender):
        print("one\n\n10%\r100%", file=sys.stderr)
        print("x" * (LINE + 1), file=sys.stderr)
        print("unfinished", end="", file=sys.stderr)


def talkative(sender: Sender, count: int) -> str:
    """Say more than a pipe holds."""
    for _ in range(count):
        sender.offer("words")
    return "done"
