"""A cache on disk for what is computed once per data set: classifiers and features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress

from filelock import FileLock
from torch import Tensor

from ganzoo.digests import BrokenFile, pass_over, read_tensors, write_tensors
from ganzoo.errors import GanzooWarning
from ganzoo.folders import cache_root


def cached(
    name: str, compute: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, str]]]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes from the file `name` of the cache; computed and written if it is missing.

    Other processes wait while one computes. A file that is broken is set aside with a warning.
    """
    path = cache_root() / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        with suppress(FileNotFoundError):
            try:
                tensors, notes = read_tensors(path)
                if notes.pop("file", None) != path.name:
                    raise BrokenFile(path, "it is of something else")
                return tensors, notes
            except BrokenFile as error:
                pass_over(error, lambda text: warnings.warn(text, GanzooWarning, stacklevel=2))
        computed, computed_notes = compute()
        write_tensors(path, computed, {**computed_notes, "file": path.name})
    return dict(computed), dict(computed_notes)
