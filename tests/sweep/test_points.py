"""Points are checked before anything trains, and all problems are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.errors import UserError
from ganzoo.recipe import RecipeError

from .conftest import Swept


def refusal(swept: Swept, *keys: str, recipe: str = "gan.toml", **options: object) -> UserError:
    """The error by which a sweep is refused, before anything was made."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as caught:
        swept(recipe, *keys, **options)
    assert sorted(Path().rglob("*")) == before
    return caught.value


def test_a_key_that_no_recipe_has(swept: Swept) -> None:
    error = refusal(swept, "optimizer.lrr=1e-4,5e-4", "generator.hidden=[8],[16]")
    assert str(error) == (
        "command line: optimizer.lrr: unknown key for optimizer 'adam'\n"
        "    optimizer.lrr=1e-4\n"
        "      = did you mean 'lr'?\n"
        "1 problem; nothing was run"
    )


@pytest.mark.parametrize("search", [None, 5])
def test_all_problems_of_all_points_are_told(swept: Swept, search: int | None) -> None:
    error = refusal(
        swept,
        *("optimizer.lr=-1,1e-3,-2", "train.seed=0,1", "loss.type=minmax,minimax", "x=1,"),
        search=search,
    )
    assert isinstance(error, RecipeError)
    told = [(problem.key, problem.origin.text) for problem in error.problems]
    assert told == [
        ("train.seed", "train.seed=0,1"),
        ("x", "x=1,"),
        ("loss.type", "loss.type=minmax"),
        ("optimizer.lr", "optimizer.lr=-1"),
        ("optimizer.lr", "optimizer.lr=-2"),
    ]
    assert "did you mean 'minimax'?" in str(error)


def test_values_that_do_not_go_together_are_told_with_their_point(swept: Swept) -> None:
    keys = ("optimizer.type=adam,sgd", "optimizer.lr=1e-3", "optimizer.nesterov=false,true")
    error = refusal(swept, *keys, "optimizer.momentum=0,0.9")
    assert isinstance(error, RecipeError)
    messages = [problem.message for problem in error.problems]
    assert any("(in the point type=sgd, nesterov=true, momentum=0)" in each for each in messages)
    assert any("type=adam, nesterov=false, momentum=0 and in 1 more" in each for each in messages)


def test_the_ends_of_a_range_are_checked(swept: Swept) -> None:
    error = refusal(swept, "ema.decay=0..1", search=3)
    assert "should be less than 1" in str(error)


def test_where_there_are_many_combinations_each_value_is_checked(swept: Swept) -> None:
    values = ",".join(f"{number}e-4" for number in range(1, 21))
    error = refusal(
        swept,
        *(f"optimizer.lr={values}", f"regularizers.0.gamma={values}", "train.batch_size=8,0"),
        search=3,
    )
    assert "train.batch_size=0" in str(error)


def test_a_value_that_is_no_toml(swept: Swept) -> None:
    error = refusal(swept, "generator.hidden=[8,[16]")
    assert "generator.hidden: the value is not TOML" in str(error)


def test_what_is_no_recipe_is_told_once(swept: Swept) -> None:
    error = refusal(swept, "optimizer.lr=1,2", recipe="none.toml")
    assert str(error).endswith("1 problem; nothing was run")


def test_nothing_to_sweep(swept: Swept) -> None:
    for keys in ((), ("optimizer.lr=1e-3",)):
        for search in (None, 3):
            error = refusal(swept, *keys, search=search)
            assert error.message == "no key has several values, so there is nothing to sweep"


def test_too_many_points(swept: Swept) -> None:
    values = ",".join(map(str, range(1, 41)))
    error = refusal(swept, f"train.batch_size={values}", f"regularizers.0.gamma={values}")
    assert error.message == "the grid has 1,600 points"


def test_a_metric_that_there_is_not(swept: Swept) -> None:
    error = refusal(swept, "optimizer.lr=1e-3,1e-4", metric="fid")
    assert error.message == "'fid' is no metric that judges all points"
    assert error.hint == "test-mean, test-mean/grey"
