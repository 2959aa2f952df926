"""A cache on disk for what is computed once per data set: classifiers and features."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from ganzoo.digests import BrokenFile, pass_over, read_tensors, write_tensors
from ganzoo.errors import GanzooWarning, RunError
from ganzoo.folders import KEEP, cache_root, warn_of_cache, warn_once

Tensors = Mapping[str, Tensor]
Notes = Mapping[str, str]


def cached(
    name: str,
    compute: Callable[[], tuple[Tensors, Notes]],
    misfit: Callable[[Tensors, Notes], str] = lambda tensors, notes: "",
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes from the file `name` of the cache; computed and written if it is missing.

    Other processes wait while one computes. A file that is broken is set aside with a warning, and
    so is one that is not what `compute` gives: `misfit` says why, or nothing. Where nothing can be
    written, what is there is read, and the rest is computed each time anew.
    """
    path = cache_root() / f"{name}.safetensors"
    with _alone(path) as writable:
        if (found := _kept(path, misfit)) is not None:
            return found
        tensors, notes = compute()
        if writable and not misfit(tensors, notes):
            _keep(path, tensors, {**notes, "file": path.name})
    return dict(tensors), dict(notes)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Let other processes wait that want the same file; gives whether anything can be written."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # some network disks know no locks
        warn_of_cache()
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _kept(
    path: Path, misfit: Callable[[Tensors, Notes], str]
) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """What is in the cache, or None."""
    if not os.path.lexists(path):  # nor a folder for it
        return None
    try:
        tensors, notes = read_tensors(path)
        if notes.pop("file", None) != path.name:
            raise BrokenFile(path, "it is of something else")
        if reason := misfit(tensors, notes):
            raise BrokenFile(path, reason)
    except FileNotFoundError:
        return None
    except BrokenFile as error:
        pass_over(error, lambda text: warnings.warn(text, GanzooWarning, stacklevel=2))
        return None
    return tensors, notes


def _keep(path: Path, tensors: Tensors, notes: Notes) -> None:
    """Write what was computed; that the disk is full by now is no reason to lose it."""
    try:
        write_tensors(path, tensors, notes)
    except (RunError, OSError) as error:
        text = error.message if isinstance(error, RunError) else str(error)
        warn_once(f"{text}; it is computed anew next time. To keep it, {KEEP}")
