"""Texts for people."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import lru_cache

from ganzoo.api import visible


def reason(error: Exception) -> str:
    """The message of an exception on one line, or its name if it has none."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__


@lru_cache(maxsize=100)
def announce(text: str) -> None:
    """One line on stderr, once, from the first of the processes that torchrun started."""
    if os.environ.get("RANK", "0") == "0":
        # That nobody reads it is no reason to stop.
        with suppress(OSError):
            print(visible(text), file=sys.stderr, flush=True)
