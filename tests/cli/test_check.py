"""`ganzoo check`: every problem of every recipe at once, with nothing run."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]


def test_a_good_recipe(command: Command, recipe: Path) -> None:
    result = command("check", recipe)
    assert (result.returncode, result.stdout, result.stderr) == (0, "tiny.toml: valid\n", "")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(
            {"generator": 'type = "mpl"'},
            "wrong.toml:9: generator.type: no generator is called 'mpl'\n"
            '    9 | type = "mpl"\n'
            "      = did you mean 'mlp'?\n",
            id="unknown type",
        ),
        pytest.param(
            {"generator": 'type = "mlp"\nhiden = [16]'},
            "wrong.toml:10: generator.hiden: unknown key for generator 'mlp' "
            f"(ganzoo-mlp {version('ganzoo-mlp')})\n"
            "    10 | hiden = [16]\n"
            "       = did you mean 'hidden'?\n",
            id="unknown key",
        ),
        pytest.param(
            {"generator": 'type = "mlp"\nhidden = "wide"'},
            'wrong.toml:10: generator.hidden: should be a valid array (got "wide")\n'
            '    10 | hidden = "wide"\n'
            "       = widths of the hidden layers, from input to output\n",
            id="wrong type",
        ),
        pytest.param(
            {"loss": None},
            "wrong.toml: loss: missing table\n      = add a table [loss]\n",
            id="missing table",
        ),
        pytest.param(
            {"discriminator": None},
            "wrong.toml:13: loss.type: loss 'non-saturating' needs a discriminator; "
            "this recipe has none\n"
            '    13 | type = "non-saturating"\n'
            "       = add a table [discriminator]\n",
            id="loss without its network",
        ),
    ],
)
def test_one_problem(
    command: Command, write_recipe: WriteRecipe, changes: dict[str, str | None], text: str
) -> None:
    result = command("check", write_recipe(changes, "wrong.toml"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"{text}1 problem; nothing was run\n"


def test_problems_of_all_recipes_are_told_at_once(
    command: Command, recipe: Path, write_recipe: WriteRecipe
) -> None:
    one = write_recipe({"loss": 'type = "minmax"', "train": "iterations = 0"}, "one.toml")
    other = write_recipe({"data": None}, "other.toml")
    result = command("check", one, recipe, other, "tini.toml")
    assert (result.returncode, result.stdout) == (2, "tiny.toml: valid\n")
    places = [line for line in result.stderr.splitlines() if line.startswith(("o", "t"))]
    assert sorted(places) == [
        "one.toml:17: loss.type: no loss is called 'minmax'",
        "one.toml:27: train.iterations: should be greater than 0 (got 0)",
        "other.toml: data: missing table",
        "tini.toml: no such recipe",
    ]
    assert "did you mean 'tiny.toml'?" in result.stderr
    assert result.stderr.endswith("\n4 problems; nothing was run\n")


def test_changes_are_laid_over_every_recipe(
    command: Command, recipe: Path, write_recipe: WriteRecipe
) -> None:
    other = write_recipe({"train": "iterations = 0"}, "other.toml")
    result = command("check", recipe, "train.iterations=3", other)
    assert (result.returncode, result.stdout, result.stderr) == (
        *(0, "tiny.toml: valid\nother.toml: valid\n"),
        "",
    )


def test_a_wrong_change_is_told_once(
    command: Command, recipe: Path, write_recipe: WriteRecipe
) -> None:
    result = command("check", recipe, write_recipe({}, "other.toml"), "train.iterations=0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "command line: train.iterations: should be greater than 0 (got 0)\n"
        "    train.iterations=0\n"
        "      = length of the run, in iterations\n"
        "1 problem; nothing was run\n"
    )


def test_changes_of_nothing(command: Command) -> None:
    result = command("check", "train.seed=1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "no recipe is named\n  = for example: ganzoo check mine.toml train.seed=1\n"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'name = "x"\nname = "y"\n', "wrong.toml:2: not valid TOML: "),
        (b"\xff\xfe", "wrong.toml: is not a text in UTF-8: it looks like UTF-16 or no text at all"),
        (b"name = 'a'\nsummary = '\xe4'", "wrong.toml:2: is not a text in UTF-8"),
        (b'extends = "base.toml"\n', "wrong.toml:1: extends: there is no recipe 'base.toml'"),
        (b'extends = "wrong.toml"\n', "wrong.toml:1: extends: the files extend each other"),
    ],
)
def test_a_file_that_cannot_be_read(command: Command, content: bytes, text: str) -> None:
    Path("wrong.toml").write_bytes(content)
    result = command("check", "wrong.toml")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(text)
    assert result.stderr.endswith("1 problem; nothing was run\n")


def test_a_folder_is_no_recipe(command: Command) -> None:
    Path("folder.toml").mkdir()
    result = command("check", "folder.toml")
    assert result.returncode == 2
    assert result.stderr == (
        "folder.toml: cannot be read: Is a directory\n1 problem; nothing was run\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["run"], ["resume"], ["sample", "x"], ["chekc"], ["run", "--rnus", "x"]],
)
def test_a_command_that_is_not_one(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")
    assert "Error: " in result.stderr
