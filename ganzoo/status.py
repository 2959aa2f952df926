"""Where a run stands: what its status.json says, and whether the process that wrote it is alive."""

from __future__ import annotations

from typing import Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from ganzoo.records import Amount, Count, damaged, read_json
from ganzoo.runs import RunFolder
from ganzoo.unfinished import is_locked


@with_config(ConfigDict(extra="allow"))
class Status(TypedDict):
    """What status.json holds. A run that failed before it began has only the first two."""

    state: Literal["running", "done", "failed", "interrupted", "killed"]
    """The file never says `killed`: who is killed writes nothing. See `read_status`."""
    message: NotRequired[str]
    """Why it is not done."""
    iteration: NotRequired[Count]
    """Completed iterations."""
    iterations: NotRequired[Count]
    """Iterations of the whole run."""
    images: NotRequired[Count]
    """Real samples read."""
    steps: NotRequired[dict[str, Count]]
    """Steps by phase."""
    seconds: NotRequired[Amount]
    """Wall-clock time of training."""
    peak_memory_mb: NotRequired[Amount | None]
    warnings: NotRequired[list[str]]
    """What somebody may not have seen."""


def read_status(folder: RunFolder) -> Status:
    """What status.json says; `{}` before the run has begun. Raises `RunError` if it is damaged.

    A run that is `running` there, but whose lock nobody holds, is `killed`: its process ended
    without a word, by SIGKILL, a crash or a power failure. The lock is the system's, which releases
    it with the process. It is seen from other hosts only where the file system shares locks between
    them: where it keeps them to each host, a run in training elsewhere reads as killed, and where
    it has no locks, a killed run reads as running.
    """
    status = _read(folder)
    if status.get("state") == "running" and not is_locked(folder.lock):
        status = _read(folder)  # it may have ended meanwhile, and says how before the lock is free
        if status.get("state") == "running":
            status["state"] = "killed"
    return status


def _read(folder: RunFolder) -> Status:
    status: Status = read_json(folder.status, Status)
    for key in ("iteration", "images", "steps", "seconds"):
        if status.get("state") == "done" and key not in status:
            raise damaged(folder.status, f"{key}: Field required")
    return status
