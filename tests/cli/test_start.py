"""`ganzoo run RECIPE --from RUN`: runs that start from the weights of another one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

import ganzoo
from ganzoo.comparison.entrants import place
from ganzoo.digests import read_state

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

STILL = "optimizer.lr=1e-30"
"""Less than float32 can add to a weight: such a run ends with the weights that it starts from."""

PARENT = Path("runs/tiny/parent")
CHILD = Path("runs/tiny/child")


@pytest.fixture
def recipe(command: Command, write_recipe: WriteRecipe) -> Path:
    """A recipe with a moving average, and a run of it, `PARENT`, with three snapshots."""
    recipe = write_recipe(
        {
            "generator": 'type = "mlp"\nhidden = [16]\nnormalization = "batch"',
            "ema": "decay = 0.9",
            "evaluate": "samples = 30\nsnapshots = 3",
        }
    )
    assert command("run", recipe, "--id", "parent").returncode == 0
    return recipe


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def weights_of(run: Path, network: str, file: str = "") -> dict[str, Tensor]:
    """The tensors of one network by its own names, at the end or in a snapshot."""
    tensors, prefix = load_file(run / (file or f"{network}.safetensors")), f"{network}."
    return {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether all weights are the same; statistics of batch norm are taken anew."""
    keys = [key for key in first if "running" not in key and "tracked" not in key]
    return bool(keys) and all(first[key].equal(second[key]) for key in keys)


def test_it_starts_from_the_averaged_weights(command: Command, recipe: Path) -> None:
    result = command("run", recipe, "--id", "child", "--from", "tiny", "train.seed=1", STILL)
    assert (result.returncode, result.stdout) == (0, f"{CHILD}\n"), result.stderr
    assert "warning" not in result.stderr
    for name in ("generator", "discriminator"):
        assert same(weights_of(PARENT, name), weights_of(CHILD, name))
    state = read_state(CHILD / "checkpoints/000006.pt")
    averaged = weights_of(PARENT, "generator")
    assert same(averaged, state["networks"]["generator"])
    raw = read_state(PARENT / "checkpoints/000006.pt")["networks"]["generator"]
    assert not same(averaged, raw)
    assert read(CHILD / "environment.json")["parent"] == {
        "path": str(PARENT.absolute()),
        "fingerprint": read(PARENT / "environment.json")["fingerprint"],
        "iteration": 6,
    }


