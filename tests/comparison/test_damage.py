"""Folders and files that are damaged: named, and no reason for a comparison to stop or to err."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganzoo import load_recipe
from ganzoo.comparison import Budget, Comparison, jobs
from ganzoo.comparison.entrants import place
from ganzoo.comparison.models import _run
from ganzoo.errors import RunError
from ganzoo.recipe import Recipe

from .conftest import paths

Compare = Callable[..., Comparison]


def digest(recipe: Recipe) -> str:
    return jobs.known_data(recipe).digest


@pytest.mark.parametrize("inside", [(), ("samples", "checkpoints")])
def test_a_folder_without_a_recipe_does_not_block_the_comparison(
    compared: Compare, inside: tuple[str, ...]
) -> None:
    path = place(load_recipe("gan.toml"), Path("runs"), digest(load_recipe("gan.toml")))
    path.mkdir(parents=True)
    for name in inside:
        (path / name).mkdir()
    assert paths(compared("gan.toml")) == [str(path)]


@pytest.mark.parametrize("name", ["environment.json", "status.json"])
@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"state": 3, "fingerprint": null}'])
def test_a_damaged_folder_is_named_once_and_passed_over(
    compared: Compare, trained: Path, name: str, content: str
) -> None:
    bad = Path(shutil.copytree(trained, trained.with_name("a-bad-one")))
    (bad / name).write_text(content)
    told: list[str] = []
    comparison = compared("gan.toml", seeds=2, report=told.append)
    assert paths(comparison)[0] == str(trained)
    (line,) = (text for text in told if str(bad) in text)
    assert line.startswith(f"warning: {bad} is passed over: {bad / name} is damaged: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("statistics.jsonl", "[]\n"),
        ("statistics.jsonl", '{"iteration": 4, "images": 8, "statistics": {"d/real": "a"}}\n'),
        ("status.json", '{"state": "done"}'),
        ("environment.json", "{}"),
    ],
)
def test_a_run_whose_files_are_damaged_fails_beside_the_others(
    compared: Compare, trained: Path, name: str, content: str
) -> None:
    """The folder is that in which the comparison wants to have the run."""
    recipe = load_recipe("gan.toml", "train.seed=7")
    wanted = place(recipe, Path("runs"), digest(recipe))
    shutil.copytree(trained, wanted)
    (wanted / name).write_text(content)
    recipe = load_recipe("gan.toml", "train.seed=7").to_toml()
    outcome = jobs.run_job(jobs.Job(recipe, str(wanted), (), None, {"samples": 50}, None))
    assert outcome.message is not None
    assert f"{wanted / name}" in outcome.message
    assert " is damaged: " in outcome.message
    assert " (restore " in outcome.message
    entry = _run(7, outcome, None)
    assert (entry["state"], entry["values"]) == ("failed", {})


def test_a_damaged_run_as_a_target(compared: Compare, trained: Path) -> None:
    (trained / "status.json").write_text("[]")
    with pytest.raises(RunError, match=r"status\.json is damaged: .* should be an object"):
        compared(str(trained))


@pytest.mark.parametrize("content", ["{", "[]", '{"gan": "fast"}', '{"gan": -1}', "null"])
def test_damaged_speeds(compared: Compare, content: str) -> None:
    Path("out").mkdir()
    Path("out/speeds.json").write_text(content)
    with pytest.raises(RunError, match=r"out/speeds\.json is damaged: ") as error:
        compared("gan.toml", budget=Budget("seconds", 1), out="out")
    assert error.value.hint is not None
    assert "delete it: it is made anew" in error.value.hint


@pytest.mark.parametrize("content", ["{", "[]", "null", "{}"])
def test_damaged_measures(compared: Compare, trained: Path, content: str) -> None:
    compared("gan.toml")
    (file,) = trained.glob("measures/*.json")
    measures = json.loads(file.read_text())
    other = {**measures, "iteration": 10}
    for damage, reason in ((content, "is damaged"), (json.dumps(other), "it is of iteration 10")):
        file.write_text(damage)
        with pytest.raises(RunError, match=reason):
            compared("gan.toml")
    file.unlink()
    compared("gan.toml")
    assert json.loads(file.read_text())["values"] == measures["values"]


def test_a_lost_snapshot_is_no_other_headline(compared: Compare, trained: Path) -> None:
    (trained / "snapshots" / "000020.safetensors").unlink()
    with pytest.raises(RunError, match=r"000020\.safetensors is missing"):
        compared("gan.toml")


def test_finished_runs_are_measured_on_the_device_that_is_named(
    compared: Compare, trained: Path
) -> None:
    file = trained / "recipe.toml"
    file.write_text(file.read_text().replace('device = "auto"', 'device = "cuda:7"'))
    with pytest.raises(RunError, match="needs CUDA device 7"):
        compared(str(trained))
    comparison = compared(str(trained), overrides=["engine.device=cpu"])
    assert comparison.data["models"][0]["recipe"]["engine"]["device"] == "cpu"


def test_a_run_whose_recipe_was_changed(compared: Compare, trained: Path) -> None:
    """Named as a target it is refused; among the runs it is passed over; in the place of the run
    that is wanted it fails beside the others."""
    changed = Path(shutil.copytree(trained, trained.with_name("a-changed-one")))
    file = changed / "recipe.toml"
    file.write_text(file.read_text().replace("lr = 0.001", "lr = 0.002"))
    message = f"{file} is not the recipe that this run was started with"
    with pytest.raises(RunError) as error:
        compared(str(changed))
    assert error.value.message == message
    told: list[str] = []
    assert paths(compared("gan.toml", report=told.append)) == [str(trained)]
    assert told[0] == f"warning: {changed} is passed over: {message}"
    recipe = load_recipe("gan.toml").to_toml()
    outcome = jobs.run_job(jobs.Job(recipe, str(changed), (), None, {"samples": 50}, None))
    assert outcome.message is not None
    assert outcome.message.startswith(message)


def test_a_run_of_a_metric_that_is_gone_is_not_trained_again(
    compared: Compare, trained: Path
) -> None:
    file = trained / "recipe.toml"
    file.write_text(file.read_text() + '[[metrics]]\ntype = "of-a-plugin-that-was-removed"\n')
    assert paths(compared("gan.toml")) == [str(trained)]
