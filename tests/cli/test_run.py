"""`ganzoo run`: its output and its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import ganzoo

Command = Callable[..., CompletedProcess[str]]

FILES = {
    *(".lock", "recipe.toml", "environment.json", "status.json"),
    *("statistics.jsonl", "timing.jsonl", "tensorboard"),
    *("samples/000000.png", "samples/000002.png", "samples/000004.png", "samples/000006.png"),
    *("checkpoints/000004.pt", "checkpoints/000006.pt"),
    *(f"snapshots/00000{iteration}.safetensors" for iteration in (1, 2, 3, 4, 6)),
    *("generator.safetensors", "discriminator.safetensors"),
}
"""The files of a run: pictures at 0 and every 2, the newest two checkpoints."""

DETERMINED = ("recipe.toml", "statistics.jsonl", "generator.safetensors", "samples/000006.png")
"""Files that are the same bytes whenever the same recipe is run."""


def found_files(run: Path) -> set[str]:
    """Files of a run, relative to it; TensorBoard's event files count as their folder."""
    names = {file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file()}
    return {"tensorboard" if name.startswith("tensorboard/") else name for name in names}


def test_stdout_is_the_run_folder(finished: CompletedProcess[str], finished_run: Path) -> None:
    assert finished.returncode == 0
    assert finished.stdout == f"{finished_run}\n"
    assert finished_run.parent.name == "tiny"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", finished_run.name)


def test_stderr_has_a_line_for_each_logging_interval(finished: CompletedProcess[str]) -> None:
    first, *rest = finished.stderr.splitlines()
    assert first.startswith("tiny: 6 iterations of batch 16 on ")
    assert "generator 1.2k, discriminator 1.1k" in first
    speed = r"[\d.]+ it/s  \d+ img/s  \d+ s left  "
    means = r"d/real [\d.]+  d/fake [\d.]+  .*g/loss [\d.]+"
    *rest, picture, following = rest
    assert picture.startswith("samples: ")
    assert Path(picture.removeprefix("samples: ")).name == "000006.png"
    assert re.fullmatch(r"next: ganzoo sample \S+ --out samples.png", following)
    assert len(rest) == 3
    for iteration, line in zip((2, 4, 6), rest, strict=True):
        assert re.fullmatch(rf"{iteration}/6  {speed}{means}", line)


def test_run_folder_holds_these_files_and_no_others(finished_run: Path) -> None:
    assert found_files(finished_run) == FILES


def test_status_says_how_far_it_came(finished_run: Path) -> None:
    status = json.loads((finished_run / "status.json").read_text())
    assert status.pop("seconds") > 0
    assert status.pop("peak_memory_mb") > 50
    assert status == {
        "state": "done",
        "iteration": 6,
        "iterations": 6,
        "images": 96,
        "steps": {"discriminator": 6, "generator": 6},
    }


def test_statistics_have_a_row_for_each_logging_interval(finished_run: Path) -> None:
    rows = [json.loads(line) for line in (finished_run / "statistics.jsonl").open()]
    assert [(row["iteration"], row["images"]) for row in rows] == [(2, 32), (4, 64), (6, 96)]
    for row in rows:
        assert {"discriminator/real", "discriminator/fake", "generator/loss"} <= set(
            row["statistics"]
        )
    timing = [json.loads(line) for line in (finished_run / "timing.jsonl").open()]
    assert [row["iteration"] for row in timing] == [2, 4, 6]


def test_environment_names_versions_device_and_fingerprint(finished_run: Path) -> None:
    environment = json.loads((finished_run / "environment.json").read_text())
    assert set(environment["plugins"]) == {"ganzoo-core", "ganzoo-mlp", "ganzoo-data"}
    assert set(environment["choices"]) >= {"device", "precision", "memory_format"}
    assert {"python", "torch", "ganzoo", "device_name", "git_commit"} <= set(environment)
    recipe = ganzoo.load_recipe(finished_run / "recipe.toml")
    assert environment["fingerprint"] == recipe.fingerprint


