"""stdout and stderr that never stop what is under way.

A reader may go away (`| head`, a connection that is cut) and a disk may be full. What is written
then is lost, and nothing is raised, whoever writes: a display, a plugin, a library.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from ganzoo.errors import visible


class LastingFile(io.FileIO):
    """A file descriptor for which every write succeeds; `error` is the first that did not."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what can be written, and count all of it."""
        try:
            written = super().write(data)
        except OSError as error:
            self.error = self.error or error
            written = None
        # None is also a descriptor that does not block and has no room.
        return len(data) if written is None else written


def outlast_readers() -> None:
    """Replace this process's stdout and stderr by streams that outlast their readers.

    Descriptors 0 to 2 that are closed are opened on nothing, so that no file of a run gets one of
    their numbers, and with it what libraries write to stderr. Streams that are no files of their
    own, such as those of a notebook, stay as they are.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None or _descriptor(stream) == number:
            setattr(sys, name, _lasting(number, stream))


def _descriptor(stream: TextIO) -> int | None:
    """The descriptor that a text stream writes to, if it is one of Python's own kind."""
    if type(stream) is not io.TextIOWrapper:
        return None
    with suppress(OSError, ValueError):
        stream.flush()
        return stream.fileno()
    return None


def _lasting(number: int, stream: TextIO | None) -> TextIO:
    """A text stream like `stream`, on a descriptor, for which every write succeeds."""
    file = io.BufferedWriter(LastingFile(number, "wb", closefd=False))
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(file, "utf-8", "backslashreplace", line_buffering=True)
    # Nor does a character stop anything that the stream has no code for.
    errors = "backslashreplace" if stream.errors in (None, "strict") else stream.errors
    return io.TextIOWrapper(
        file,
        stream.encoding,
        errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def loss(stream: TextIO) -> OSError | None:
    """Why something written to a stream was lost, or None where nothing was."""
    file = _flushed(stream)
    return None if file is None else file.error


def excuse(stream: TextIO) -> None:
    """What was lost of a stream so far is no matter: `loss` forgets it."""
    if (file := _flushed(stream)) is not None:
        file.error = None


def _flushed(stream: TextIO) -> LastingFile | None:
    """The file of a stream that outlasts its readers, with all that was written to the stream."""
    with suppress(OSError, ValueError):
        stream.flush()
    file = getattr(getattr(stream, "buffer", None), "raw", None)
    return file if isinstance(file, LastingFile) else None


def warn(text: str) -> None:
    """Print a line of warning to stderr, if that is possible."""
    with suppress(OSError):
        print(visible(f"warning: {text}"), file=sys.stderr, flush=True)
