"""Two gloo ranks do what one process does."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tiny import tiny

from ganzoo import open_run
from ganzoo.engine.process_group import Agreement, ProcessGroup
from ganzoo.errors import UserError
from ganzoo.interruption import Interruption
from ganzoo.records import read_json, write_json
from ganzoo.runs import RunFolder

from .conftest import TINY, MakeSession


class Unconnected(ProcessGroup):
    """A process that has no other to wait for."""

    def first_before_others(self) -> AbstractContextManager[None]:
        return nullcontext()


def launch(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, f"--nproc-per-node={processes}", "-m", "ganzoo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
def test_two_ranks_train_like_one_and_only_the_first_talks(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY + "ema = { decay = 0.9 }\n")
    single, double = tmp_path / "one", tmp_path / "two"
    for processes, runs in ((1, single), (2, double)):
        result = launch(processes, "run", str(recipe), "--runs", str(runs), "--id", "run")
        assert result.returncode == 0, result.stderr
        # With torch 2.10 every rank prints that it is connected.
        lines = [line for line in result.stdout.splitlines() if not line.startswith("[Gloo]")]
        assert lines == [str(runs / "tiny" / "run")]
        assert result.stderr.count("tiny: 20 iterations") == 1
    one, two = open_run(single / "tiny" / "run"), open_run(double / "tiny" / "run")
    for slot in ("generator", "discriminator"):
        first, second = (
            safetensors.torch.load_file(run.folder.weights(slot)) for run in (one, two)
        )
        for name, weight in first.items():
            # Equal but for the order of sums; Adam turns rounding into at most a few steps.
            torch.testing.assert_close(weight, second[name], rtol=1e-3, atol=1e-5)
    for row, other in zip(one.statistics, two.statistics, strict=True):
        assert row["images"] == other["images"]
        for name, value in row["statistics"].items():
            assert value == pytest.approx(other["statistics"][name], rel=1e-3)
    state = torch.load(two.folder.checkpoints()[0], weights_only=True)
    assert len(state["processes"]) == 2


ADAPTIVE = tiny(
    generator='{ type = "mlp", hidden = [16], normalization = "batch" }',
    discriminator='{ type = "mlp", hidden = [16], dropout = 0.3 }',
    ema="{ decay = 0.9 }",
    schedule='{ type = "adaptive", every = 3, margin = 0.02 }',
    log="{ every = 4, samples = 4 }",
    checkpoint="{ every = 7 }",
)
REPLAY = tiny(
    latent="{ dim = 64 }",
    generator='{ type = "argmax", pool_size = 64, restarts = 0.05, steps = 3, noise = 0.01 }',
    loss='{ type = "argmax" }',
    schedule='{ type = "discriminator-only" }',
    augmentations='[{ type = "instance-noise" }]',
    log="{ every = 4, samples = 4 }",
    checkpoint="{ every = 7 }",
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", [ADAPTIVE, REPLAY], ids=["adaptive", "replay"])
def test_two_ranks_resume_to_the_same_bytes(tmp_path: Path, text: str) -> None:
    """Noise, pools of samples, statistics and observations are each process's own."""
    (tmp_path / "tiny.toml").write_text(text)
    arguments = [str(tmp_path / "tiny.toml"), "--runs", str(tmp_path), "--id", "whole"]
    assert launch(2, "run", *arguments).returncode == 0
    whole, part = (RunFolder(tmp_path / "tiny" / name) for name in ("whole", "part"))
    shutil.copytree(whole.path, part.path)
    newest, before = part.checkpoints()
    assert before == part.checkpoint(14)
    for path in (newest, *part.path.glob("*.safetensors"), *part.path.glob("samples/0000[12]*")):
        path.unlink()
    write_json(part.status, {**read_json(part.status), "state": "interrupted"})
    resumed = launch(2, "resume", str(part.path))
    assert resumed.returncode == 0, resumed.stderr
    assert read_json(part.status)["steps"] == read_json(whole.status)["steps"]
    for path in (whole.statistics, whole.samples(20), *whole.path.glob("*.safetensors")):
        assert (part.path / path.relative_to(whole.path)).read_bytes() == path.read_bytes(), path