def test_weights_have_plain_names_and_pictures_can_be_read(finished_run: Path) -> None:
    weights = load_file(finished_run / "generator.safetensors")
    assert sum(value.size for value in weights.values()) == (4 + 1) * 16 + (16 + 1) * 64
    assert not [name for name in weights if "module." in name or "_orig_mod" in name]
    with Image.open(finished_run / "samples" / "000006.png") as picture:
        assert np.asarray(picture).std() > 0


def test_running_the_run_s_recipe_again_is_the_same_run(
    command: Command, finished_run: Path
) -> None:
    result = command("run", finished_run / "recipe.toml", "--runs", "again", "--id", "twin")
    twin = Path(result.stdout.strip())
    assert twin == Path("again/tiny/twin")
    fingerprints = [
        json.loads((run / "environment.json").read_text())["fingerprint"]
        for run in (finished_run, twin)
    ]
    assert fingerprints[0] == fingerprints[1]
    for name in DETERMINED:
        assert (twin / name).read_bytes() == (finished_run / name).read_bytes(), name


def test_overrides_change_the_recipe_of_the_run(command: Command, recipe: Path) -> None:
    result = command("run", recipe, "train.iterations=2", "loss.type=minimax", "--id", "short")
    assert (result.returncode, result.stdout) == (0, "runs/tiny/short\n")
    changed = ganzoo.load_recipe("runs/tiny/short/recipe.toml")
    assert (changed.train.iterations, changed.loss.name) == (2, "minimax")


def test_values_go_to_stderr_and_into_evaluation_json(command: Command, points: Path) -> None:
    result = command("run", points, "--id", "measured")
    assert (result.returncode, result.stdout) == (0, "runs/tiny/measured\n")
    names = re.findall(r"^(modes\S*) \S+$", result.stderr, re.MULTILINE)
    assert names == ["modes/covered", "modes/high-quality", "modes/kl"]
    evaluation = json.loads(Path("runs/tiny/measured/evaluation.json").read_text())
    assert list(evaluation["values"]) == names
    assert (evaluation["generated"], evaluation["real_from"]) == (50, "held out")


def test_a_wrong_recipe_makes_no_run_folder(command: Command, recipe: Path) -> None:
    result = command("run", recipe, "loss.type=minmax")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "command line: loss.type: no loss is called 'minmax'\n"
        "    loss.type=minmax\n"
        "      = did you mean 'minimax'?\n"
        "1 problem; nothing was run\n"
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize("override", ["train.iterations", "train.seed=[1", "train..seed=1"])
def test_overrides_that_cannot_be_read(command: Command, recipe: Path, override: str) -> None:
    result = command("run", recipe, override)
    assert result.returncode == 2
    assert result.stderr.startswith("command line: ")
    assert override in result.stderr
    assert "nothing was run" in result.stderr


