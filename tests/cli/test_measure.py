"""`ganzoo measure`: metrics of runs that are done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from ganzoo.unfinished import new_file

Command = Callable[..., CompletedProcess[str]]

FEW = "evaluate.samples=30"


@pytest.fixture
def run(command: Command, points: Path) -> Path:
    """A run of points that was measured by `modes`, at three snapshots."""
    result = command("run", points, "--id", "one", "evaluate.snapshots=3")
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


@pytest.fixture
def digits(command: Command, recipe: Path) -> Path:
    """A run of digits whose recipe names no metrics, with two snapshots."""
    result = command("run", recipe, "--id", "one", "evaluate.snapshots=2", FEW)
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def evaluation(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return found


def test_the_recipes_own_metrics_give_what_they_gave(command: Command, run: Path) -> None:
    before = (run / "evaluation.json").read_bytes()
    result = command("measure", run)
    assert (result.returncode, result.stdout) == (0, f"{run}\n")
    assert result.stderr.splitlines()[0].startswith("modes/covered ")
    assert (run / "evaluation.json").read_bytes() == before


def test_metrics_that_the_recipe_does_not_name(command: Command, digits: Path) -> None:
    result = command("measure", digits, "sharpness")
    assert (result.returncode, result.stdout) == (0, f"{digits}\n")
    assert result.stderr.startswith("sharpness ")
    first = evaluation(digits)
    assert [row["iteration"] for row in first["history"]] == [3, 6]
    result = command("measure", digits, "nearest", "ganzoo-metrics:nearest", "engine.device=cpu")
    assert result.returncode == 0
    both = evaluation(digits)
    assert next(iter(both["values"])) == "sharpness"
    assert {name.partition("/")[0] for name in both["values"]} == {"sharpness", "nearest"}
    assert both["history"][0]["values"].keys() == both["values"].keys()
    assert both["values"].items() >= first["values"].items()
    assert first["best"].items() <= both["best"].items()


def test_values_come_in_the_recipes_order_and_are_replaced(command: Command, run: Path) -> None:
    kept = evaluation(run)
    stale = {**kept, "values": {"other": 1.0, **kept["values"], "modes/covered": -1.0}}
    stale["history"][-1]["values"] |= {"other": 1.0}
    stale["left_out"] = {"another": "it failed"}
    (run / "evaluation.json").write_text(json.dumps(stale))
    assert command("measure", run, "modes").returncode == 0
    now = evaluation(run)
    assert now["values"] == {**kept["values"], "other": 1.0}
    assert list(now["values"])[-1] == "other"
    assert now["history"][-1]["values"]["other"] == 1.0
    assert now["left_out"] == {"another": "it failed"}


def test_what_was_measured_in_another_way_is_replaced(command: Command, digits: Path) -> None:
    assert command("measure", digits, "sharpness").returncode == 0
    result = command("measure", digits, "nearest", "evaluate.samples=40")
    assert result.returncode == 0
    assert result.stderr.startswith(
        f"warning: the values in {digits}/evaluation.json were measured in another way "
        "(generated samples 30, now 40): those of now replace them all\n"
    )
    assert {name.partition("/")[0] for name in evaluation(digits)["values"]} == {"nearest"}


def test_features_of_two_extractors_are_never_mixed(command: Command, digits: Path) -> None:
    for metric in ("fid", "sharpness"):
        assert command("measure", digits, metric, "extractor.type=random").returncode == 0
    names = list(evaluation(digits)["values"])
    assert names[0].startswith("fid[random")
    assert names[-2:] == ["sharpness", "sharpness/relative"]
    assert evaluation(digits)["extractor"]["type"] == "random"
    result = command("measure", digits, "kid", "extractor.type=identity")
    assert "measured in another way (extractor random" in result.stderr
    assert {name.partition("[")[0].partition("/")[0] for name in evaluation(digits)["values"]} == {
        "kid"
    }


def test_a_metric_that_fails_leaves_its_value(
    command: Command, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("measure", digits, "fid", "sharpness", "extractor.type=random").returncode == 0
    before = evaluation(digits)
    compute = "ganzoo_metrics.distances.FrechetDistance.measure"
    monkeypatch.setattr(compute, lambda *arguments: 1 / 0)
    result = command("measure", digits, "fid", "extractor.type=random")
    assert result.returncode == 0
    assert "warning: metric 'fid' is left out: it failed: ZeroDivisionError" in result.stderr
    assert evaluation(digits) == before


def test_what_cannot_be_measured(command: Command, digits: Path) -> None:
    result = command("measure", digits, "sharpnes")
    assert (result.returncode, result.stderr) == (
        2,
        "no metric is called 'sharpnes'\n  = did you mean 'sharpness'?\n",
    )
    result = command("measure", digits)
    assert (result.returncode, result.stderr) == (
        2,
        f"the recipe of {digits} names no metrics\n"
        "  = name some, as `ganzoo components metric` lists them\n",
    )
    result = command("measure", digits, "sharpness", "train.seed=1")
    assert (result.returncode, result.stderr) == (
        2,
        f"'train.seed=1' would change the run {digits}\n"
        "  = evaluate.*, extractor.* and engine.* say how it is measured\n",
    )
    result = command("measure", digits, "sharpness", "evaluate.snapshots=9")
    assert (result.returncode, result.stderr) == (
        2,
        "'evaluate.snapshots=9' cannot be set for a run that is trained\n"
        f"  = {digits} is measured at the snapshots that it kept\n",
    )
    result = command("measure", f"{digits}@3", "sharpness")
    assert (result.returncode, result.stderr.partition(",")[0]) == (2, "'@3' names a snapshot")
    result = command("measure", digits, "reconstruction-error")
    assert result.returncode == 2
    assert "reconstruction-error" in result.stderr
    assert not (digits / "evaluation.json").exists()


def test_a_run_that_is_not_done(command: Command, interrupted_run: Path) -> None:
    result = command("measure", interrupted_run, "sharpness")
    assert (result.returncode, result.stderr) == (
        2,
        f"{interrupted_run} is interrupted: only a run that is done can be measured\n"
        f"  = `ganzoo resume {interrupted_run}` finishes it\n",
    )
    status = interrupted_run / "status.json"
    status.write_text(status.read_text().replace('"interrupted"', '"running"'))
    (interrupted_run / ".lock").unlink(missing_ok=True)
    with new_file(interrupted_run / ".lock"):
        result = command("measure", interrupted_run, "sharpness")
    assert (result.returncode, result.stderr) == (
        2,
        f"{interrupted_run} is running: only a run that is done can be measured\n"
        "  = wait for its end\n",
    )
