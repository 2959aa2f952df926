"""`ganzoo resume RUN train.iterations=N`: runs that are made longer."""

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

import ganzoo
from ganzoo.comparison.entrants import place
from ganzoo.digests import read_state

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

LONGER = "train.iterations=10"

GAN: Mapping[str, str | None] = {
    "evaluate": "samples = 40\nsnapshots = 3",
    "ema": "decay = 0.9",
    "generator": 'type = "mlp"\nhidden = [16]\nnormalization = "batch"',
    "[metrics]": 'type = "sharpness"',
}
VAE: Mapping[str, str | None] = {
    "discriminator": None,
    "encoder": 'type = "mlp"\nhidden = [16]',
    "loss": 'type = "elbo"',
    "schedule": 'type = "joint"',
    "[priors]": 'type = "mixture"\ncomponents = 2',
    "evaluate": "samples = 40\nsnapshots = 3",
    "[metrics]": 'type = "sharpness"',
}


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def weights(run: Path) -> dict[str, bytes]:
    """What a run ends with, file by file, and its end in evaluation.json."""
    files = [
        *run.glob("*.safetensors"),
        *run.glob("priors/*"),
        run / "snapshots/000010.safetensors",
    ]
    found = {str(file.relative_to(run)): file.read_bytes() for file in files}
    return {**found, "values": json.dumps(read(run / "evaluation.json")["values"]).encode()}


@pytest.mark.parametrize("changes", [GAN, VAE], ids=["gan", "vae"])
def test_a_longer_run_ends_as_if_it_had_been_that_long(
    command: Command, write_recipe: WriteRecipe, changes: Mapping[str, str | None]
) -> None:
    recipe, run = write_recipe(changes), Path("runs/tiny/short")
    assert command("run", recipe, "--id", "short").returncode == 0
    assert command("run", recipe, "--id", "long", LONGER).returncode == 0
    begun, old = (run / "recipe.toml").stat().st_mtime_ns, weights_of_plan(run, 6)
    result = command("resume", run, LONGER)
    assert (result.returncode, result.stdout) == (0, f"{run}\n")
    assert "resumes from iteration 6\n" in result.stderr
    assert "stretches" not in result.stderr
    assert weights(run) == weights(Path("runs/tiny/long"))
    assert (run / "recipe.toml").read_text() == Path("runs/tiny/long/recipe.toml").read_text()
    assert (run / "recipe.toml").stat().st_mtime_ns == begun
    status = read(run / "status.json")
    assert [status[key] for key in ("state", "iteration", "iterations")] == ["done", 10, 10]
    # Snapshots: those of 6 iterations up to its end, then those of 10.
    assert [row["iteration"] for row in read(run / "evaluation.json")["history"]] == [2, 4, 6, 10]
    assert weights_of_plan(run, 6) == old
    opened = ganzoo.open_run(run)
    assert opened.at(4).sample(2).shape == (2, 1, 8, 8)
    again = command("resume", run, LONGER)
    assert again.stderr.startswith(f"{run} is done: there is nothing to resume\n")


