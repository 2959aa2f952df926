"""Folders for data and for the cache that cannot be used: said before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ganzoo import open_run
from ganzoo.folders import warn_once

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

IMAGES = {
    "evaluate": "samples = 50",
    "extractor": 'type = "random"',
    "[metrics]": 'type = "nearest"',
}
"""A metric that reads features of images."""
NOWHERE = "/dev/null/x"
PROBLEM = (
    f"nothing can be kept in the cache folder {NOWHERE}/.cache/ganzoo/evaluation: Not a directory"
)
KEEP = "set GANZOO_CACHE to a folder that can be written"


@pytest.fixture(autouse=True)
def _homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no home."""
    warn_once.cache_clear()
    monkeypatch.setenv("HOME", NOWHERE)
    for name in ("XDG_CACHE_HOME", "GANZOO_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_a_run_goes_on_without_a_cache(command: Command, write_recipe: WriteRecipe) -> None:
    result = command("run", write_recipe(IMAGES), "--id", "one")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    warnings = [number for number, line in enumerate(lines) if "GANZOO_CACHE" in line]
    assert [lines[number] for number in warnings] == [
        f"warning: {PROBLEM}; features of real samples are computed anew each time. "
        f"To keep them, {KEEP}"
    ]
    (training,) = (number for number, line in enumerate(lines) if "6 iterations of batch" in line)
    assert warnings[0] < training
    assert any(
        name.startswith("nearest") for name in open_run("runs/tiny/one").evaluation["values"]
    )


def test_what_needs_no_cache_says_nothing_of_it(
    command: Command, recipe: Path, points: Path
) -> None:
    for each in (recipe, points):
        result = command("run", each)
        assert result.returncode == 0, result.stderr
        assert "GANZOO_CACHE" not in result.stderr


def test_check_says_so_too(command: Command, write_recipe: WriteRecipe) -> None:
    result = command("check", write_recipe(IMAGES))
    assert result.returncode == 0
    assert result.stderr.startswith(f"warning: {PROBLEM}; ")


def test_a_comparison_needs_a_cache(command: Command, write_recipe: WriteRecipe) -> None:
    result = command("compare", write_recipe(IMAGES), "--seeds", "2")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{PROBLEM}, and all runs are measured in the same features\n  = {KEEP}\n"
    )
    assert not Path("comparison").exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_the_place_of_the_cache(
    command: Command,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    cache = tmp_path / "cache"
    cache.write_text("mine") if kind == "file" else cache.symlink_to("nowhere")
    monkeypatch.setenv("GANZOO_CACHE", str(cache))
    result = command("run", write_recipe(IMAGES))
    assert result.returncode == 0, result.stderr
    reason = {"file": "Not a directory", "link": "No such file or directory"}[kind]
    assert f"warning: nothing can be kept in the cache folder {cache}: {reason}; " in result.stderr


def test_a_data_folder_into_which_nothing_can_be_downloaded(
    command: Command, write_recipe: WriteRecipe
) -> None:
    result = command("run", write_recipe({"data": 'type = "mnist"'}))
    assert (result.returncode, result.stdout) == (2, "")
    root = f"{NOWHERE}/.cache/ganzoo"
    assert result.stderr == (
        f"mnist: not in {root}/MNIST, and nothing can be downloaded into {root}: Not a directory\n"
        "  = set GANZOO_DATA to the folder that holds MNIST/, or to one that can be written\n"
    )
    assert not list(Path("runs").glob("*/*"))


@pytest.mark.parametrize("variable", ["GANZOO_DATA", "GANZOO_CACHE"])
def test_a_home_that_is_not_there(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    result = command("run", recipe)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"{variable} = ~nobody-of-this-name/x: there is no such home\n  = give an absolute path\n"
    )
