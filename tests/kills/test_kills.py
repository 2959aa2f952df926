"""A hundred kills: runs and comparisons that are killed at random moments, again and again, end as
undisturbed ones do, to the byte.

`GANZOO_KILLS` is the number of kills over all kinds. They are spread evenly between the start of a
process and the end of an undisturbed run, wherever that is: in an import, a write, a metric.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import forked
import numpy as np
import pytest
from killing import (
    COMMON,
    KINDS,
    VAE,
    Process,
    Several,
    Tally,
    kill,
    prepare,
    torment,
    wait_for_end,
)
from PIL import Image
from remains import remains
from tiny import tiny

from ganzoo import local
from ganzoo.runs import RunFolder
from ganzoo.unfinished import is_locked

pytestmark = [pytest.mark.kills, pytest.mark.timeout(3600)]

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
RUN = Path("runs/tiny/run")
PLUGIN = Path(__file__).parents[1] / "stateful_components.py"


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


assert (*RECIPES, "two ranks", "comparison") == KINDS


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
