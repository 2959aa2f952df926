"""`ganzoo init`: a small project of one's own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import ganzoo

Command = Callable[..., CompletedProcess[str]]


def test_a_project_is_ready_to_run(command: Command) -> None:
    result = command("init", "my-digits", "grid-mlp-gan")
    file = Path("my-digits/my-digits.toml")
    assert (result.returncode, result.stdout) == (0, f"{file.resolve()}\n")
    assert result.stderr == "next:\n  cd my-digits\n  ganzoo run my-digits.toml\n"
    recipe, original = ganzoo.load_recipe(file), ganzoo.load_recipe("grid-mlp-gan")
    assert recipe.name == "my-digits"
    assert recipe.tables() | {"name": original.name} == original.tables()
    assert sorted(path.name for path in Path("my-digits").iterdir()) == [
        *(".gitignore", ".vscode", "my-digits.toml", "recipe.schema.json")
    ]


def test_an_editor_finds_the_schema_and_git_leaves_runs_alone(command: Command) -> None:
    command("init", "mine")
    directive = Path("mine/mine.toml").read_text().splitlines()[0]
    schema = json.loads((Path("mine") / directive.removeprefix("#:schema ")).read_text())
    assert schema == json.loads(command("schema").stdout)
    assert Path("mine/.gitignore").read_text().split() == ["/runs/", "/comparison/"]
    assert "tamasfe.even-better-toml" in Path("mine/.vscode/extensions.json").read_text()


def test_an_empty_folder_that_one_stands_in(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    inode = Path("mine").stat().st_ino
    monkeypatch.chdir("mine")
    assert command("init", ".").returncode == 0
    assert tomllib.loads(Path("mine.toml").read_text())["name"] == "mine"
    assert Path("../mine").stat().st_ino == inode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine", "digits-vea"), "no recipe 'digits-vea' comes with ganzoo\n"),
        (("my digits",), "'my digits' is no name for one\n"),
        (("nowhere/mine",), "there is no folder "),
        (("full",), "full is there already, and nothing is overwritten\n"),
    ],
)
def test_what_cannot_be_made(command: Command, arguments: tuple[str, ...], message: str) -> None:
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    result = command("init", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert [path.name for path in Path().rglob("*")] == ["full", "notes.txt"]
