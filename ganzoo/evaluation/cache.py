"""A cache on disk for what is computed once per data set: classifiers and features."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import safetensors
import safetensors.torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import Tensor

from ganzoo.folders import cache_root
from ganzoo.runs import whole_file


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
