"""What is computed once for a data set and kept on disk: a classifier, features of real samples."""

from __future__ import annotations

import hashlib
import json
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
from ganzoo.recipe import Recipe
from ganzoo.runs import whole_file


def cache_root() -> Path:
    """`GANZOO_CACHE`, or a folder in the user's cache."""
    folder = os.environ.get("GANZOO_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(platformdirs.user_cache_dir("ganzoo")) / "evaluation"


def data_digest(recipe: Recipe, part: Samples | Stream) -> str:
    """Hash of a data set, in 16 hexadecimal digits.

    Of what it holds where that is in memory; of its declaration, its version and its length
    where it is read from disk.
    """
    plugin = recipe.data.plugin
    digest = hashlib.sha256()
    if isinstance(part, Samples):
        digest.update(f"{part.values.dtype} {tuple(part.values.shape)}".encode())
        digest.update(part.values.contiguous().numpy().tobytes())
        if part.labels is not None:
            digest.update(part.labels.contiguous().numpy().tobytes())
    else:
        declared = {
            **recipe.data.table(qualified=True),
            "version": plugin.version,
            "length": len(part),
        }
        digest.update(json.dumps(declared, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def cached(
    name: str, make: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, str]]]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes from the file `name` of the cache, made and written if it is not there.

    One process makes them while others wait. A file that cannot be read is made anew.
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
        made, said = make()
        with whole_file(path) as file:
            file.write(safetensors.torch.save(dict(made), dict(said)))
    return dict(made), dict(said)
