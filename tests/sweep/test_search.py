"""A search: which points are tried, which are pruned, and what is left of one that was stopped."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from here import Here

from ganzoo.comparison.jobs import Job, Outcome, run_job
from ganzoo.comparison.launchers import LAUNCHERS, Local, Outcomes
from ganzoo.errors import InterruptedRun, UserError
from ganzoo.interruption import Interrupted
from ganzoo.sweeps import search
from ganzoo.sweeps.document import SweepDocument

from .conftest import Swept

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")

RANGE = "optimizer.lr=1e-5..1e-1"
CHOICES = "regularizers.0.gamma=0.1,1"


def tried(data: SweepDocument) -> list[tuple[Any, ...]]:
    return sorted(
        (point["label"], point["state"], point["iteration"], point["value"], repr(point["summary"]))
        for point in data["points"]
    )


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """One point is enough to prune others."""
    monkeypatch.setattr(search, "PRUNED_AFTER", 1)


def test_points_of_a_range_are_tried_and_pruned(swept: Swept, eager: None) -> None:
    told: list[str] = []
    result = swept("gan.toml", RANGE, CHOICES, search=6, seeds=2, report=told.append)
    data = result.data
    assert told[0] == "6 points: at most 12 runs to their end"
    assert len(data["points"]) == 6
    for point in data["points"]:
        assert 1e-5 <= float(point["values"]["optimizer.lr"]) <= 1e-1
        assert point["values"]["regularizers.0.gamma"] in ("0.1", "1")
    states = [point["state"] for point in data["points"]]
    assert {"done", "pruned"} <= set(states)
    assert states == sorted(states, key=["done", "failed", "pruned"].index)
    pruned = data["points"][-1]
    assert (pruned["iteration"], pruned["rank"], pruned["model"]) == (4, None, None)
    assert len(data["comparison"]["models"]) == states.count("done")
    assert data["search"] == {"points": 6, "seed": 0, "shares": [0.5]}
    assert data["effects"] == data["surfaces"] == []
    # Runs of pruned points stopped where they were pruned.
    ends = [run.stem for run in sorted(Path("runs/gan").glob("*/checkpoints/*.pt"))]
    assert ends.count("000008") == 2 * states.count("done")
    page = Path("sweep/report.html").read_text()
    assert "squares were pruned" in page
    assert "pruned after iteration 4" in "\n".join(told)


def test_a_seed_fixes_a_search(swept: Swept, eager: None) -> None:
    first = swept("gan.toml", RANGE, search=5, out="first", runs="a")
    again = swept("gan.toml", RANGE, search=5, out="again", runs="b")
    assert tried(first.data) == tried(again.data)
    used = swept("gan.toml", RANGE, search=5, out="used", runs="a")  # with the runs of the first
    assert tried(first.data) == tried(used.data)
    other = swept("gan.toml", RANGE, "train.seed=1", search=5, out="other", runs="b")
    labels = [{point["label"] for point in each.data["points"]} for each in (first, other)]
    assert not labels[0] & labels[1]


@pytest.mark.parametrize("after", [1, 2, 5, 6])
def test_a_search_that_was_stopped_ends_as_one_that_was_not(
    swept: Swept, eager: None, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = swept("gan.toml", RANGE, CHOICES, search=5, out="whole", runs="whole-runs")
    count = 0

    def stop(self: Here, job: Job) -> Outcome:
        nonlocal count
        count += 1
        if count > after:
            raise Interrupted(2)
        return run_job(job)

    with monkeypatch.context() as patch:
        patch.setattr(Here, "run", stop)
        with pytest.raises(InterruptedRun, match="the sweep was stopped"):
            swept("gan.toml", RANGE, CHOICES, search=5)
    result = swept("gan.toml", RANGE, CHOICES, search=5)
    assert tried(result.data) == tried(whole.data)
    weights = [
        {file.name: file.read_bytes() for file in sorted(Path(runs).glob("gan/*/generator.s*"))}
        for runs in ("runs", "whole-runs")
    ]
    assert weights[0] == weights[1]


def test_a_larger_number_continues_a_search(swept: Swept, eager: None) -> None:
    told: list[str] = []
    first = swept("gan.toml", RANGE, search=3)
    result = swept("gan.toml", RANGE, search=5, report=told.append)
    assert "3 of them were tried before" in told
    assert set(tried(first.data)) <= set(tried(result.data))
    whole = swept("gan.toml", RANGE, search=5, out="whole", runs="whole-runs")
    assert tried(result.data) == tried(whole.data)


def test_all_points_of_a_small_space_are_tried_and_none_twice(swept: Swept) -> None:
    told: list[str] = []
    keys = ("optimizer.lr=1e-3,1e-2,1e-4", CHOICES)
    result = swept("gan.toml", *keys, search=50, report=told.append)
    assert told[0] == "there are 6 points: all of them are tried"
    assert len({point["label"] for point in result.data["points"]}) == 6


def test_combinations_that_are_no_recipe_are_passed_over(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.sweeps.points.MOST_CORNERS", 1)  # as if there were many
    keys = ("optimizer.type=sgd", "optimizer.lr=1e-3", "optimizer.nesterov=false,true")
    told: list[str] = []
    result = swept("gan.toml", *keys, "optimizer.momentum=0.9,0.5,0", search=6, report=told.append)
    assert len(result.data["points"]) == 5
    assert "no further point was found after 5" in told
    (passed,) = {line for line in told if "is passed over" in line}
    assert passed.startswith("nesterov=true, momentum=0 is passed over: ")


def test_points_that_fail_are_told_and_not_tried_again(swept: Swept, eager: None) -> None:
    keys = ("loss.diverges=false,true", "optimizer.lr=1e-3,1e-4")
    first = swept("diverging.toml", *keys, search=4, seeds=2)
    states = sorted(point["state"] for point in first.data["points"])
    assert states.count("failed") == 2
    message = first.data["points"][-1]["message"] or first.data["points"][-2]["message"]
    assert message
    again = swept("diverging.toml", *keys, search=4, seeds=2)
    assert [each[:2] for each in tried(first.data)] == [each[:2] for each in tried(again.data)]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (("evaluate.snapshots=0",), "evaluate.snapshots=5 would measure runs on the way"),
        (("evaluate.snapshots=1",), "evaluate.snapshots=5 would measure runs on the way"),
    ],
)
def test_what_cannot_be_pruned_is_told(
    swept: Swept, eager: None, keys: tuple[str, ...], reason: str
) -> None:
    told: list[str] = []
    result = swept("gan.toml", RANGE, *keys, search=3, report=told.append)
    assert f"no point is pruned: {reason}" in told
    assert [point["state"] for point in result.data["points"]] == ["done"] * 3


class TwoAtOnce(Here):
    """Says that it has room for two, as a cluster would."""

    width = 2


def test_several_points_at_once(swept: Swept, eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[set[str]] = []

    def launch(self: Here, jobs: list[Job]) -> Outcomes:
        batches.append({job.folder for job in jobs})
        return Here.launch(self, jobs)

    monkeypatch.setattr(TwoAtOnce, "launch", launch, raising=False)
    monkeypatch.setitem(LAUNCHERS, "ray", TwoAtOnce)
    result = swept("gan.toml", RANGE, search=5, seeds=2, launcher="ray")
    assert len(result.data["points"]) == 5
    assert len(batches[0]) == 4  # two points with two seeds


def test_jobs_decide_which_points_a_search_tries(
    swept: Swept, eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where somebody asks for several: a search is the same on machines with other cores."""
    with Local().opened() as alone, Local(3).opened() as several:
        assert (alone, several) == (1, 3)
    monkeypatch.setitem(LAUNCHERS, "local", TwoAtOnce)
    found = swept("gan.toml", RANGE, search=2, jobs=2).data["command"]
    assert found.startswith("ganzoo sweep gan.toml optimizer.lr=")
    assert " --jobs 2 " in found
    grid = swept("gan.toml", "optimizer.lr=1e-3,1e-2", jobs=2, out="grid").data["command"]
    assert "--jobs" not in grid


def test_optuna_is_not_installed(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError) as caught:
        swept("gan.toml", RANGE, search=3)
    assert caught.value.message == "--search needs Optuna"
    assert caught.value.hint == '`pip install "ganzoo-core[search]"`'
    assert not Path("sweep").exists()


def test_a_study_that_is_damaged(swept: Swept) -> None:
    Path("sweep").mkdir()
    Path("sweep/study.db").write_text("no database, but a text that is long enough to be read" * 9)
    with pytest.raises(UserError) as caught:
        swept("gan.toml", RANGE, search=3)
    assert caught.value.message.startswith("the study sweep/study.db cannot be opened: ")
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("delete it, or --out names another folder")


def test_a_changed_recipe_is_searched_anew(swept: Swept) -> None:
    swept("gan.toml", RANGE, search=2)
    text = Path("gan.toml").read_text()
    Path("gan.toml").write_text(text.replace("hidden = [16]", "hidden = [8]"))
    shutil.rmtree("runs")
    told: list[str] = []
    swept("gan.toml", RANGE, search=2, report=told.append)
    assert not [line for line in told if "tried before" in line]