@pytest.mark.timeout(300)
def test_two_ranks_start_from_a_run_and_are_made_longer(tmp_path: Path) -> None:
    """Only the first process knows the folder, writes the new length and the weights."""
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ["run", str(tmp_path / "tiny.toml"), "--runs", str(tmp_path), "--id"]
    parent, short, long = (tmp_path / "tiny" / name for name in ("parent", "short", "long"))
    assert launch(1, *words, "parent", "train.seed=1").returncode == 0
    for name, length in (("short", 20), ("long", 30)):
        options = ["--from", str(parent), f"train.iterations={length}"]
        started = launch(2, *words, name, *options)
        assert started.returncode == 0, started.stderr
    resumed = launch(2, "resume", str(short), "train.iterations=30")
    assert resumed.returncode == 0, resumed.stderr
    assert read_json(RunFolder(short).status)["iteration"] == 30
    weights = [*long.glob("*.safetensors"), RunFolder(long).snapshot(30)]
    assert len(weights) == 3
    for path in weights:
        assert (short / path.relative_to(long)).read_bytes() == path.read_bytes(), path


@pytest.mark.timeout(300)
def test_ranks_stop_together_and_soon_whatever_the_logging_interval(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    endless = [f"{key}=1_000_000" for key in ("train.iterations", "log.every", "checkpoint.every")]
    arguments = ["run", str(recipe), *endless, "--runs", str(tmp_path), "--id", "run"]
    run = tmp_path / "tiny" / "run"
    with subprocess.Popen(
        [*torchrun, "--nproc-per-node=2", "-m", "ganzoo", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not (run / "samples" / "000000.png").exists():
                assert process.poll() is None
                time.sleep(0.1)
            asked = time.monotonic()
            process.terminate()
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.monotonic() - asked < 25, "torchrun kills what is left after 30 seconds"
    status = open_run(run).status
    assert status["state"] == "interrupted", stderr
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert int(checkpoint.stem) == status["iteration"] > 0
    assert stderr.count("stopped after iteration ") == 1


class Talk(ProcessGroup):
    """A rank of two, which hears what the other says, and remembers when they talked."""

    def gather(self, value: Any) -> list[Any]:
        talks.append(value)
        return [value, (0 if len(talks) < 12 else signal.SIGTERM, 0.1)]


talks: list[Any] = []


def test_ranks_ask_each_other_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    talks.clear()
    clock = iter(range(10**6))
    # Every iteration takes 0.01 seconds.
    now = 0.0
    monkeypatch.setattr("ganzoo.engine.process_group.time.monotonic", lambda: now)
    interruption = Interruption("note")
    agreement = Agreement(Talk(0, 2), interruption, iteration=0)
    asked = []
    for iteration in clock:
        now = 0.01 * (iteration + 1)
        before = len(talks)
        if reached := agreement.reached(iteration + 1):
            break
        if len(talks) > before:
            asked.append(iteration + 1)
    assert reached
    assert asked[:4] == [1, 3, 7, 15], "the first iterations say little"
    gaps = [after - before for before, after in pairwise(asked[8:])]
    assert all(gap == pytest.approx(200, abs=2) for gap in gaps), "two seconds"
    assert (interruption.number, agreement.number) == (signal.SIGTERM, signal.SIGTERM)


def test_ranks_take_their_shares_of_the_same_latents(session: MakeSession) -> None:
    whole = session()
    shares = [session(group=Unconnected(rank, 2, rank)) for rank in range(2)]
    batch, *parts = (each.batches.next(0, real=True) for each in (whole, *shares))
    assert torch.equal(batch.z, torch.cat([part.z for part in parts]))
    assert torch.equal(batch.x, torch.cat([part.x for part in parts]))


def test_a_batch_that_cannot_be_split_is_refused(session: MakeSession) -> None:
    with pytest.raises(UserError, match="batch_size = 8 cannot be split evenly between 3"):
        session(group=ProcessGroup(0, 3))
