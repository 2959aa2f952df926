"""Which files of runs can go without anything being lost that somebody may want."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ganzoo.runs import RunFolder
from ganzoo.status import read_status
from ganzoo.unfinished import cannot_write, is_locked


def superfluous(folder: RunFolder, *, last: bool = False) -> list[Path]:
    """Checkpoints but the last one, and files that were set aside as broken.

    `last` adds the last checkpoint of a run that is done, which cannot be trained for longer then.
    Of a run in training there is nothing. Raises `RunError` where its status is damaged.
    """
    if is_locked(folder.lock):
        return []
    done = read_status(folder).get("state") == "done"
    checkpoints = folder.checkpoints()
    old = checkpoints if done and last else checkpoints[1:]
    return [*old, *sorted(folder.path.rglob("*.broken"))]


def remove(files: Iterable[Path]) -> None:
    """Remove files and folders. Raises `RunError` for one that cannot be removed."""
    for file in files:
        try:
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(file, error) from error
