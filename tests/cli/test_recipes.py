"""`ganzoo recipes`: the recipes that come with ganzoo, or those of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import ganzoo

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

ROOT = Path(__file__).parents[2]


def rows(result: CompletedProcess[str]) -> list[list[str]]:
    """The columns of every line."""
    assert (result.returncode, result.stderr) == (0, "")
    return [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]


def test_the_recipes_that_come_with_ganzoo_are_listed_by_name(command: Command) -> None:
    listed = dict(rows(command("recipes"))[1:])
    assert listed == {
        file.stem: ganzoo.load_recipe(file).summary for file in ROOT.glob("recipes/*.toml")
    }


def test_every_recipe_of_a_folder_has_a_line(command: Command, write_recipe: WriteRecipe) -> None:
    Path("mine/faces").mkdir(parents=True)
    write_recipe({}, "mine/tiny.toml")
    write_recipe({"loss": None, "data": None}, "mine/faces/wrong.toml")
    Path("mine/notes.txt").write_text("no recipe")
    assert rows(command("recipes", "mine")) == [
        ["recipe", "summary"],
        ["mine/faces/wrong.toml", "2 problems: see `ganzoo check mine/faces/wrong.toml`"],
        ["mine/tiny.toml", "Two small perceptrons"],
    ]


def test_a_folder_that_is_not_there(command: Command) -> None:
    result = command("recipes", "mine")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == ("mine is not a folder\n  = `ganzoo recipes FOLDER` looks elsewhere\n")
