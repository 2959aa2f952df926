"""`ganzoo runs`: what there is, in what two differ, and what can go."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from filelock import FileLock

import ganzoo
from ganzoo.cli.runs import age, amount
from ganzoo.runs import RunFolder

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

LONG = ("train.iterations=8", "checkpoint.every=2", "checkpoint.keep=4")


@pytest.fixture
def two_runs(command: Command, points: Path) -> list[RunFolder]:
    """Two runs of one recipe, the second one longer."""
    ran = [command("run", points), command("run", points, *LONG)]
    return [RunFolder(Path(each.stdout.strip())) for each in ran]


def test_each_run_has_a_line(command: Command, two_runs: list[RunFolder]) -> None:
    result = command("runs")
    assert (result.returncode, result.stderr) == (0, "")
    head, *lines = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]
    assert head == [
        *("run", "state", "age", "iterations", "headline", "warnings", "size"),
        "differs from the recipe",
    ]
    assert [line[0] for line in lines] == ["tiny@-2", "tiny@-1"]
    assert [line[1] for line in lines] == ["done", "done"]
    assert [line[3] for line in lines] == ["6/6", "8/8"]
    assert all(line[4].startswith("modes/covered ") for line in lines)


def test_programs_read_json(command: Command, two_runs: list[RunFolder]) -> None:
    first, second = json.loads(command("runs", "--json").stdout)
    assert first["path"] == str(two_runs[0].path)
    assert second["iterations"] == 8
    assert second["bytes"] > first["bytes"] > 10_000
    assert second["headline"]["name"] == "modes/covered"
    assert second["changes"] is None  # no recipe called tiny ships
    begun = datetime.fromisoformat(second["begun"])
    assert timedelta() <= datetime.now(UTC) - begun < timedelta(minutes=5)


def test_changes_of_a_shipped_recipe_are_shown(command: Command) -> None:
    quick = ("train.iterations=2", "evaluate.samples=20", "train.seed=3", "log.samples=4")
    command("run", "ring-mlp-gan", *quick)
    (row,) = json.loads(command("runs", "--json").stdout)
    shipped = ganzoo.load_recipe("ring-mlp-gan")
    assert row["changes"] == {
        "train.iterations": [2, 8000],
        "train.seed": [3, 0],
        "log.samples": [4, shipped.log.samples],
        "evaluate.samples": [20, 2500],
    }
    line = command("runs").stdout.splitlines()[1]
    assert line.rstrip().endswith(", and 1 more")
    assert "train.iterations=2, train.seed=3" in line


def test_signs_that_training_went_wrong_are_named(
    command: Command, two_runs: list[RunFolder]
) -> None:
    row = {"iteration": 2, "name": "samples-alike", "text": "they are"}
    two_runs[0].warnings.write_text(json.dumps(row) + "\n")
    rows = json.loads(command("runs", "--json").stdout)
    assert [each["warnings"] for each in rows] == [["samples-alike"], []]
    assert "  samples-alike  " in command("runs").stdout.splitlines()[1]


def test_a_damaged_run_stops_no_list(command: Command, two_runs: list[RunFolder]) -> None:
    two_runs[0].status.write_text("{")
    rows = json.loads(command("runs", "--json").stdout)
    assert [row["state"] for row in rows] == ["damaged", "done"]


def test_a_headline_that_is_no_number_is_null_for_programs(
    command: Command, two_runs: list[RunFolder]
) -> None:
    file = two_runs[0].evaluation
    measures = json.loads(file.read_text())
    measures["values"]["modes/covered"] = None
    file.write_text(json.dumps(measures))
    row, _ = json.loads(command("runs", "--json").stdout)
    assert row["headline"] == {"name": "modes/covered", "value": None}
    assert "modes/covered nan" in command("runs").stdout


def test_where_there_are_none(command: Command) -> None:
    result = command("runs")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "there are no runs in runs: `ganzoo run RECIPE` makes one\n"
    assert json.loads(command("runs", "--json").stdout) == []


def test_in_what_two_runs_differ(command: Command, two_runs: list[RunFolder]) -> None:
    result = command("runs", "diff", "tiny@-2", "latest")
    _, *lines = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]
    assert ["train.iterations", "6", "8"] in lines
    assert ["checkpoint.keep", "2", "4"] in lines
    assert len(lines) == 2
    same = command("runs", "diff", "latest", "latest")
    assert (same.returncode, same.stdout) == (0, "")
    assert "made from one recipe" in same.stderr


class TestPruning:
    def test_it_says_what_it_would_free_and_asks(
        self, command: Command, two_runs: list[RunFolder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = two_runs[1]
        broken = run.path / "generator.safetensors.broken"
        broken.write_bytes(b"x")
        monkeypatch.setattr("typer.confirm", lambda *text, **options: False)
        result = command("runs", "prune")
        assert result.returncode == 1
        assert f"{run.path}: 4 files, " in result.stdout
        assert [int(each.stem) for each in run.checkpoints()] == [8, 6, 4, 2]
        assert command("runs", "prune", "--yes").returncode == 0
        assert [int(each.stem) for each in run.checkpoints()] == [8]
        assert not broken.exists()
        assert command("sample", "latest", "--out", "a.npy").returncode == 0
        assert command("runs", "prune", "--yes").stderr == "there is nothing to remove\n"

    def test_the_last_checkpoint_goes_only_of_runs_that_are_done(
        self, command: Command, two_runs: list[RunFolder], interrupted_run: Path
    ) -> None:
        command("runs", "prune", "--last", "--yes")
        command("runs", "prune", interrupted_run, "--last", "--yes")
        assert [each.checkpoints() for each in two_runs] == [[], []]
        assert [int(each.stem) for each in RunFolder(interrupted_run).checkpoints()] == [5]
        assert command("resume", interrupted_run).returncode == 0

    def test_the_newest_checkpoint_that_is_whole_stays(
        self, command: Command, two_runs: list[RunFolder]
    ) -> None:
        run = two_runs[1]
        newest = run.checkpoints()[0]
        newest.write_bytes(newest.read_bytes()[:-9])
        command("runs", "prune", "--yes")
        assert [int(each.stem) for each in run.checkpoints()] == [8, 6]
        (run.path / "generator.safetensors").unlink()
        assert command("resume", run.path).returncode == 0

    def test_where_no_checkpoint_is_whole_all_stay(
        self, command: Command, two_runs: list[RunFolder]
    ) -> None:
        run = two_runs[1]
        for file in run.checkpoints():
            file.write_bytes(b"")
        command("runs", "prune", "--yes")
        assert len(run.checkpoints()) == 4

    def test_a_run_that_trains_again_before_the_answer_is_left_alone(
        self, command: Command, two_runs: list[RunFolder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock = FileLock(two_runs[1].lock)
        monkeypatch.setattr("typer.confirm", lambda *text, **options: bool(lock.acquire()))
        result = command("runs", "prune", "latest")
        lock.release()
        assert (result.returncode, len(two_runs[1].checkpoints())) == (2, 4)
        assert result.stderr.endswith("is in training: nothing of it can go\n")

    def test_a_damaged_run_stops_no_other(
        self, command: Command, two_runs: list[RunFolder]
    ) -> None:
        two_runs[0].status.write_text("{")
        result = command("runs", "prune", "--yes")
        assert result.returncode == 0
        assert result.stderr.startswith(f"warning: {two_runs[0].path} is passed over: ")
        assert len(two_runs[1].checkpoints()) == 1
        assert command("runs", "prune", two_runs[0].path, "--yes").returncode == 1

    def test_a_run_in_training_keeps_everything(
        self, command: Command, two_runs: list[RunFolder]
    ) -> None:
        with FileLock(two_runs[1].lock):
            command("runs", "prune", "--yes")
            result = command("runs", "prune", "latest", "--yes")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"{two_runs[1].path} is in training: nothing of it can go\n"
        assert len(two_runs[1].checkpoints()) == 4


def test_ages_and_amounts_are_short() -> None:
    now = datetime.now(UTC)
    ages = [age(now - timedelta(seconds=each)) for each in (5, 300, 7300, 180_000)]
    assert ages == ["5 s", "5 min", "2 h", "2 d"]
    assert [amount(each) for each in (1, 2048, 5 << 20, 3 << 30)] == [
        *("1 B", "2 KiB", "5 MiB", "3.0 GiB")
    ]
