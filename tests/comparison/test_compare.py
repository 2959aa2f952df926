"""Which runs a comparison takes, resumes and makes, and the command that repeats it."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from here import Here

from ganzoo import load_recipe, open_run, train
from ganzoo.comparison import Budget, Comparison, drawn
from ganzoo.comparison.entrants import place
from ganzoo.comparison.jobs import Job, Outcome, known_data, run_job
from ganzoo.data import DataDescription
from ganzoo.errors import InterruptedRun, UserError
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.records import write_text
from ganzoo.runs import create_run_folder

from .conftest import paths

Compare = Callable[..., Comparison]


def runs_of(name: str) -> list[Path]:
    return sorted(Path("runs", name).iterdir())


# Which runs are taken.


def test_a_run_that_fits_is_taken_and_not_repeated(compared: Compare, trained: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in trained.glob("*.safetensors")}
    assert len(before) == 2
    comparison = compared("gan.toml", seeds=2)
    first, second = paths(comparison)
    assert first == str(trained)
    assert runs_of("gan") == [trained, Path(second)]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert paths(compared("gan.toml", seeds=2)) == [first, second]
    assert len(runs_of("gan")) == 2


def test_a_run_of_another_recipe_is_not_taken(compared: Compare, trained: Path) -> None:
    for override in ("train.batch_size=8", "optimizer.lr=2e-3", "train.seed=1"):
        (path,) = paths(compared("gan.toml", overrides=[override]))
        assert path != str(trained)
    assert len(runs_of("gan")) == 4


@pytest.mark.parametrize(
    "override",
    [
        *("summary='other words'", "log.samples=9", "log.every=5", "checkpoint.every=3"),
        *("evaluate.samples=9", "evaluate.snapshots=5", "extractor.type=identity"),
        *('metrics=[{type="test-slow"}]', "engine.device=cpu"),
    ],
)
def test_nothing_is_trained_again_for_what_decides_no_weight(
    compared: Compare, trained: Path, override: str
) -> None:
    assert paths(compared("gan.toml", overrides=[override])) == [str(trained)]
    assert runs_of("gan") == [trained]


def test_a_run_made_with_other_versions_is_not_taken(compared: Compare, trained: Path) -> None:
    environment = json.loads((trained / "environment.json").read_text())
    environment["plugins"]["ganzoo-mlp"] = "0.0.9"
    (trained / "environment.json").write_text(json.dumps(environment))
    (path,) = paths(compared("gan.toml"))
    assert path != str(trained)


def test_other_versions_have_other_folders(
    compared: Compare, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("gan.toml")
    first = place(recipe, folder, "data")
    assert place(recipe, folder, "data") == first
    assert place(recipe, folder, "other data") != first
    assert first.name.startswith("seed-0-")
    assert place(recipe.changed(train={"seed": 3}), folder, "data").name.startswith("seed-3-")
    monkeypatch.setattr(
        "ganzoo.engine.environment.versions", lambda plugins: {"ganzoo-mlp": "0.0.9"}
    )
    assert place(recipe, folder, "data") != first


def test_a_run_on_other_data_is_not_taken(compared: Compare, trained: Path) -> None:
    environment = json.loads((trained / "environment.json").read_text())
    environment["data"]["digest"] = "another"
    (trained / "environment.json").write_text(json.dumps(environment))
    (path,) = paths(compared("gan.toml"))
    assert path != str(trained)


def test_a_run_is_measured_anew_on_data_that_have_changed(
    compared: Compare, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    compared(trained, report=said.append)
    assert said == ["1/1  gan, seed 0: measured"]
    others = DataDescription(1500, 297, digest="another")
    monkeypatch.setattr("ganzoo.comparison.comparing.known_data", lambda recipe: others)
    compared(trained, report=said.append)
    assert said[1:] == [
        "1/1  gan, seed 0: measured on other data than it was trained on, which have changed since"
    ]
    assert len(list((trained / "measures").iterdir())) == 2


def test_finished_runs_are_compared_where_the_data_are_not_there(
    compared: Compare, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compared(trained)

    def missing(recipe: str) -> DataDescription:
        raise UserError("the data are not there")

    monkeypatch.setattr("ganzoo.comparison.comparing.known_data", missing)
    assert compared(trained).data["models"] == first.data["models"]
    with pytest.raises(UserError, match="the data are not there"):
        compared("gan.toml")


def test_a_finished_run_is_taken_before_one_that_is_not(compared: Compare, trained: Path) -> None:
    begun = shutil.copytree(trained, trained.with_name("before"))
    (begun / "status.json").write_text('{"state": "interrupted"}')
    assert paths(compared("gan.toml")) == [str(trained)]


def test_an_interrupted_run_is_resumed(compared: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(load_recipe("gan.toml"), runs="elsewhere").path
    with monkeypatch.context() as patch:
        iterations = itertools.count(1)
        patch.setattr(
            "ganzoo.engine.training.stop_requested", lambda *arguments: next(iterations) == 12
        )
        with pytest.raises(InterruptedRun):
            train(load_recipe("gan.toml"), identity="begun")
    created = (Path("runs/gan/begun/samples/000010.png")).stat().st_mtime_ns
    assert paths(compared("gan.toml")) == ["runs/gan/begun"]
    run = open_run("runs/gan/begun")
    assert run.status["state"] == "done"
    assert (run.path / "samples/000010.png").stat().st_mtime_ns == created
    for name in ("generator.safetensors", "statistics.jsonl"):
        assert (run.path / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_that_was_killed_at_its_start_is_begun_again(compared: Compare) -> None:
    recipe = load_recipe("gan.toml")
    path = place(recipe, Path("runs"), known_data(recipe).digest)
    write_text(create_run_folder(Path("runs"), "gan", path.name).recipe, recipe.to_toml())
    assert paths(compared("gan.toml")) == [str(path)]


def test_without_seeds_the_recipes_own_is_taken(compared: Compare) -> None:
    comparison = compared("gan.toml", overrides=["train.seed=7"])
    assert comparison.data["seeds"] == [7]


def test_runs_of_one_recipe_are_one_model(compared: Compare, trained: Path) -> None:
    second = train(load_recipe("gan.toml", "train.seed=5"), identity="second").path
    other = train(load_recipe("gan.toml", "ema.decay=0.5"), identity="other").path
    comparison = compared(second, other, trained)
    models = comparison.data["models"]
    assert [model["label"] for model in models] == ["gan", "gan (2)"]
    assert [(run["path"], run["seed"]) for run in models[0]["runs"]] == [
        (str(trained), 0),
        (str(second), 5),
    ]
    assert models[0]["summaries"]["test-mean"]["seeds"] == 2
    assert paths(comparison, 1) == [str(other)]
    assert comparison.data["seeds"] == [0, 5]


def test_runs_by_other_versions_are_another_model(compared: Compare, trained: Path) -> None:
    other = Path(shutil.copytree(trained, "older"))
    environment = json.loads((other / "environment.json").read_text())
    environment["plugins"]["ganzoo-mlp"] = "0.0.9"
    (other / "environment.json").write_text(json.dumps(environment))
    models = compared(trained, other).data["models"]
    assert [model["label"] for model in models] == ["gan", "gan (2)"]


def test_two_recipes_of_one_name_get_two_labels(compared: Compare) -> None:
    Path("changed.toml").write_text('extends = "gan.toml"\nname = "gan"\nema.decay = 0.5\n')
    comparison = compared("gan.toml", "changed.toml")
    assert [model["name"] for model in comparison.data["models"]] == ["gan", "gan"]
    assert [model["label"] for model in comparison.data["models"]] == ["gan", "gan (2)"]
    assert paths(comparison, 0) != paths(comparison, 1)


def test_overrides_change_every_recipe(compared: Compare) -> None:
    comparison = compared("gan.toml", "vae.toml", overrides=["train.iterations=4"])
    for model in comparison.data["models"]:
        assert model["recipe"]["train"]["iterations"] == 4
        assert model["runs"][0]["iterations"] == 4


def test_a_budget_is_the_length_of_all(compared: Compare) -> None:
    Path("twice.toml").write_text('extends = "gan.toml"\nschedule.discriminator_steps = 2\n')
    comparison = compared("gan.toml", "twice.toml", budget=Budget("images", 16 * 6))
    assert comparison.data["budget"] == {
        "kind": "images",
        "amount": 96,
        "text": "96 images each",
    }
    runs = [model["runs"][0] for model in comparison.data["models"]]
    assert [run["iterations"] for run in runs] == [6, 3]
    assert [run["cost"]["images"] for run in runs] == [96, 96]
    assert "--budget images=96" in comparison.data["command"]


# The command that repeats a comparison.


def test_the_command_repeats_the_comparison(compared: Compare) -> None:
    from ganzoo.cli import main

    shutil.copy("gan.toml", "a gan.toml")
    first = compared(
        "a gan.toml",
        "vae.toml",
        seeds=2,
        budget=Budget("iterations", 5),
        overrides=["train.batch_size=8", "log={ every = 5, samples = 4 }"],
        out="an out",
        runs="the runs",
    ).data
    words = shlex.split(first["command"])
    assert words[:2] == ["ganzoo", "compare"]
    Path("an out", "comparison.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    second = json.loads(Path("an out", "comparison.json").read_text())
    assert second.pop("created") >= first.pop("created")
    assert second == json.loads(json.dumps(first))


def test_a_launcher_is_part_of_the_command(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganzoo.comparison.launchers import LAUNCHERS

    monkeypatch.setitem(LAUNCHERS, "ray", LAUNCHERS["local"])
    command = compared("gan.toml", launcher="ray").data["command"]
    assert command == "ganzoo compare gan.toml --launcher ray --runs runs --out comparison"


# Nothing is left to do.


def test_a_run_that_is_measured_costs_no_process(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compared("gan.toml", seeds=2)
    launched: list[str] = []

    def run(self: Here, job: Job) -> Outcome:
        launched.append(job.title)
        return run_job(job)

    monkeypatch.setattr(Here, "run", run)
    told: list[str] = []
    again = compared("gan.toml", seeds=3, report=told.append)
    assert launched == ["gan, seed 2"]
    assert [line.partition("  ")[0] for line in told] == ["1/3", "2/3", "3/3"]
    assert again.data["models"][0]["runs"][:2] == first.data["models"][0]["runs"]
    # What is damaged is told by a launcher.
    next(Path(paths(again)[1], "measures").iterdir()).write_text("{")
    run_of_seed_1 = compared("gan.toml", seeds=3).data["models"][0]["runs"][1]
    assert launched[1:] == ["gan, seed 1"]
    assert "is damaged" in str(run_of_seed_1["message"])


def test_a_report_is_drawn_anew_where_it_would_differ(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def write(data: ComparisonDocument, out: Path) -> None:
        nonlocal times
        times += 1
        for name in ("report.html", "comparison.md"):
            (out / name).write_text("drawn")

    monkeypatch.setattr("ganzoo.evaluation.report.write_report", write)
    first = compared("gan.toml")
    file = Path("comparison/comparison.json")
    before = file.read_bytes()
    again = compared("gan.toml")
    assert (times, file.read_bytes()) == (1, before)
    assert again.data["created"] == first.data["created"]
    assert compared("gan.toml", export=["csv"]).data["created"] == first.data["created"]
    assert Path("comparison/exports/values.csv").exists()
    assert times == 1
    Path("comparison/report.html").unlink()
    compared("gan.toml")
    assert times == 2
    picture = next(Path(paths(first)[0], "samples").iterdir())
    os.utime(picture)
    compared("gan.toml")
    assert times == 3
    compared("gan.toml", seeds=2)
    assert times == 4
    file.write_text("{")
    compared("gan.toml", seeds=2)
    assert times == 5
    monkeypatch.setattr(drawn, "SOURCES", Path.cwd())  # as if ganzoo were newer
    Path("new.py").touch()
    compared("gan.toml", seeds=2)
    assert times == 6
