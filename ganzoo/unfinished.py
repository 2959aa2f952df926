"""What is written beside its place and then renamed, and what killed processes leave of it."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ganzoo.errors import RunError

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.unfinished")
"""The names that `beside` gives."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A place beside `path` for what is to be renamed to it; what is left there is removed.

    So is what a process that was killed has left beside the same path.
    """
    remove_all(path.parent, f".{glob.escape(path.name)}.*.unfinished")
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        yield new
    finally:
        _remove(new)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is whole or absent: beside its place, to the disk, then renamed.

    Raises `RunError` where the disk is full or refuses; the old file, if any, stays as it was.
    """
    try:
        with beside(path) as new, new_file(new) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    """The message for a write that the system refused."""
    run = next((up for up in path.parents if (up / "recipe.toml").exists()), None)
    again = (
        "" if run is None else f", then `ganzoo resume {run}` continues from the last checkpoint"
    )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"no space left to write {path}", hint=f"make room{again}")
    return RunError(
        f"{path} cannot be written: {error.strerror or error}", hint=f"make it writable{again}"
    )


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Make a file that others see to be in use."""
    with path.open("xb") as file:
        _lock(file.fileno())
        yield file


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Make a folder that others see to be in use."""
    path.mkdir()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def remove_all(folder: Path, pattern: str = "**/.*.unfinished") -> None:
    """Remove what killed processes were in the middle of writing, and nothing else."""
    for path in list(folder.glob(pattern)):
        if UNFINISHED.fullmatch(path.name) and not is_locked(path):
            _remove(path)


def _lock(descriptor: int) -> None:
    """Show that a process that is alive writes here; the system ends it with the process."""
    with suppress(OSError):  # some network disks know no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_locked(path: Path) -> bool:
    """Whether a process that is alive holds the lock of a file or folder, or may hold it.

    The lock is tried for a moment, so who wants it has to try more than once.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # A shared lock is granted to several who only ask, and to a reader on network disks.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
