"""The JSON Schema, judged by an independent validator."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from components import (
    CORE,
    PARTS,
    REGISTRY,
    JudgeLoss,
    PlainDiscriminator,
    WriteFile,
    plugin,
    recipe_text,
)
from jsonschema import Draft202012Validator

from ganzoo.recipe import load_recipe
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.schema import recipe_schema
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Registry


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = recipe_schema(REGISTRY)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def types(table: dict[str, Any]) -> set[str]:
    """Names that a component's table may give as its type."""
    return {
        name
        for branch in table["oneOf"]
        for name in branch.get("properties", {}).get("type", {}).get("enum", [])
    }


def test_every_type_of_every_kind_is_in_it() -> None:
    properties = recipe_schema(REGISTRY)["properties"]
    tables = {kind: properties[slot] for slot, kind in SLOTS.items()}
    tables |= {kind: properties[array]["items"] for array, kind in ARRAYS.items()}
    for kind, table in tables.items():
        names = {entry.spec.type for entry in REGISTRY.entries(kind)}
        assert names
        assert types(table) == names | {entry.qualified for entry in REGISTRY.entries(kind)}


def test_every_table_and_optimizer_is_in_it() -> None:
    properties = recipe_schema(REGISTRY)["properties"]
    for name, settings in TABLES.items():
        assert set(properties[name]["properties"]) == set(settings.model_fields)
    for settings in OPTIMIZERS.values():
        for table in (properties["optimizer"], properties["optimizer"]["properties"]["generator"]):
            assert set(settings.model_fields) < set(table["properties"])
    assert properties["optimizer"]["properties"]["type"]["enum"] == list(OPTIMIZERS)


def test_descriptions_reach_the_editor() -> None:
    branches = recipe_schema(REGISTRY)["properties"]["discriminator"]["oneOf"]
    (plain,) = (branch for branch in branches if "properties" in branch)
    assert plain["description"] == "A discriminator."
    described = plain["properties"]["base_channels"]["description"]
    assert described == "channels of the first layer"


def test_an_ambiguous_type_is_offered_by_its_qualified_names_only() -> None:
    registry = Registry([CORE, PARTS, plugin(JudgeLoss, distribution="ganzoo-zoo")])
    names = types(recipe_schema(registry)["properties"]["loss"])
    assert "judge" not in names
    assert {"ganzoo-testing:judge", "ganzoo-zoo:judge"} < names


def test_a_registry_without_plugins_gives_a_schema_too() -> None:
    Draft202012Validator.check_schema(recipe_schema(Registry([])))
    Draft202012Validator.check_schema(recipe_schema(Registry([plugin(PlainDiscriminator)])))


GOOD: list[Any] = [
    pytest.param({}, id="plain"),
    pytest.param({"": "latent.dim = 3"}, id="no name"),
    pytest.param({"loss": 'type = "ganzoo-core:minimax"'}, id="qualified type"),
    pytest.param({"generator": 'type = "plain"\nhidden = []\nrange = [0, 1.5]'}, id="arrays"),
    pytest.param({"generator.normalisation": "groups = [1, 2]"}, id="a table in a table"),
    pytest.param({"[regularizers]": 'type = "penalty"\ngamma = 1'}, id="arrays of tables"),
    pytest.param({"optimizer.generator": 'type = "sgd"\nlr = 1'}, id="a network's optimizer"),
]

WRONG: list[Any] = [
    pytest.param({"generator": None}, id="no generator"),
    pytest.param({"generator": "hidden = [1]"}, id="no type"),
    pytest.param({"generator": 'type = "plane"'}, id="unknown type"),
    pytest.param({"generator": 'type = "plain"\nhiden = [1]'}, id="unknown key"),
    pytest.param({"generator": 'type = "plain"\nhidden = ["1"]'}, id="wrong element"),
    pytest.param({"generator": 'type = "plain"\nrange = [1]'}, id="too short"),
    pytest.param({"generator": 'type = "plain"\ndropout = 1'}, id="out of bounds"),
    pytest.param({"generator.normalisation": "momentun = 0.5"}, id="unknown key further in"),
    pytest.param({"train": "seed = 3"}, id="missing key"),
    pytest.param({"train": "iterations = true"}, id="true is not 1"),
    pytest.param({"lgo": "every = 1"}, id="unknown table"),
    pytest.param({"": "name = 3"}, id="name is no text"),
    pytest.param({"optimizer": 'type = "lion"\nlr = 1'}, id="unknown optimizer"),
    pytest.param({"optimizer.generator": "sped = 1"}, id="unknown key of an optimizer"),
    pytest.param({"[regularizers]": "gamma = 1"}, id="no type in an array"),
    pytest.param({"[regularizers]": 'type = "penalty"'}, id="missing key in an array"),
]


@pytest.mark.parametrize("changes", GOOD)
def test_good_recipes_are_valid(
    validator: Draft202012Validator, write: WriteFile, changes: dict[str, str | None]
) -> None:
    text = recipe_text(changes)
    recipe = load_recipe(write(text), registry=REGISTRY)
    validator.validate(tomllib.loads(text))
    validator.validate(tomllib.loads(recipe.to_toml()))


@pytest.mark.parametrize("changes", WRONG)
def test_wrong_recipes_are_not(
    validator: Draft202012Validator, changes: dict[str, str | None]
) -> None:
    assert not validator.is_valid(tomllib.loads(recipe_text(changes)))


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("", True),
        ("[generator]\nhidden = [1]\n[train]\nseed = 3\n", True),
        ('[loss]\ntype = "non-saturating"\n', True),
        ("[optimizer]\nlr = 1.0\n", True),
        ("[train]\nsed = 3\n", False),
        ('[generator]\ntype = "plane"\n', False),
        ("[[regularizers]]\ngamma = 1\n", False),
    ],
)
def test_a_recipe_that_extends_another_need_not_be_complete(
    validator: Draft202012Validator, text: str, valid: bool
) -> None:
    assert validator.is_valid(tomllib.loads('extends = "base.toml"\n' + text)) is valid
