"""A hundred kills: runs and comparisons that are killed at random moments, again and again, end as
undisturbed ones do, to the byte.

`GANZOO_KILLS` is the number of kills over all kinds. They are spread evenly between the start of a
process and the end of an undisturbed run, wherever that is: in an import, a write, a metric.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

import forked
import numpy as np
import pytest
from PIL import Image
from remains import content, differences, remains
from tiny import tiny

from ganzoo import local
from ganzoo.runs import RunFolder
from ganzoo.status import read_status
from ganzoo.unfinished import is_locked

pytestmark = [pytest.mark.kills, pytest.mark.timeout(3600)]

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
PICTURES = '{{ type = "image-folder", path = "{}", size = 8, channels = 1, in_memory = false }}'
RECIPES: Mapping[str, Mapping[str, str | None]] = {
    "GAN": {
        "generator": '{ type = "mlp", hidden = [16], normalization = "batch" }',
        "discriminator": '{ type = "mlp", hidden = [16], dropout = 0.3 }',
        "ema": "{ decay = 0.9 }",
    },
    "VAE": VAE,
    "argmax, replay pool": {
        "latent": "{ dim = 64 }",
        "generator": '{ type = "argmax", pool_size = 100, restarts = 0.1, steps = 2 }',
        "loss": '{ type = "argmax" }',
        "schedule": '{ type = "discriminator-only" }',
    },
    "lazy penalties": {
        "regularizers": '[{ type = "r1", every = 4 }, { type = "gradient-penalty", every = 3 }]',
    },
    "adaptive schedule": {"schedule": '{ type = "adaptive", every = 7, margin = 0.02 }'},
    "stateful augmentation": {
        "augmentations": '[{ type = "ada", images = 100, interval = 3 }]',
        "regularizers": '[{ type = "path-length", every = 2 }]',
    },
    "streamed data": {},
}
TWO_RANKS = {
    "ema": "{ decay = 0.9 }",
    "train": "{ iterations = 100, batch_size = 8 }",
    "log": "{ every = 15, samples = 4 }",
    "checkpoint": "{ every = 10 }",
    "metrics": None,
}
"""Two ranks spend their time waiting for each other."""
KINDS = [*RECIPES, "two ranks", "comparison"]

PLUGIN = Path(__file__).parents[1] / "stateful_components.py"
RUN = Path("runs/tiny/run")
COMMAND = [sys.executable, "-m", "ganzoo"]
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


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Callable[..., None]) -> Iterator[Tally]:
    """The row of a test, which is in the table even if the test fails."""
    kind = request.node.callspec.params["kind"] if hasattr(request.node, "callspec") else ""
    tally = Tally(kind)
    yield tally
    record_property("kills", astuple(tally))


class Forked:
    """`ganzoo ARGUMENTS` in one process."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.log = folder / "log.txt"
        variables = {local.VARIABLE: str(PLUGIN)}
        self.process = forked.start(*arguments, folder=folder, log=self.log, variables=variables)

    def wait(self, seconds: float | None) -> bool:
        self.process.join(seconds)
        return not self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def end(self) -> None:
        """A run that was killed after its last word has nothing to resume."""
        told = self.log.read_text()
        done = self.process.exitcode == 2 and told.rpartition("is done: there is nothing")[1]
        assert self.process.exitcode == 0 or done, told


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


def run_or_resume(folder: Path) -> tuple[object, ...]:
    """The command that goes on with what is in a folder."""
    if (folder / RUN).exists():
        return ("resume", RUN)
    return ("run", "recipe.toml", "--id", "run")


