"""A cache on disk for what is computed once per data set: classifiers and features."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
import safetensors
import safetensors.torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import Tensor

from ganzoo.engine.data import Samples, Stream
from ganzoo.runs import whole_file


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

    Other processes wait while one computes. A file that cannot be read is replaced.
    """
    path = cache_root() / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            try:
                with safetensors.safe_open(path, framework="pt") as file:
                    tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                    return tensors, dict(file.metadata() or {})
            except SafetensorError:
                path.unlink()
        computed, notes = compute()
        with whole_file(path) as file:
            file.write(safetensors.torch.save(dict(computed), dict(notes)))
    return dict(computed), dict(notes)
