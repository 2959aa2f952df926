"""Examples in docstrings run; the README names commands, recipes and files that there are."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import ganzoo
import ganzoo.exporting
import ganzoo.measuring
import ganzoo.recipe
import ganzoo.run
import ganzoo.zoo
from ganzoo import hookspecs
from ganzoo.cli.app import app
from ganzoo.plugins import Plugin
from ganzoo.recipe import RecipeError
from ganzoo.recipe.shipped import shipped
from ganzoo.registry import Registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "module",
    [ganzoo.zoo, ganzoo.measuring, ganzoo.recipe, ganzoo.exporting, ganzoo.run],
    ids=lambda module: module.__name__,
)
def test_examples_in_docstrings(
    module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    tests = [
        test
        for test in doctest.DocTestFinder().find(module, extraglobs={"tmp": tmp_path})  # type: ignore[arg-type]
        if test.examples
    ]
    assert tests
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        assert runner.run(test).failed == 0, test.name


@pytest.mark.parametrize(
    "name", ["load_recipe", "train", "open_run", "export", "components", "measure"]
)
def test_the_python_functions_have_an_example(name: str) -> None:
    assert ">>> import ganzoo" in getattr(ganzoo, name).__doc__


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    (make \w+)$", README, re.MULTILINE)[:2]
    assert commands == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_the_readme_names_commands_and_files_that_there_are() -> None:
    known = {each.name for each in (*app.registered_commands, *app.registered_groups)}
    table = README[README.index("## The command line") :]
    assert set(re.findall(r"`ganzoo (\w+)", table)) == known
    used = {line.split()[1] for line in re.findall(r"^    (ganzoo .*)$", README, re.MULTILINE)}
    assert used <= known
    links = re.findall(r"\]\(([^)#]+)\)", README)
    trained = re.findall(r"^    ganzoo (?:run|compare) (.*)$", README, re.MULTILINE)
    names = {word for line in trained for word in re.findall(r"(?<!\S)[a-z]+(?:-\w+)+(?!\S)", line)}
    assert len(links) >= 1
    assert len(names) >= 2
    assert names <= shipped().keys()
    for file in links:
        assert (ROOT / file).exists(), file


def test_the_readme_shows_the_problems_that_are_found(tmp_path: Path) -> None:
    """The message in the README is what the command prints for that mistake."""
    shown = re.search(r"before\nanything is built:\n\n((?:    .*\n)+)", README)
    assert shown is not None
    source = (ROOT / "recipes" / "digits-mlp-gan.toml").read_text()
    wrong = source.replace("dropout = 0.3", "droput = 0.3").replace("non-saturating", "minmax")
    (tmp_path / "mine.toml").write_text(wrong)
    with pytest.raises(RecipeError) as caught:
        ganzoo.load_recipe(tmp_path / "mine.toml")
    printed = str(caught.value).replace(str(tmp_path), "recipes")
    lines = [line[4:] for line in shown[1].splitlines()]
    assert lines == printed.splitlines()


def test_a_plugin_of_the_readme_is_one(registry_of_readme: Registry) -> None:
    assert registry_of_readme.names("generator") == ["mlp"]


@pytest.fixture
def registry_of_readme() -> Registry:
    """The example plugin, executed."""
    code = re.search(r"    class MLPGenerator.*?return \[MLPGenerator\]\n", README, re.DOTALL)
    assert code is not None
    text = "\n".join(line[4:] for line in code[0].splitlines())
    preamble = (
        "from typing import ClassVar\n"
        "from pydantic import Field, PositiveInt\n"
        "from ganzoo.api import GeneratorSpec, hookimpl\n"
    )
    names: dict[str, object] = {}
    exec(preamble + text, names)
    spec = names["ganzoo_generators"]()  # type: ignore[operator]
    return Registry([Plugin("readme", "readme", "1", tuple(("generator", one) for one in spec))])


def test_the_hooks_stand_with_their_signatures() -> None:
    headings = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "hooks.md").read_text(), re.MULTILINE)
    hooks = [
        f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in vars(hookspecs).items()
        if name.startswith("ganzoo_")
    ]
    assert headings == hooks
    assert len(hooks) == len(hookspecs.COMPONENT_HOOKS) + 6


def test_every_key_of_a_recipe_is_documented() -> None:
    """docs/recipes.md is what `make docs` would write now."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / "recipes.md").read_text() == generate.page(), "run make docs"


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("*.md")), ids=lambda file: file.name)
def test_the_pages_link_to_files_that_there_are(file: Path) -> None:
    text = file.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (file.parent / link).exists(), link


def test_the_architecture_names_places_that_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    places = re.findall(r"`(ganzoo/[\w./]+)`", text)
    places += [f"ganzoo/{place}" for place in re.findall(r"`((?:engine|recipe)/\w+\.py)`", text)]
    assert len(places) > 15
    for place in places:
        assert (ROOT / place).exists(), place
