"""A cache on disk for what is computed once per data set: classifiers and features."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs
from filelock import FileLock
from torch import Tensor

from ganzoo.engine.data import Samples, Stream
from ganzoo.engine.digests import BrokenFile, pass_over, read_tensors, write_tensors
from ganzoo.errors import GanzooWarning


def cache_root() -> Path:
    """`GANZOO_CACHE`, or a folder in the user's cache."""
    folder = os.environ.get("GANZOO_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(platformdirs.user_cache_dir("ganzoo")) / "evaluation"


def data_digest(key: str, part: Samples | Stream) -> str:
    """Hash of a data set, in 16 hexadecimal digits.

    A data set in memory is hashed by its content; one that is read from disk by its length and
    `key`, which identifies its declaration and version.
    """
    digest = hashlib.sha256()
    if isinstance(part, Samples):
        digest.update(f"{part.values.dtype} {tuple(part.values.shape)}".encode())
        digest.update(part.values.contiguous().numpy().tobytes())
        if part.labels is not None:
            digest.update(part.labels.contiguous().numpy().tobytes())
    else:
        digest.update(f"{key} {len(part)}".encode())
    return digest.hexdigest()[:16]


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
