"""Which files of runs can go without anything being lost that somebody may want."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ganzoo.errors import UserError
from ganzoo.runs import RunFolder
from ganzoo.status import read_status
from ganzoo.unfinished import cannot_write


def superfluous(folder: RunFolder, *, last: bool = False) -> list[Path]:
    """Checkpoints before the newest one that is whole, and files that were set aside as broken.

    `last` adds the last checkpoint of a run that is done, which cannot be trained for longer then.
    Raises `RunError` where the run's status is damaged.
    """
    done = read_status(folder).get("state") == "done"
    checkpoints = folder.checkpoints()
    old = checkpoints if done and last else _before_whole(checkpoints)
    return [*old, *sorted(folder.path.rglob("*.broken"))]


def _before_whole(checkpoints: list[Path]) -> list[Path]:
    """Of checkpoints, newest first, those after the first whole one; none where none is whole."""
    if len(checkpoints) < 2:
        return []
    from ganzoo.digests import BrokenFile, read_state

    for number, path in enumerate(checkpoints, start=1):
        try:
            read_state(path)
        except (BrokenFile, FileNotFoundError):
            continue  # a run would go on from an older one
        return checkpoints[number:]
    return []


def prune(folder: RunFolder, *, last: bool = False) -> None:
    """Remove what is superfluous now. Raises `UserError` where the run is in training, and
    `RunError` for a file that cannot be removed."""
    with _idle(folder):
        for file in superfluous(folder, last=last):
            try:
                if file.is_dir() and not file.is_symlink():
                    shutil.rmtree(file)
                else:
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(file, error) from error


@contextmanager
def _idle(folder: RunFolder) -> Iterator[None]:
    """Let nobody train the run meanwhile."""
    try:
        held = FileLock(folder.lock).acquire(timeout=0)
    except Timeout:
        raise in_training(folder) from None
    except OSError as error:
        raise cannot_write(folder.lock, error) from error
    with held:
        yield


def in_training(folder: RunFolder) -> UserError:
    """The refusal to take anything from a run that is in training."""
    return UserError(f"{folder.path} is in training: nothing of it can go")
