"""Reads files that somebody named, or that may be damaged: only regular ones."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 2**20
"""Bytes of a text that people write: a recipe, a plugin file."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_regular(path: str | Path, most: int | None = MOST) -> bytes:
    """The content of a regular file of at most `most` bytes, or of any size.

    Never waits: a pipe or a device is refused before anything is read of it. Raises `OSError`,
    whose text says what the path is instead, and `ValueError` for a path that no file can have.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody who writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        check_regular(os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(-1 if most is None else most + 1)
    finally:
        os.close(descriptor)
    if most is not None and len(content) > most:
        raise OSError(f"it is larger than {most // 2**20} MiB")
    return content


def check_regular(status: os.stat_result) -> None:
    """Raise `OSError` for what is no regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
        raise OSError(f"it is {kind}, not a file")