def test_a_run_folder_that_exists_is_left_alone(command: Command, recipe: Path) -> None:
    folder = Path("runs/tiny/first")
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text("mine")
    result = command("run", recipe, "--id", "first")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"the run folder {folder} exists already\n"
        f"  = `ganzoo resume {folder}` continues it; another --id starts a new one\n"
    )
    assert [file.name for file in folder.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("identity", ["../elsewhere", "a/b", ".hidden", "two words"])
def test_an_identity_that_is_no_name_of_a_folder(
    command: Command, recipe: Path, identity: str
) -> None:
    result = command("run", recipe, "--id", identity)
    assert result.returncode == 2
    assert result.stderr == (
        f"'{identity}' cannot name a run\n  = letters, digits, '.', '_' and '-' can\n"
    )


def test_a_runs_folder_that_cannot_be_made(command: Command, recipe: Path) -> None:
    Path("taken").write_text("a file")
    result = command("run", recipe, "--runs", "taken", "--id", "first")
    assert result.returncode == 2
    assert result.stderr == "no run folder can be made at taken/tiny/first: Not a directory\n"


def test_a_component_that_raises_leaves_its_traceback_in_the_run_folder(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(*arguments: object) -> None:
        raise ValueError("these [bold]words[/bold] are [/mine]")

    monkeypatch.setattr("ganzoo.builtin.adversarial.AdversarialLoss.compute", compute)
    result = command("run", recipe, "--id", "broken")
    assert (result.returncode, result.stdout) == (1, "")
    message = "ValueError: these [bold]words[/bold] are [/mine]"
    assert f"the run failed: {message} ({__file__}:" in result.stderr
    assert result.stderr.endswith("  = the traceback is in runs/tiny/broken/traceback.txt\n")
    assert "Traceback" in Path("runs/tiny/broken/traceback.txt").read_text()
    status = json.loads(Path("runs/tiny/broken/status.json").read_text())
    assert status["state"] == "failed"
    assert status["message"].startswith(message)


def test_a_metric_that_is_left_out_is_named_before_and_after(
    command: Command, recipe: Path
) -> None:
    result = command("run", recipe, "evaluate.samples=1", 'metrics=[{type="fid"}]', "--id", "one")
    assert result.returncode == 0
    reason = "it needs 2 generated samples, and there are 1"
    assert "it needs 2 samples and is left out: evaluate.samples = 1" in result.stderr
    assert f"metric 'fid' is left out: {reason}" in result.stderr


def test_fewer_samples_than_a_batch_are_told_before_training(
    command: Command, recipe: Path
) -> None:
    result = command("run", recipe, "train.batch_size=1600", "train.iterations=1")
    assert result.returncode == 0
    assert "a batch of 1600 is more than the 1500 samples there are to train on" in result.stderr


def test_a_value_that_is_no_number_is_shown(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = "ganzoo_metrics.distances.FrechetDistance.measure"
    monkeypatch.setattr(compute, lambda *arguments: {"fid": float("nan")})
    result = command("run", recipe, "evaluate.samples=9", 'metrics=[{type="fid"}]', "--id", "one")
    assert result.returncode == 0
    assert re.search(r"^fid\[.*\] nan$", result.stderr, re.M)
    assert '"fid[' in Path("runs/tiny/one/evaluation.json").read_text()


def test_measuring_that_fails_leaves_the_run_done(
    command: Command, points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*arguments: object, **named: object) -> None:
        raise ValueError("no such mode")

    monkeypatch.setattr("ganzoo.evaluation.measure.measure", measure)
    result = command("run", points, "--id", "one")
    assert (result.returncode, result.stdout) == (1, "")
    assert "runs/tiny/one is trained, but measuring it failed: ValueError: no such" in result.stderr
    assert result.stderr.endswith("  = the traceback is in runs/tiny/one/traceback.txt\n")
    assert "no such mode" in Path("runs/tiny/one/traceback.txt").read_text()
    assert json.loads(Path("runs/tiny/one/status.json").read_text())["state"] == "done"


def test_a_run_that_diverges_says_what_may_help(command: Command, recipe: Path) -> None:
    result = command("run", recipe, 'optimizer={type="sgd",lr=1e30}', "--id", "far")
    assert (result.returncode, result.stdout) == (1, "")
    assert re.search(
        r"^numbers that are not finite came up in iterations 1 to \d: ", result.stderr, re.M
    )
    assert "a lower learning rate" in result.stderr
    assert json.loads(Path("runs/tiny/far/status.json").read_text())["state"] == "failed"


def test_a_run_that_cannot_begin_leaves_no_folder(command: Command, recipe: Path) -> None:
    """The name stays free for the run that will be right."""
    result = command("run", recipe, "data.type=mnist", "data.download=false", "--id", "mine")
    assert result.returncode == 2
    assert not (Path("runs") / "tiny" / "mine").exists()
    assert command("run", recipe, "--id", "mine").returncode == 0
