"""What a run or a comparison leaves that has to be the same, whatever happened on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganzoo.digests import read_state
from ganzoo.runs import RunFolder

TIMES = frozenset(
    {"seconds", "images_per_second", "sampling_seconds", "peak_memory_mb", "created", "warnings"}
)
"""Keys of plain data that tell of the process, not of the run."""
OTHER_FILES = re.compile(r"tensorboard/events\.out\.tfevents\.[^/]+|\.lock|traceback\.txt")
"""Files whose number or content depends on how often the run was stopped, and how."""


def remains(folder: RunFolder) -> dict[str, Any]:
    """The content of every file of a run by its name, without times."""
    return {
        name: content(path)
        for path in sorted(folder.path.rglob("*"))
        if path.is_file()
        and not OTHER_FILES.fullmatch(name := path.relative_to(folder.path).as_posix())
    }


def content(path: Path) -> Any:
    """What is in a file, without times."""
    if path.name == "timing.jsonl":
        return [json.loads(line)["iteration"] for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".pt":
        return timeless(read_state(path))
    return path.read_bytes()


def timeless(value: Any) -> Any:
    """Plain data, with tensors as bytes, and without what tells of times."""
    if isinstance(value, Mapping):
        return {str(key): timeless(value[key]) for key in value if key not in TIMES}
    if isinstance(value, list | tuple):
        return [timeless(each) for each in value]
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), value.cpu().numpy().tobytes())
    return value


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Names of the files that are not the same, or are there only once."""
    return sorted(
        name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
    )
