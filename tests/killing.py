"""Kills runs and comparisons again and again; what they leave is compared with undisturbed ones."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import forked
from remains import differences

from ganzoo.runs import RunFolder
from ganzoo.status import read_status

COMMON = {
    "train": "{ iterations = 600, batch_size = 8 }",
    "log": "{ every = 50, samples = 4 }",
    "checkpoint": "{ every = 60 }",
    "evaluate": "{ samples = 50, snapshots = 3 }",
    "extractor": '{ type = "random" }',
    "metrics": '[{ type = "sharpness" }]',
}
VAE = {
    "discriminator": None,
    "encoder": '{ type = "mlp", hidden = [16] }',
    "loss": '{ type = "elbo" }',
    "schedule": '{ type = "joint" }',
    "priors": '[{ type = "mixture", components = 2 }]',
}
KINDS = (
    *("GAN", "VAE", "argmax, replay pool", "lazy penalties", "adaptive schedule"),
    *("stateful augmentation", "streamed data", "two ranks", "comparison"),
)
"""What is killed; each kind has its share of the kills."""
POLL = 0.005


class Process(Protocol):
    """A run in a process of its own, or in several."""

    def wait(self, seconds: float | None) -> bool:
        """Whether it ended within so many seconds."""

    def kill(self) -> None:
        """Kill it with SIGKILL; it is gone afterwards."""

    def end(self) -> None:
        """Raise `AssertionError` unless it ended well."""


@dataclass
class Tally:
    """A row of the table."""

    kind: str
    kills: int = 0
    found: int = 0
    """After so many of them there was a checkpoint."""
    equal: int = 0
    """Kills of runs that ended as an undisturbed one does."""
    runs: int = 0


def share(kind: str) -> int:
    """How many of all kills fall on one kind."""
    kills, number = int(os.environ.get("GANZOO_KILLS", "100")), KINDS.index(kind)
    return kills * (number + 1) // len(KINDS) - kills * number // len(KINDS)


def torment(
    tally: Tally,
    tmp_path: Path,
    start: Callable[[Path], Process],
    moment: Callable[[Process, Path], bool],
    remains_of: Callable[[Path], Mapping[str, object]],
    expected: Mapping[str, object],
) -> None:
    """Kill runs one after the other, each as often as it takes, until the kills are used up.

    `moment` waits for the moment of a kill and says whether the process is still alive then.
    """
    kills = share(tally.kind)
    while tally.kills < kills:
        folder, before = tmp_path / f"run-{tally.runs}", tally.kills
        prepare(folder)
        while True:
            process = start(folder)
            if tally.kills == kills or not moment(process, folder):
                process.wait(None)
                break
            process.kill()
            tally.kills += 1
            tally.found += any(folder.glob("runs/*/*/checkpoints/*.pt"))
            for status in folder.glob("runs/*/*/status.json"):
                assert_not_running(RunFolder(status.parent))
        process.end()
        assert differences(remains_of(folder), expected) == []
        assert not list(folder.rglob("*.unfinished"))
        tally.equal += tally.kills - before
        tally.runs += 1


def assert_not_running(folder: RunFolder) -> None:
    """The lock is free as soon as the last thread of the process is gone."""
    limit = time.monotonic() + 30
    while read_status(folder)["state"] == "running":
        assert time.monotonic() < limit, f"{folder.path} is said to be running"
        time.sleep(POLL)


def prepare(folder: Path) -> None:
    """Make a working directory with the recipes of the folder above."""
    folder.mkdir()
    for name in ("recipe.toml", "vae.toml"):
        if (folder.parent / name).exists():
            (folder / name).symlink_to(folder.parent / name)


class Several:
    """A command that starts processes of its own."""

    def __init__(
        self, folder: Path, command: list[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / "log.txt"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **(variables or {})}, stdout=log, stderr=log
            )

    def wait(self, seconds: float | None) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill all of its processes; they are stopped first, so that none starts another."""
        stopped: set[int] = set()
        while new := {self.process.pid, *forked.descendants(self.process.pid)} - stopped:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            stopped |= new
        for pid in stopped:
            kill(pid)
        self.process.wait()

    def end(self) -> None:
        told = self.log.read_text()
        done = "is done: there is nothing to resume" in told
        assert self.process.returncode == 0 or done, told

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Whether a condition came true before the process ended."""
        while self.process.poll() is None:
            if condition():
                return True
            time.sleep(POLL)
        return False


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    with suppress(OSError):
        while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
            time.sleep(POLL)