def weights_of_plan(run: Path, last: int) -> list[bytes]:
    files = [
        run / f"snapshots/{iteration:06d}.safetensors" for iteration in (last // 3, 2 * last // 3)
    ]
    return [file.read_bytes() for file in files]


def test_a_run_that_is_not_done_and_is_made_longer_twice(
    command: Command, recipe: Path, interrupted_run: Path
) -> None:
    assert command("resume", interrupted_run, "train.iterations=8").returncode == 0
    assert command("resume", interrupted_run, LONGER, "engine.device=cpu").returncode == 0
    environment = read(interrupted_run / "environment.json")
    assert [plan["iterations"] for plan in environment["earlier"]] == [6, 8]
    assert command("run", recipe, "--id", "long", LONGER).returncode == 0
    for name in ("generator.safetensors", "discriminator.safetensors"):
        long = Path("runs/tiny/long", name)
        assert (interrupted_run / name).read_bytes() == long.read_bytes()
    # A lost environment.json is made again of the last checkpoint.
    (interrupted_run / "environment.json").unlink()
    assert command("resume", interrupted_run).returncode == 0
    assert read(interrupted_run / "environment.json")["earlier"] == environment["earlier"]


def test_what_was_made_at_the_end_is_not_taken_for_the_longer_run(
    command: Command, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path("runs/tiny/one")
    assert command("run", write_recipe(GAN), "--id", "one").returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.engine.training.stop_requested", lambda *arguments: True)
        assert command("resume", run, LONGER).returncode == 130
    assert not list(run.glob("*.safetensors"))
    assert not (run / "evaluation.json").exists()
    state = read_state(run / "checkpoints/000007.pt")
    opened = ganzoo.open_run(run)
    opened.sample(1)
    weight = dict(opened.generator().state_dict())
    name = next(iter(weight))
    assert weight[name].equal(state["average"]["generator"][name])
    result = command("measure", run, "sharpness")
    assert "is interrupted: only a run that is done can be measured" in result.stderr
    assert command("resume", run).returncode == 0
    assert read(run / "status.json")["iteration"] == 10


@pytest.mark.parametrize("moment", range(4))
def test_a_kill_while_the_length_is_written(
    command: Command, write_recipe: WriteRecipe, moment: int
) -> None:
    """Before environment.json, before status.json, before recipe.toml, and after it."""
    recipe, run = write_recipe(GAN), Path("runs/tiny/one")
    assert command("run", recipe, "--id", "one").returncode == 0
    assert command("run", recipe, "--id", "long", LONGER).returncode == 0
    before = weights_of_plan(run, 6), (run / "generator.safetensors").read_bytes()
    script = (
        "import os, signal, sys, ganzoo\n"
        "from ganzoo.engine import longer\n"
        "left = int(sys.argv[1])\n"
        "def dying(write):\n"
        "    def wrapper(*arguments, **options):\n"
        "        global left\n"
        "        if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        left -= 1\n"
        "        return write(*arguments, **options)\n"
        "    return wrapper\n"
        "longer.write_json = dying(longer.write_json)\n"
        "longer.write_text = dying(longer.write_text)\n"
        "longer.os = type('', (), {'utime': staticmethod(dying(os.utime))})\n"
        "ganzoo.resume(sys.argv[2], sys.argv[3])\n"
    )
    words = [sys.executable, "-c", script, str(moment), str(run), LONGER]
    killed = subprocess.run(words, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    short, plain = ganzoo.load_recipe(recipe), Path(shutil.copytree(run, "runs/tiny/plain"))
    result = command("resume", plain)
    if moment < 2:
        assert "is done: there is nothing to resume" in result.stderr
    else:
        assert result.returncode == 0, result.stderr
    length = 10 if moment == 3 else 6
    assert read(plain / "status.json")["iteration"] == length
    if length == 6:
        assert before == (weights_of_plan(plain, 6), (plain / "generator.safetensors").read_bytes())
    digest = read(plain / "environment.json")["data"]["digest"]
    shutil.move(plain, "elsewhere/tiny/plain")
    wanted = short.changed(train={"iterations": length})
    assert place(wanted, Path("elsewhere"), digest) == Path("elsewhere/tiny/plain")
    other = short.changed(train={"iterations": 16 - length})
    assert place(other, Path("elsewhere"), digest) != Path("elsewhere/tiny/plain")
    result = command("resume", run, *([LONGER] if moment < 3 else []))
    assert result.returncode == 0, result.stderr
    assert weights(run) == weights(Path("runs/tiny/long"))
    assert [plan["iterations"] for plan in read(run / "environment.json")["earlier"]] == [6]


def test_what_stretches_over_the_run_is_said(command: Command, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe(
        {
            "optimizer": 'type = "adam"\nlr = { from = 2e-4, to = 0.0, over = [0.7, 1.0] }',
            "schedule": 'type = "annealed"\ninitial_discriminator_steps = 3',
            "ema": "decay = { from = 0.5, to = 0.9 }",
        }
    )
    run = Path("runs/tiny/one")
    assert command("run", recipe, "--id", "one").returncode == 0
    result = command("resume", run, "train.iterations=40")
    assert result.returncode == 0
    lines = [line for line in result.stderr.splitlines() if "stretches" in line]
    assert lines == [
        "warning: optimizer.generator.lr was 0 and continues at 0.0002, "
        "optimizer.discriminator.lr was 0 and continues at 0.0002, "
        "ema.decay was 0.9 and continues at 0.5615, "
        "[schedule] ran 1 x discriminator, 1 x generator and continues with "
        "3 x discriminator, 1 x generator, as this stretches over the run: its end will not be "
        "that of a run of 40 iterations from the start"
    ]
    assert lines[0].removeprefix("warning: ") in read(run / "status.json")["warnings"]


@pytest.mark.parametrize("iterations", [1, 5, 6])
def test_what_is_not_longer(command: Command, finished_run: Path, iterations: int) -> None:
    result = command("resume", finished_run, f"train.iterations={iterations}")
    if iterations == 6:
        assert "is done: there is nothing to resume" in result.stderr
    else:
        assert result.stderr == (
            f"train.iterations={iterations} does not make {finished_run} longer\n"
            "  = it has been trained for 6 iterations\n"
        )
    assert (result.returncode, result.stdout) == (2, "")


def test_what_is_shorter_than_planned(command: Command, interrupted_run: Path) -> None:
    result = command("resume", interrupted_run, "train.iterations=5")
    assert (result.returncode, result.stderr) == (
        2,
        f"train.iterations=5 does not make {interrupted_run} longer\n"
        "  = it is to be trained for 6 iterations, and stands at 5\n",
    )
    result = command("resume", interrupted_run, "train.batch_size=5")
    assert (result.returncode, result.stderr) == (
        2,
        f"'train.batch_size=5' would change the run {interrupted_run}\n"
        "  = engine.* can be set, such as engine.device=cpu, and a larger train.iterations\n",
    )
    result = command("resume", interrupted_run, "train.iterations=many")
    assert result.returncode == 2
    assert "train.iterations" in result.stderr


def test_a_run_goes_not_back_to_its_earlier_length(command: Command, recipe: Path) -> None:
    run = Path("runs/tiny/one")
    command("run", recipe, "--id", "one")
    old = (run / "recipe.toml").read_text()
    assert command("resume", run, LONGER).returncode == 0
    (run / "recipe.toml").write_text(old)
    for words in (("resume", run), ("sample", run, "--out", "x.png")):
        result = command(*words)
        assert "is not the recipe that this run was started with" in result.stderr
    assert not list(run.rglob("*.broken"))


def test_comparisons_take_it_as_a_run_of_the_longer_recipe(
    command: Command, write_recipe: WriteRecipe
) -> None:
    file = write_recipe({"evaluate": "samples = 40\nsnapshots = 1", "extractor": 'type = "random"'})
    words = ("compare", file, "--seeds", "1", "--out", "out", "--replace")
    result = command(*words)
    assert result.returncode == 0, result.stderr
    (run,) = Path("runs/tiny").iterdir()
    assert command("resume", run, LONGER).returncode == 0
    weights = (run / "generator.safetensors").read_bytes()
    result = command(*words, LONGER)
    assert result.returncode == 0, result.stderr
    assert list(Path("runs/tiny").iterdir()) == [run]
    assert (run / "generator.safetensors").read_bytes() == weights
    # The short recipe has a run of its own again, beside the one that had its place.
    result = command(*words)
    assert result.returncode == 0, result.stderr
    assert {each.name for each in Path("runs/tiny").iterdir()} == {run.name, f"{run.name}-2"}
    assert read(Path("runs/tiny", f"{run.name}-2", "status.json"))["iteration"] == 6