def test_a_snapshot_and_a_run_that_is_not_done(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ganzoo.train(ganzoo.load_recipe(recipe, STILL), start=f"{PARENT}@4", identity="child")
    kept = weights_of(PARENT, "generator", "snapshots/000004.safetensors")
    assert same(kept, weights_of(CHILD, "generator"))
    assert not same(kept, weights_of(PARENT, "generator"))
    assert read(CHILD / "environment.json")["parent"]["iteration"] == 4
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.engine.training.stop_requested", lambda *arguments: True)
        assert command("run", recipe, "--id", "stopped").returncode == 130
    start = ganzoo.open_run("runs/tiny/stopped")
    run = ganzoo.train(ganzoo.load_recipe(recipe, STILL), start=start, identity="other")
    state = read_state(start.path / "checkpoints/000001.pt")
    assert same(state["average"]["generator"], weights_of(run.path, "generator"))


def test_what_does_not_fit_keeps_its_initial_values(command: Command, recipe: Path) -> None:
    wide = "discriminator.hidden=[16,8]"
    result = command("run", recipe, wide, STILL, "--id", "child", "--from", PARENT)
    assert result.returncode == 0, result.stderr
    told = (
        f"4 tensors keep theirs, as {PARENT.absolute()} after iteration 6 has none of that name "
        "and shape: discriminator.layers.2.weight, discriminator.layers.2.bias, "
        "discriminator.layers.4.weight, ..."
    )
    assert [line for line in result.stderr.splitlines() if "tensors" in line] == [
        f"warning: {told}"
    ]
    assert read(CHILD / "status.json")["warnings"] == [told]
    assert command("run", recipe, wide, STILL, "--id", "fresh").returncode == 0
    old, new, fresh = (
        weights_of(run, "discriminator") for run in (PARENT, CHILD, Path("runs/tiny/fresh"))
    )
    assert new["layers.0.weight"].equal(old["layers.0.weight"])
    assert not new["layers.0.weight"].equal(fresh["layers.0.weight"])
    assert new["layers.4.weight"].equal(fresh["layers.4.weight"])


def test_nothing_that_fits(command: Command, recipe: Path, write_recipe: WriteRecipe) -> None:
    other = write_recipe(
        {
            "data": 'type = "ring"',
            "generator": 'type = "mlp"\nhidden = [9]',
            "discriminator": None,
            "encoder": 'type = "mlp"\nhidden = [9]',
            "loss": 'type = "reconstruction"',
            "schedule": 'type = "joint"',
        },
        "other.toml",
    )
    result = command("run", other, "--id", "child", "--from", PARENT)
    assert (result.returncode, result.stderr) == (
        2,
        f"nothing of {PARENT.absolute()} after iteration 6 fits the recipe: it is a run of other "
        "shapes\n  = weights of the same network, name and shape are taken\n",
    )
    assert not CHILD.exists()
    result = command("run", recipe, "--from", "nobody")
    assert (result.returncode, result.stderr.splitlines()[0]) == (2, "there is no run 'nobody'")
    assert [each.name for each in Path("runs/tiny").iterdir()] == ["parent"]


@pytest.mark.parametrize("iteration", [1, 3])
def test_a_killed_run_resumes_without_its_parent(
    command: Command, recipe: Path, iteration: int
) -> None:
    """Before its first checkpoint, and after it."""
    command("run", recipe, "--id", "whole", "--from", PARENT)
    script = (
        "import os, signal, sys, ganzoo\n"
        "from ganzoo.engine.events import Listener\n"
        "class Killing(Listener):\n"
        "    def advanced(self, session):\n"
        "        if session.iteration == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "recipe = ganzoo.load_recipe(sys.argv[1])\n"
        "ganzoo.train(recipe, start=sys.argv[3], identity='child', progress=Killing())\n"
    )
    words = [sys.executable, "-c", script, str(recipe), str(iteration), str(PARENT)]
    killed = subprocess.run(words, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(CHILD.glob("checkpoints/*.pt"))) == iteration // 2
    shutil.rmtree(PARENT)
    result = command("resume", CHILD)
    assert result.returncode == 0, result.stderr
    for name in ("generator.safetensors", "discriminator.safetensors", "statistics.jsonl"):
        assert (CHILD / name).read_bytes() == Path("runs/tiny/whole", name).read_bytes()
    assert "parent" in read(CHILD / "environment.json")


def test_its_weights_to_start_from_are_lost(command: Command, recipe: Path) -> None:
    assert command("run", recipe, "--id", "child", "--from", PARENT).returncode == 0
    file = CHILD / "start/weights.safetensors"
    shutil.rmtree(CHILD / "checkpoints")
    for weights in CHILD.glob("*.safetensors"):
        weights.unlink()
    (CHILD / "status.json").write_text('{"state": "interrupted", "iteration": 1}')
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    result = command("resume", CHILD)
    assert result.returncode == 1
    assert f"{file} is broken: its digest does not fit its content" in result.stderr
    file.unlink()
    (CHILD / "status.json").write_text('{"state": "interrupted", "iteration": 1}')
    result = command("resume", CHILD)
    assert (result.returncode, result.stderr) == (
        1,
        f"{file} is gone, from which the run is to start\n  = put it back from a copy of the "
        f"folder, or `ganzoo run {CHILD}/recipe.toml --from {PARENT.absolute()}`\n",
    )


def test_comparisons_take_it_for_no_run_of_its_recipe(command: Command, recipe: Path) -> None:
    assert command("run", recipe, "train.seed=1", "--id", "child", "--from", PARENT).returncode == 0
    digest = read(CHILD / "environment.json")["data"]["digest"]
    loaded = ganzoo.load_recipe(recipe, "train.seed=1")
    assert place(loaded, Path("runs"), digest) != CHILD
    assert place(ganzoo.load_recipe(recipe), Path("runs"), digest) == PARENT
    few = ("evaluate.samples=30", "extractor.type=random", "--out", "out")
    assert command("compare", PARENT, CHILD, *few).returncode == 0
    assert len(read(Path("out/comparison.json"))["models"]) == 2
