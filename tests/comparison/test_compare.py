"""Which runs a comparison takes, resumes and makes, how it measures them, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganzoo import load_recipe, open_run, train
from ganzoo.comparison import Budget, Comparison, jobs
from ganzoo.comparison.entrants import place
from ganzoo.comparison.jobs import describe_data
from ganzoo.data import DataDescription
from ganzoo.errors import InterruptedRun, RunError, UserError
from ganzoo.evaluation.report_text import warnings
from ganzoo.recipe import RecipeError
from ganzoo.runs import create_run_folder, write_text

from .conftest import GAN

Compare = Callable[..., Comparison]


def paths(comparison: Comparison, model: int = 0) -> list[str]:
    return [run["path"] for run in comparison.data["models"][model]["runs"]]


def runs_of(name: str) -> list[Path]:
    return sorted(Path("runs", name).iterdir())


def refusal(compared: Compare, *targets: object, **options: Any) -> UserError:
    """The error by which a comparison is refused, before anything was trained."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as caught:
        compared(*targets, **options)
    assert sorted(Path().rglob("*")) == before
    return caught.value


# What is refused.


def test_different_data_cannot_be_compared(compared: Compare) -> None:
    Path("ring.toml").write_text(GAN.replace('"gan"', '"ring"').replace('"digits"', '"ring"'))
    error = refusal(compared, "gan.toml", "ring.toml")
    assert error.message.startswith("'ring' and 'gan' have different data: data.")
    assert "data.type" in error.message
    assert error.hint == "only models of the same data can be compared"


def test_the_keys_that_differ_are_named(compared: Compare) -> None:
    Path("fewer.toml").write_text('extends = "gan.toml"\ndata.held_out = 100\n')
    error = refusal(compared, "vae.toml", "gan.toml", "fewer.toml")
    assert error.message == "'fewer' and 'vae' have different data: data.held_out"


def test_the_same_data_may_be_named_in_two_ways(compared: Compare) -> None:
    Path("full.toml").write_text(
        'extends = "gan.toml"\ndata.type = "ganzoo-data:digits"\nema.decay = 0.5\n'
    )
    compared("gan.toml", "full.toml", overrides=["train.iterations=1"])


def test_nothing_to_compare(compared: Compare) -> None:
    error = refusal(compared)
    assert (error.message, error.hint) == (
        "nothing to compare",
        "give two recipes, or folders of runs",
    )


def test_a_target_that_is_not_there(compared: Compare) -> None:
    error = refusal(compared, "gan.toml", "runs/gan/nothing")
    assert error.message == "there is no recipe and no run runs/gan/nothing"
    assert error.hint == "give files of recipes, or the folders that `ganzoo run` printed"
    with pytest.raises(RecipeError, match=r"gaan.toml: no such recipe"):
        compared("gaan.toml")


def test_a_folder_that_is_no_run(compared: Compare) -> None:
    Path("empty").mkdir()
    error = refusal(compared, "empty")
    assert error.message == "empty is no run folder: it has no recipe.toml"


def test_a_recipe_with_problems(compared: Compare) -> None:
    with pytest.raises(RecipeError, match="no loss is called 'minmax'"):
        compared("gan.toml", "vae.toml", overrides=["loss.type=minmax"])


