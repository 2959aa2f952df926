"""A sweep of a grid: its runs, what is written of them, and what is used again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from here import Here

import ganzoo
from ganzoo import load_recipe, records
from ganzoo.comparison import Budget
from ganzoo.comparison.jobs import Job, Outcome, run_job
from ganzoo.errors import InterruptedRun, RunError, UserError
from ganzoo.interruption import Interrupted
from ganzoo.sweeps.document import SweepDocument

from .conftest import GAN, Swept

KEYS = ("optimizer.lr=1e-3,1e-2", "regularizers.0.gamma=0.1,1")


def all_runs() -> list[Path]:
    return sorted(Path("runs").glob("*/*"))


def test_a_grid_is_trained_ranked_and_written(swept: Swept) -> None:
    told: list[str] = []
    result = swept("gan.toml", *KEYS, seeds=2, report=told.append)
    assert told[0] == "4 points with 2 seeds each: 8 runs"
    assert len(all_runs()) == 8
    data = records.read_json(Path("sweep/sweep.json"), SweepDocument)  # it is what it says it is
    assert data["metric"] == "test-mean"
    assert sorted(point["rank"] for point in data["points"]) == [1, 2, 3, 4]
    means = [point["summary"]["mean"] for point in data["points"]]
    assert means == sorted(means)
    for point in data["points"]:
        model = data["comparison"]["models"][point["model"]]
        assert model["label"] == point["label"]
        assert model["recipe"]["optimizer"]["generator"]["lr"] == float(
            point["values"]["optimizer.lr"]
        )
        assert point["summary"]["seeds"] == 2
        assert Path(point["picture"]).is_file()
    assert [len(effect["levels"]) for effect in data["effects"]] == [2, 2]
    assert len(data["surfaces"]) == 1

    assert result.best == Path("sweep/best.toml")
    best = load_recipe(result.best)
    assert best.optimizers["generator"].lr == float(data["points"][0]["values"]["optimizer.lr"])
    assert tomllib.loads(result.best.read_text())["extends"] == "../gan.toml"
    page, text = (Path("sweep", name).read_text() for name in ("report.html", "sweep.md"))
    for point in data["points"]:
        assert point["label"] in page
    assert "| rank | optimizer.lr | regularizers.0.gamma | Test mean ↓ |" in text

    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*.pt")}
    told.clear()
    again = swept("gan.toml", *KEYS, seeds=2, report=told.append)
    assert told[0] == "4 points with 2 seeds each: 8 runs, of which 8 are done already"
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*.pt")} == before
    assert again.data["points"] == result.data["points"]

    # A comparison knows the runs as well.
    chosen = ganzoo.compare("gan.toml", overrides=["optimizer.lr=1e-2"], seeds=2, out="compared")
    assert len(all_runs()) == 8
    assert chosen.data["models"][0]["runs"][0]["path"] in map(str, all_runs())


def test_a_sweep_may_grow(swept: Swept) -> None:
    swept("gan.toml", "optimizer.lr=1e-3,1e-2")
    told: list[str] = []
    swept("gan.toml", "optimizer.lr=1e-3,1e-2,1e-4", seeds=1, report=told.append)
    assert told[0] == "3 points with 1 seed: 3 runs, of which 2 are done already"


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        (("ema.decay=0,0.5",), {}),
        (("optimizer.lr=1e-3,1e-2", "ema.decay=0.5"), {}),
        (("optimizer.lr=1e-3,1e-2",), {"metric": "grey"}),
        (("optimizer.lr=1e-3,1e-2",), {"budget": Budget("iterations", 3)}),
        (("optimizer.lr=1e-3,1e-2",), {"search": 2}),
    ],
)
def test_another_sweep_is_not_replaced(
    swept: Swept, keys: tuple[str, ...], options: dict[str, Any]
) -> None:
    swept("gan.toml", "optimizer.lr=1e-3,1e-2")
    before = Path("sweep/sweep.json").read_bytes()
    options = {"metric": "test-mean/grey"} if options.get("metric") else options
    with pytest.raises(UserError) as caught:
        swept("gan.toml", *keys, **options)
    assert caught.value.message == "sweep holds another sweep: gan by lr"
    assert caught.value.hint == (
        "--out names another folder; --replace gives up the one that is there"
    )
    assert Path("sweep/sweep.json").read_bytes() == before
    swept("gan.toml", *keys, **options, replace=True)
    assert Path("sweep/sweep.json").read_bytes() != before


def test_equal_points_are_made_once(swept: Swept) -> None:
    told: list[str] = []
    result = swept("gan.toml", "optimizer.lr=1e-3,0.001,1e-2", report=told.append)
    assert told[0] == "lr=0.001 trains the same model as lr=1e-3: it is made once"
    assert len(result.data["points"]) == len(all_runs()) == 2
    (effect,) = result.data["effects"]
    assert [level["value"] for level in effect["levels"]] == ["1e-3", "1e-2"]


def test_a_point_that_fails_has_no_rank(swept: Swept) -> None:
    keys = ("loss.diverges=false,true", "optimizer.lr=1e-3,1e-4")
    result = swept("diverging.toml", *keys)
    states = [(point["values"]["loss.diverges"], point["state"]) for point in result.data["points"]]
    assert states == [("false", "done")] * 2 + [("true", "failed")] * 2
    failed = result.data["points"][-1]
    assert (failed["rank"], failed["summary"]) == (None, None)
    assert "seed 0: " in failed["message"]
    page = Path("sweep/report.html").read_text()
    assert f"{failed['label']} failed: seed 0: " in page
    # The effect of the learning rate is that of the points which have a counterpart.
    assert [effect["key"] for effect in result.data["effects"]] == ["optimizer.lr"]


def test_where_every_point_fails(swept: Swept) -> None:
    with pytest.raises(RunError, match="every run failed"):
        swept("diverging.toml", "optimizer.lr=1e-3,1e-4")


def test_the_metric_may_be_chosen_and_higher_may_be_better(swept: Swept) -> None:
    result = swept("gan.toml", "optimizer.lr=1e-3,1e-2", metric="test-mean/grey")
    assert (result.data["metric"], result.data["better"]) == ("test-mean/grey", "higher")
    first, second = (point["summary"]["mean"] for point in result.data["points"])
    assert first > second
    assert " --metric test-mean/grey " in result.data["command"]


def test_a_budget(swept: Swept) -> None:
    result = swept("gan.toml", "optimizer.lr=1e-3,1e-2", budget=Budget("iterations", 3), seeds=1)
    assert load_recipe(result.best or "").train.iterations == 3
    assert {run.parent.name for run in Path("runs").glob("gan/*/status.json")}
    assert all(
        json.loads((run / "status.json").read_text())["iteration"] == 3 for run in all_runs()
    )


def test_a_sweep_that_was_stopped_goes_on(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Job] = []

    def stop(self: Here, job: Job) -> Outcome:
        started.append(job)
        if len(started) == 2:
            raise Interrupted(15)
        return run_job(job)

    with monkeypatch.context() as patch:
        patch.setattr(Here, "run", stop)
        with pytest.raises(InterruptedRun) as caught:
            swept("gan.toml", "optimizer.lr=1e-3,1e-2", seeds=1)
    assert caught.value.message == "the sweep was stopped"
    assert caught.value.exit_code == 143
    assert caught.value.hint == (
        "`ganzoo sweep gan.toml optimizer.lr=1e-3,1e-2 --seeds 1 --runs runs --out sweep` "
        "resumes it from the runs' checkpoints"
    )
    told: list[str] = []
    swept("gan.toml", "optimizer.lr=1e-3,1e-2", seeds=1, report=told.append)
    assert told[0].endswith("2 runs, of which 1 is done already")


def test_a_damaged_document_is_told(swept: Swept) -> None:
    Path("sweep").mkdir()
    Path("sweep/sweep.json").write_text('{"format": 1}')
    with pytest.raises(RunError, match=r"sweep/sweep\.json is damaged"):
        swept("gan.toml", "optimizer.lr=1e-3,1e-2")


def test_the_best_recipe_is_not_swept_over(swept: Swept) -> None:
    """A folder of a comparison may hold a sweep as well, but no sweep of the sweep's result."""
    swept("gan.toml", "optimizer.lr=1e-3,1e-2")
    with pytest.raises(UserError, match="sweep holds another sweep"):
        swept("sweep/best.toml", "optimizer.lr=1e-3,1e-2")
    assert "[{ type" not in GAN.replace(" ", "")
    swept("sweep/best.toml", "ema.decay=0,0.5", out="next")
    assert load_recipe("next/best.toml").name == "gan-best-best"
