"""What a comparison refuses, before anything is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ganzoo.comparison import Budget, Comparison
from ganzoo.errors import UserError
from ganzoo.recipe import RecipeError

from .conftest import GAN

Compare = Callable[..., Comparison]


def refusal(compared: Compare, *targets: object, **options: Any) -> UserError:
    """The error by which a comparison is refused, before anything was trained."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as caught:
        compared(*targets, **options)
    assert sorted(Path().rglob("*")) == before
    return caught.value


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
    assert error.hint == "give the folder that `ganzoo run` printed"
    error = refusal(compared, "gan.toml", "digits-vae@-1")
    assert error.message == "there is no recipe and no run digits-vae@-1"
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
    finish = f"`ganzoo resume {trained}` finishes it"
    for written, shown in (("interrupted", "interrupted"), ("running", "killed")):
        (trained / "status.json").write_text(json.dumps({**status, "state": written}))
        error = refusal(compared, "gan.toml", trained)
        assert error.message == f"{trained} is {shown}: only a run that is done can be compared"
        assert error.hint == finish
    with FileLock(trained / ".lock"):
        error = refusal(compared, "gan.toml", trained)
    assert error.message == f"{trained} is running: only a run that is done can be compared"
    assert error.hint == "wait for its end"
    (trained / "status.json").unlink()
    error = refusal(compared, "gan.toml", trained)
    assert error.message == f"{trained} has not begun: only a run that is done can be compared"
    assert error.hint == finish


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