def write_pictures(folder: Path) -> None:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(60):
        pixels = noise.integers(256, size=(10, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def remains_of_run(folder: Path) -> dict[str, object]:
    return remains(RunFolder(folder / RUN))


@pytest.mark.parametrize("kind", RECIPES)
def test_runs(kind: str, tally: Tally, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    data = {"data": PICTURES.format(tmp_path / "pictures")} if kind == "streamed data" else {}
    (tmp_path / "recipe.toml").write_text(tiny(**{**COMMON, **RECIPES[kind], **data}))
    seconds = 0.0
    for name in ("warm-up", "whole"):  # the first process waits for the imports
        prepare(tmp_path / name)
        began = time.monotonic()
        process = Forked(tmp_path / name, *run_or_resume(tmp_path / name))
        process.wait(None)
        seconds = time.monotonic() - began
        process.end()
    expected = remains_of_run(tmp_path / "whole")
    assert {"generator.safetensors", "evaluation.json", "checkpoints/000600.pt"} <= set(expected)
    moments = random.Random(kind)
    torment(
        tally,
        tmp_path,
        lambda folder: Forked(folder, *run_or_resume(folder)),
        lambda process, folder: not process.wait(moments.uniform(0, seconds)),
        remains_of_run,
        expected,
    )


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


class Ranks(Several):
    """Two ranks under torchrun. In turn all processes are killed, or one of the ranks."""

    kills = 0

    def __init__(self, folder: Path) -> None:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*torchrun, "--nproc-per-node=2", "-m", "ganzoo"]
        super().__init__(folder, [*command, *map(str, run_or_resume(folder))])

    def kill(self) -> None:
        Ranks.kills += 1
        ranks = sorted(pid for pid in forked.descendants(self.process.pid) if is_rank(pid))
        if Ranks.kills % 3 == 0 or len(ranks) < 2:
            super().kill()
        else:
            kill(ranks[Ranks.kills % 3 - 1])
            self.process.wait()
            for pid in ranks:  # torchrun ends the other one
                wait_for_end(pid)


def is_rank(pid: int) -> bool:
    try:
        return "\0ganzoo\0" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["two ranks"])
def test_two_ranks(kind: str, tally: Tally, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(tiny(**{**COMMON, **TWO_RANKS}))
    whole = tmp_path / "whole"
    prepare(whole)
    process = Ranks(whole)
    assert process.wait_for(lambda: is_locked(whole / RUN / ".lock"))
    began = time.monotonic()
    process.wait(None)
    seconds = time.monotonic() - began
    process.end()
    moments = random.Random(kind)

    def moment(process: Process, folder: Path) -> bool:
        """From when the first rank has the lock, since imports are most of the time."""
        assert isinstance(process, Ranks)
        begun = process.wait_for(lambda: is_locked(folder / RUN / ".lock"))
        return begun and not process.wait(moments.uniform(0, seconds))

    expected = remains_of_run(whole)
    assert {"generator.safetensors", "checkpoints/000100.pt"} <= set(expected)
    torment(tally, tmp_path, Ranks, moment, remains_of_run, expected)


PAUSE = """
import os, time
from pathlib import Path
from ganzoo import runs
from ganzoo.api import hookimpl

write_text = runs.write_text

def pausing(path, text):
    if path.name == "recipe.toml" and "PAUSE" in os.environ:
        Path("paused").touch()
        time.sleep(600)
    write_text(path, text)

runs.write_text = pausing

@hookimpl
def ganzoo_losses():
    return []
"""
"""A plugin that stops for good between making the folder of a run and writing its recipe."""

STAGES = ("making", "training", "measuring", "training", "measuring", "reporting", "anywhere")
"""When a comparison is killed, one after the other."""


def stage_reached(stage: str, folder: Path) -> bool:
    """Whether a comparison of two recipes has come so far, and no further."""
    runs = [RunFolder(path.parent) for path in folder.glob("runs/*/*/status.json")]
    measured = list(folder.glob("runs/*/*/measures/*.json"))
    if stage == "making":
        return (folder / "paused").exists()
    if stage == "training":
        return any(read_status(run).get("state") == "running" for run in runs)
    if stage == "measuring":
        done = [run for run in runs if read_status(run).get("state") == "done"]
        return len(done) > len(measured)
    return len(measured) == 2 and not (folder / "comparison" / "comparison.json").exists()


def remains_of_comparison(folder: Path) -> dict[str, object]:
    """Both runs, the figures, and which files there are.

    A run that was trained when the comparison was killed, but not measured by its own recipe, is
    measured by the comparison alone; `ganzoo resume` does the rest.
    """
    found: dict[str, object] = {}
    for run in folder.glob("runs/*/*"):
        place = run.relative_to(folder)
        files = remains(RunFolder(run))
        files.pop("evaluation.json", None)
        found |= {f"{place}/{name}": each for name, each in files.items()}
    found["comparison.json"] = content(folder / "comparison" / "comparison.json")
    return found | {path.name: "" for path in (folder / "comparison").iterdir()} | found


@pytest.mark.parametrize("kind", ["comparison"])
def test_comparison(kind: str, tally: Tally, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(tiny(**COMMON))
    (tmp_path / "vae.toml").write_text(tiny(**{**COMMON, **VAE, "name": '"vae"'}))
    (tmp_path / "pause.py").write_text(PAUSE)
    variables = {local.VARIABLE: str(tmp_path / "pause.py")}
    command = [*COMMAND, "compare", "recipe.toml", "vae.toml"]
    whole = tmp_path / "whole"
    prepare(whole)
    began = time.monotonic()
    process = Several(whole, command, variables)
    assert process.wait(None)
    seconds = time.monotonic() - began
    process.end()
    expected = remains_of_comparison(whole)
    assert {"report.html", "comparison.md"} <= set(expected)
    moments, kills = random.Random(kind), iter(range(10**6))
    stage = ""

    def start(folder: Path) -> Process:
        nonlocal stage
        stage = STAGES[next(kills) % len(STAGES)]
        (folder / "paused").unlink(missing_ok=True)
        pause = {"PAUSE": "1"} if stage == "making" and tally.kills < share(kind) else {}
        return Several(folder, command, {**variables, **pause})

    def moment(process: Process, folder: Path) -> bool:
        assert isinstance(process, Several)
        if stage == "anywhere":
            return not process.wait(moments.uniform(0, seconds))
        reached = process.wait_for(lambda: stage_reached(stage, folder))
        return reached and not process.wait(moments.uniform(0, 0.7))

    torment(tally, tmp_path, start, moment, remains_of_comparison, expected)