def test_a_run_that_is_not_done(compared: Compare, trained: Path) -> None:
    status = json.loads((trained / "status.json").read_text())
    (trained / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    error = refusal(compared, "gan.toml", trained)
    assert error.message == f"{trained} is not done: it cannot be compared"
    assert error.hint == f"`ganzoo resume {trained}` finishes it"


def test_the_same_recipe_twice(compared: Compare) -> None:
    shutil.copy("gan.toml", "copy.toml")
    error = refusal(compared, "gan.toml", "copy.toml")
    assert error.message == "copy.toml trains the same model as a recipe before it"
    assert error.hint == "give it once"


def test_the_same_run_twice(compared: Compare, trained: Path) -> None:
    shutil.copytree(trained, "copy")
    error = refusal(compared, trained, "copy")
    assert error.message == f"copy and {trained} are runs of one recipe with the seed 0"
    assert error.hint == "they are the same run twice: give one of them"


def test_a_budget_is_not_for_runs(compared: Compare, trained: Path) -> None:
    error = refusal(compared, "vae.toml", trained, budget=Budget("iterations", 10))
    assert error.message == f"{trained} is trained already: a budget is for recipes"
    assert error.hint == "give its recipe, or leave out --budget"


@pytest.mark.parametrize(
    ("options", "what"),
    [({"seeds": 2}, "--seeds 2"), ({"overrides": ["evaluate.samples=9", "ema.decay=0"]}, "ema")],
)
def test_nothing_changes_a_run(compared: Compare, trained: Path, options: Any, what: str) -> None:
    error = refusal(compared, trained, **options)
    assert error.message.startswith(f"'{what}")
    assert error.message.endswith(f"is for recipes, but {trained} is trained already")
    assert error.hint == "give its recipe, or leave it out"


def test_no_folder_for_the_report(compared: Compare) -> None:
    error = refusal(compared, "gan.toml", out="gan.toml")
    assert error.message == "no report can be written to gan.toml: File exists"
    assert error.hint == "--out names a folder"


def test_no_such_launcher(compared: Compare) -> None:
    error = refusal(compared, "gan.toml", launcher="slurm")
    assert (error.message, error.hint) == ("no launcher is called 'slurm'", "local, ray")


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
    monkeypatch.setattr("ganzoo.comparison.comparing.describe_data", lambda recipe: others)
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

    monkeypatch.setattr("ganzoo.comparison.comparing.describe_data", missing)
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
    path = place(recipe, Path("runs"), describe_data(recipe.to_toml()).digest)
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


# Runs that fail.


def test_a_run_that_fails_is_named_beside_the_others(compared: Compare) -> None:
    reports: list[str] = []
    comparison = compared("diverging.toml", "gan.toml", report=reports.append)
    lost, good = comparison.data["models"]
    (run,) = lost["runs"]
    assert run["state"] == "failed"
    assert "not finite came up in iterations 1 to 10: term discriminator/lost" in run["message"]
    assert (run["values"], run["history"], run["cost"]) == ({}, [], None)
    assert run["iterations"] == 0
    assert lost["summaries"] == {}
    assert good["runs"][0]["state"] == "done"
    assert good["runs"][0]["message"] is None
    assert good["summaries"]["test-mean"]["mean"] > 0
    assert comparison.data["winners"]["test-mean"] is None
    assert reports == [
        f"1/2  diverging, seed 0: failed: {run['message']}",
        "2/2  gan, seed 0: measured",
    ]


def test_every_run_fails(compared: Compare) -> None:
    with pytest.raises(RunError) as caught:
        compared("diverging.toml", seeds=2)
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("every run failed: numbers that are not finite came up")
    assert caught.value.message.count("not finite") == 1
    assert not Path("comparison/comparison.json").exists()


def test_a_metric_that_fails_is_left_out_and_named(compared: Compare) -> None:
    broken = '[[metrics]]\ntype = "test-broken"\n'
    Path("vae.toml").write_text(Path("vae.toml").read_text() + broken)
    data = compared("gan.toml", "vae.toml").data
    for model in data["models"]:
        (run,) = model["runs"]
        assert run["values"]
        assert run["left_out"].keys() == {"test-broken"}
        assert run["left_out"]["test-broken"].startswith(
            "it failed: KeyError: 'what is not there' ("
        )
        assert "what is not there" in Path(run["path"], "traceback.txt").read_text()
    assert any("was measured without 'test-broken': it failed" in each for each in warnings(data))


def test_a_metric_with_too_few_samples_is_named_before_training(compared: Compare) -> None:
    said: list[str] = []
    many = "metrics=[{type='test-many'}]"
    data = compared("gan.toml", overrides=["evaluate.samples=9", many], report=said.append).data
    assert said == [
        "metric 'test-many' is left out: it needs 10 generated samples, and there are 9",
        "1/1  gan, seed 0: measured",
    ]
    assert not any("test-many" in column["name"] for column in data["columns"])
    columns = compared("gan.toml", overrides=["evaluate.samples=10", many]).data["columns"]
    assert any("test-many" in column["name"] for column in columns)


def test_the_traceback_of_a_fault_is_kept(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(job: jobs.Job, folder: Any) -> Any:
        if "vae" in job.folder:
            raise KeyError("lost")
        return take(job, folder)

    take = jobs.take_measures
    monkeypatch.setattr("ganzoo.comparison.jobs.take_measures", measure)
    gan, vae = compared("gan.toml", "vae.toml").data["models"]
    assert gan["runs"][0]["state"] == "done"
    (run,) = vae["runs"]
    assert run["message"].startswith("measuring it failed: KeyError: 'lost' (")
    assert "KeyError: 'lost'" in Path(run["path"], "traceback.txt").read_text()


def test_ctrl_c_ends_the_comparison_with_a_way_on(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganzoo.comparison.launchers.in_own_process", stop)
    with pytest.raises(InterruptedRun) as caught:
        compared("gan.toml", seeds=2)
    assert caught.value.message == "the comparison was stopped"
    assert caught.value.hint == (
        "`ganzoo compare gan.toml --seeds 2 --runs runs --out comparison` "
        "resumes it from the runs' checkpoints"
    )


# How runs are measured.


def test_measures_are_taken_once(compared: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compared("gan.toml", "vae.toml")

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.evaluation.measure.measure", fail)
        again = compared("gan.toml", "vae.toml", out="again")
    assert again.data["models"] == first.data["models"]
    (path,) = paths(first)
    assert len(list(Path(path, "measures").iterdir())) == 1


def test_the_first_recipe_says_how_all_are_measured(compared: Compare, trained: Path) -> None:
    vae = Path("vae.toml").read_text().replace("samples = 50", "samples = 9")
    Path("vae.toml").write_text(vae.replace('"random"', '"identity"'))
    data = compared("vae.toml", trained).data
    assert (data["generated"], data["real"]) == (9, 9)
    assert data["extractor"] is not None
    assert data["extractor"]["type"] == "identity"
    for model in data["models"]:
        assert "test-features/distance[identity]" in model["summaries"]


def test_without_a_named_extractor_the_data_choose_one(
    compared: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)
    gan = Path("gan.toml").read_text().replace('extractor = { type = "random" }\n', "")
    Path("gan.toml").write_text(gan)
    extractor = compared("gan.toml").data["extractor"]
    assert extractor is not None
    assert extractor["table"] == {"type": "ganzoo-core:classifier"}


@pytest.mark.parametrize(
    "override", ["evaluate.samples=11", "extractor.type=identity", 'metrics=[{type="test-slow"}]']
)
def test_other_measures_are_taken_of_the_same_run(
    compared: Compare, trained: Path, override: str
) -> None:
    def files() -> set[Path]:
        return set((trained / "measures").iterdir())

    default = compared(trained).data
    before = files()
    for target in (trained, "gan.toml"):
        changed = compared(target, overrides=[override])
        assert paths(changed) == [str(trained)]
        run, other = default["models"][0]["runs"][0], changed.data["models"][0]["runs"][0]
        assert run["values"] != other["values"]
        assert run["statistics"] == other["statistics"]
    assert len(files() - before) == 1


def test_how_many_snapshots_a_recipe_wants_is_no_part_of_how_it_is_measured(
    compared: Compare, trained: Path
) -> None:
    compared(trained)
    data = compared("gan.toml", overrides=["evaluate.snapshots=5"]).data
    (run,) = data["models"][0]["runs"]
    assert run["path"] == str(trained)
    assert [row["iteration"] for row in run["history"]] == [10, 20]
    assert len(list((trained / "measures").iterdir())) == 1


def test_a_value_that_is_not_a_number_stays_one(compared: Compare) -> None:
    Path("gan.toml").write_text(Path("gan.toml").read_text() + '[[metrics]]\ntype = "test-nan"\n')
    for _ in range(2):
        (model,) = compared("gan.toml").data["models"]
        assert math.isnan(model["runs"][0]["values"]["test-nan"])
        assert math.isnan(model["summaries"]["test-nan"]["mean"])
        assert model["summaries"]["test-nan"]["low"] is None
    kept = json.loads(Path("comparison/comparison.json").read_text())
    assert kept["models"][0]["summaries"]["test-nan"]["mean"] is None


def test_metrics_are_those_that_fit_and_those_that_are_named(compared: Compare) -> None:
    metrics = '[[metrics]]\ntype = "test-slow"\n[[metrics]]\ntype = "test-mean"\nfactor = 3.0\n'
    Path("vae.toml").write_text(Path("vae.toml").read_text() + metrics)
    comparison = compared("gan.toml", "vae.toml")
    gan, vae = (set(model["summaries"]) for model in comparison.data["models"][:2])
    assert vae - gan == {"test-coded", "test-coded/generated"}
    assert {"test-slow", "test-mean", "test-mean/generated"} <= gan
    assert not any("incomplete" in name or "broken" in name for name in vae)


def test_the_first_recipe_that_names_a_metric_sets_it_for_all(compared: Compare) -> None:
    plain = compared("gan.toml").data["models"][0]["summaries"]["test-mean"]["mean"]
    for name, factor in (("vae", 3.0), ("blind", 5.0)):
        metric = f'[[metrics]]\ntype = "test-mean"\nfactor = {factor}\n'
        Path(f"{name}.toml").write_text(Path(f"{name}.toml").read_text() + metric)
    models = compared("gan.toml", "vae.toml", "blind.toml").data["models"]
    assert models[0]["summaries"]["test-mean"]["mean"] == pytest.approx(3 * plain)


def test_without_named_ones_slow_metrics_are_left_out(finished: Comparison) -> None:
    assert not any("slow" in column["name"] for column in finished.data["columns"])


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
