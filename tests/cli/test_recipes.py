"""`ganzoo recipes`: the recipes of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]


def test_every_recipe_has_a_line(command: Command, write_recipe: WriteRecipe) -> None:
    Path("recipes/faces").mkdir(parents=True)
    write_recipe({}, "recipes/tiny.toml")
    write_recipe({"loss": None, "data": None}, "recipes/faces/wrong.toml")
    Path("recipes/notes.txt").write_text("no recipe")
    result = command("recipes")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]
    assert rows == [
        ["recipe", "summary"],
        [
            "recipes/faces/wrong.toml",
            "2 problems: see `ganzoo check recipes/faces/wrong.toml`",
        ],
        ["recipes/tiny.toml", "Two small perceptrons"],
    ]


def test_another_folder(command: Command, recipe: Path) -> None:
    assert "tiny.toml" in command("recipes", recipe.parent).stdout


def test_a_folder_that_is_not_there(command: Command) -> None:
    result = command("recipes")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "recipes is not a folder\n  = `ganzoo recipes FOLDER` looks elsewhere\n"
    )
