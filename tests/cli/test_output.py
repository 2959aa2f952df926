"""What goes to people and what to programs, and in which form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .conftest import COMMANDS

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

GROUPS = sorted({name.partition(" ")[0] for name in COMMANDS})
"""What `ganzoo --help` lists."""

MARKUP = "a [bold]strong[/bold] [/x] [link=nowhere]word[/link] :smile:"


def test_help_names_every_command(command: Command) -> None:
    result = command("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for name in GROUPS:
        assert f"\n  {name} " in result.stdout
    assert "..." not in result.stdout.replace("[ARGS]...", ""), "a summary was cut short"


@pytest.mark.parametrize("name", GROUPS)
def test_every_command_has_help(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: ganzoo {name} ")
    assert "[[" not in result.stdout


def test_version(command: Command) -> None:
    result = command("--version")
    assert (result.returncode, result.stdout) == (0, f"ganzoo-core {version('ganzoo-core')}\n")


def test_without_a_command_help_is_shown(command: Command) -> None:
    result = command()
    assert result.returncode == 2
    assert "Usage: ganzoo" in result.stdout + result.stderr


def test_a_summary_is_printed_as_it_is(command: Command, write_recipe: WriteRecipe) -> None:
    head = f'name = "tiny"\nsummary = "{MARKUP}"\nlatent = {{ dim = 4 }}'
    write_recipe({"": head}, "marked.toml")
    assert MARKUP in command("recipes", ".").stdout
    assert f'summary = "{MARKUP}"' in command("show", "marked.toml").stdout


@pytest.mark.parametrize("name", ["[bold]", "[/x]", "x [red]y[/red]"])
def test_a_name_is_printed_as_it_is(command: Command, write_recipe: WriteRecipe, name: str) -> None:
    recipe = write_recipe({"": f'name = "{name}"'})
    result = command("check", recipe)
    assert result.returncode == 2
    assert result.stderr.startswith(
        f"tiny.toml:1: name: '{name}' cannot be a name\n    1 | name = \"{name}\"\n"
    )


def test_values_types_and_file_names_are_printed_as_they_are(
    command: Command, write_recipe: WriteRecipe
) -> None:
    recipe = write_recipe({"loss": 'type = "[/x]"', "log": f'every = "{MARKUP}"'}, "[bold]x.toml")
    result = command("check", recipe)
    assert result.returncode == 2
    assert "[bold]x.toml:17: loss.type: no loss is called '[/x]'\n" in result.stderr
    assert f'    31 | every = "{MARKUP}"\n' in result.stderr


def test_long_lines_are_not_wrapped(
    command: Command, write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = "very " * 30 + "long"
    recipe = write_recipe({"": f'summary = "{long}"\nlatent = {{ dim = 4 }}'})
    assert long in command("recipes", ".").stdout
    result = command("run", recipe, "train.iterations=1", "--id", "one")
    assert len(result.stderr.splitlines()) == 4
    assert len(command("check", f"{long}.toml").stderr.splitlines()) == 3


def test_a_terminal_shows_a_bar(
    recipe: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    result = command("run", recipe, "--id", "one", terminal=True)
    assert (result.returncode, result.stdout) == (0, "runs/tiny/one\n")
    assert "━" in result.stderr
    assert "6/6" in result.stderr
    assert "g/loss" in result.stderr


def test_other_ranks_than_the_first_are_silent(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train_recipe(recipe: object, *arguments: object, **options: object) -> None:
        trained.append(recipe)

    monkeypatch.setattr("ganzoo.engine.training.train_recipe", train_recipe)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = command("run", recipe)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert len(trained) == 1
    assert not Path("runs").exists()
    result = command("run", recipe, "loss.type=minmax")
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


@pytest.mark.parametrize("arguments", [["components"], ["schema"], ["check", "tiny.toml"]])
def test_a_reader_that_has_gone_is_no_drama(recipe: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "ganzoo", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert result.stderr == ""


LONG = "a" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        *(["check", LONG], ["run", LONG], ["show", f"{LONG}/x"], ["recipes", LONG]),
        *(["resume", LONG], ["sample", LONG, "--out", "x.png"], ["compare", LONG]),
        *(["init", LONG], ["init", f"{LONG}/x"], ["runs", "diff", LONG, LONG]),
        *(["runs", "prune", LONG], ["measure", LONG], ["timelapse", LONG, "--out", "x.gif"]),
        *(
            ["export", LONG, "--format", "hub", "--out", "x"],
            ["check", "tiny.toml", "--plugin", LONG],
        ),
        *(["run", "tiny.toml", "--from", LONG], ["run", "tiny.toml", "--runs", LONG]),
        ["plugin", "new", LONG, "--kind", "loss"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
def test_a_name_that_is_too_long(command: Command, recipe: Path, arguments: list[str]) -> None:
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr


def test_an_extended_name_that_is_too_long(command: Command) -> None:
    Path("long.toml").write_text(f'name = "long"\nextends = "{LONG}"\n')
    result = command("check", "long.toml")
    assert result.returncode == 2
    assert result.stderr.startswith("long.toml:2: extends: ")
