"""`ganzoo schema`: the JSON Schema of a recipe, for editors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from jsonschema import Draft202012Validator

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]


@pytest.fixture
def validator(command: Command) -> Draft202012Validator:
    result = command("schema")
    assert (result.returncode, result.stderr) == (0, "")
    schema: dict[str, Any] = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_a_good_recipe_is_valid(validator: Draft202012Validator, recipe: Path) -> None:
    validator.validate(tomllib.loads(recipe.read_text()))


def test_every_recipe_of_the_repository_is_valid(validator: Draft202012Validator) -> None:
    files = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
    assert files
    for file in files:
        validator.validate(tomllib.loads(file.read_text()))


def test_what_show_prints_is_valid(
    validator: Draft202012Validator, command: Command, points: Path
) -> None:
    validator.validate(tomllib.loads(command("show", points).stdout))


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": 'type = "mpl"'},
        {"generator": 'type = "mlp"\nhiden = [16]'},
        {"generator": 'type = "mlp"\nhidden = "wide"'},
        {"loss": None},
        {"train": "iterations = 0"},
    ],
    ids=["unknown type", "unknown key", "wrong type", "missing table", "out of range"],
)
def test_a_wrong_recipe_is_not(
    validator: Draft202012Validator, write_recipe: WriteRecipe, changes: dict[str, str | None]
) -> None:
    assert not validator.is_valid(tomllib.loads(write_recipe(changes).read_text()))
