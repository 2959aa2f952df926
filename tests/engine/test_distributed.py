"""Two gloo ranks do what one process does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny import tiny

from ganzoo import open_run
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.errors import UserError
from ganzoo.runs import RunFolder, read_json, write_json

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


def test_ranks_take_their_shares_of_the_same_latents(session: MakeSession) -> None:
    whole = session()
    shares = [session(group=Unconnected(rank, 2, rank)) for rank in range(2)]
    batch, *parts = (each.batches.next(0, real=True) for each in (whole, *shares))
    assert torch.equal(batch.z, torch.cat([part.z for part in parts]))
    assert torch.equal(batch.x, torch.cat([part.x for part in parts]))


def test_a_batch_that_cannot_be_split_is_refused(session: MakeSession) -> None:
    with pytest.raises(UserError, match="batch_size = 8 cannot be split evenly between 3"):
        session(group=ProcessGroup(0, 3))
