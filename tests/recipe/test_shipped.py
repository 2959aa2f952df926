"""Recipes that come with ganzoo are known by name, and hide no file of anybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganzoo
from ganzoo.recipe import RecipeError
from ganzoo.recipe.shipped import recipe_file, shipped

FOLDER = Path(__file__).parents[2] / "recipes"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_name_means_the_file() -> None:
    assert shipped()["digits-vae"] == FOLDER / "digits-vae.toml"
    assert recipe_file("digits-vae") == FOLDER / "digits-vae.toml"
    assert ganzoo.load_recipe("digits-vae").fingerprint == (
        ganzoo.load_recipe(FOLDER / "digits-vae.toml").fingerprint
    )


def test_a_file_of_that_name_comes_first() -> None:
    Path("digits-vae").write_text('name = "mine"\n')
    assert recipe_file("digits-vae") == Path("digits-vae")


def test_a_recipe_extends_one_by_name(tmp_path: Path) -> None:
    Path("mine.toml").write_text('extends = "digits-vae"\nname = "mine"\n[loss]\nstd = 0.5\n')
    recipe = ganzoo.load_recipe("mine.toml")
    assert recipe.name == "mine"
    assert recipe.loss.spec.std == 0.5
    assert recipe.networks == ganzoo.load_recipe("digits-vae").networks


def test_the_file_beside_the_recipe_comes_first() -> None:
    Path("sub").mkdir()
    Path("sub/digits-vae").write_text('extends = "digits-mlp-gan"\nsummary = "beside"\n')
    Path("sub/mine.toml").write_text('extends = "digits-vae"\nname = "mine"\n')
    assert ganzoo.load_recipe("sub/mine.toml").loss.name == "non-saturating"


def test_recipes_by_name_that_extend_each_other_are_noticed() -> None:
    Path("a.toml").write_text('extends = "a.toml"\nname = "a"\n')
    with pytest.raises(RecipeError, match="extend each other"):
        ganzoo.load_recipe("a.toml")


@pytest.mark.parametrize(
    ("reference", "hint"),
    [("digits-vea", "did you mean 'digits-vae'?"), ("nothing", "`ganzoo recipes` lists")],
)
def test_an_unknown_name(reference: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ganzoo.load_recipe(reference)
    assert caught.value.problems[0].message == "no such recipe"
    assert hint in str(caught.value)
