"""The folders outside of a run: data sets, and what is computed once and kept."""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import platformdirs

from ganzoo.errors import GanzooWarning, UserError


def data_root() -> Path:
    """Where data sets are looked for: `GANZOO_DATA`, or a folder in the user's cache."""
    return _named("GANZOO_DATA") or Path(platformdirs.user_cache_dir("ganzoo"))


def cache_root() -> Path:
    """Where features, classifiers and the like are kept: `GANZOO_CACHE`, or a folder in the user's
    cache."""
    default = Path(platformdirs.user_cache_dir("ganzoo")) / "evaluation"
    return _named("GANZOO_CACHE") or default


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names. Raises `UserError` for `~nobody/data`."""
    folder = os.environ.get(variable)
    try:
        return Path(folder).expanduser() if folder else None
    except RuntimeError:
        raise UserError(
            f"{variable} = {folder}: there is no such home", hint="give an absolute path"
        ) from None


def why_unwritable(folder: Path) -> str:
    """Why nothing can be written in a folder, which need not be there yet; empty where it can.

    Leaves nothing behind.
    """
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def why_nothing_is_kept() -> str:
    """Why nothing can be kept in `cache_root()`, as the beginning of a message; empty where it
    can."""
    folder = cache_root()
    reason = why_unwritable(folder)
    return f"nothing can be kept in the cache folder {folder}: {reason}" if reason else ""


KEEP = "set GANZOO_CACHE to a folder that can be written"
"""What to do where nothing can be kept."""


def warn_of_cache() -> None:
    """Say where features of real samples are needed and cannot be kept, once in a process."""
    if problem := why_nothing_is_kept():
        again = "features of real samples are computed anew each time"
        warn_once(f"{problem}; {again}. To keep them, {KEEP}")


@lru_cache(maxsize=100)
def warn_once(text: str) -> None:
    """A `GanzooWarning`, once in a process."""
    warnings.warn(text, GanzooWarning, stacklevel=3)
