"""The JSON Schema, judged by an independent validator."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from components import (
    CORE,
    PARTS,
    Buildable,
    Dots,
    JudgeLoss,
    PlainDiscriminator,
    WriteFile,
    plugin,
    recipe_text,
)
from jsonschema import Draft202012Validator
from pydantic import Field

from ganzoo.api import DiscriminatorSpec, GeneratorSpec, ListenerSpec, LossSpec, Phase, Role, Value
from ganzoo.builtin.extractors import ganzoo_extractors
from ganzoo.recipe import load_recipe
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.schema import recipe_schema
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Registry


class ConditionalGenerator(Buildable, GeneratorSpec):
    """A generator of samples of a class."""

    type: ClassVar[str] = "conditional"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})


class ConditionalDiscriminator(Buildable, DiscriminatorSpec):
    """A discriminator that knows the classes."""

    type: ClassVar[str] = "conditional"
    provides: ClassVar[frozenset[str]] = frozenset({"classes"})


class LabelledDots(Dots):
    """Points of three classes."""

    type: ClassVar[str] = "labelled"

    @property
    def num_classes(self) -> int | None:
        return 3


class CriticLoss(Buildable, LossSpec):
    """A loss with a network of its own."""

    type: ClassVar[str] = "critic"
    networks: ClassVar[Mapping[str, Role]] = {"critic": Role(kind="discriminator", sees="codes")}
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator", "critic"}))
    }

    weight: Value = Field(1.0, ge=0, description="weight of the critic's term")


class NotesListener(Buildable, ListenerSpec):
    """Takes notes."""

    type: ClassVar[str] = "notes"


MORE = plugin(
    ConditionalGenerator, ConditionalDiscriminator, LabelledDots, CriticLoss, NotesListener
)
EXTRACTORS = plugin(*ganzoo_extractors(), distribution="ganzoo-core")
REGISTRY = Registry([CORE, EXTRACTORS, PARTS, MORE])


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
        optimizer = properties["optimizer"]
        own = (optimizer["properties"]["generator"], optimizer["additionalProperties"])
        for table in (optimizer, *own):
            assert set(settings.model_fields) < set(table["properties"])
    assert properties["optimizer"]["properties"]["type"]["enum"] == list(OPTIMIZERS)


def test_descriptions_reach_the_editor() -> None:
    properties = recipe_schema(Registry([CORE, PARTS]))["properties"]
    branches = properties["discriminator"]["oneOf"]
    (plain,) = (
        branch
        for branch in branches
        if "plain" in branch.get("properties", {}).get("type", {}).get("enum", [])
    )
    assert plain["description"] == "A discriminator."
    described = plain["properties"]["base_channels"]["description"]
    assert described == "channels of the first layer"


def test_an_ambiguous_type_is_offered_by_its_qualified_names_only() -> None:
    registry = Registry([CORE, PARTS, plugin(JudgeLoss, distribution="ganzoo-zoo")])
    names = types(recipe_schema(registry)["properties"]["loss"])
    assert "judge" not in names
    assert {"ganzoo-testing:judge", "ganzoo-zoo:judge"} < names


def test_bounds_of_a_number_that_may_change_stand_where_validators_look() -> None:
    properties = recipe_schema(REGISTRY)["properties"]
    decay = properties["ema"]["properties"]["decay"]
    assert not {"gt", "ge", "lt", "le"} & set(decay)
    number, ramp, ramps = decay["oneOf"]
    bounds = {"minimum": 0, "exclusiveMaximum": 1}
    assert number == {"type": "number", **bounds}
    for each in (ramp, ramps["items"]):
        for end in ("from", "to"):
            assert bounds.items() <= each["properties"][end].items()


def test_a_registry_without_plugins_gives_a_schema_too() -> None:
    Draft202012Validator.check_schema(recipe_schema(Registry([])))
    Draft202012Validator.check_schema(recipe_schema(Registry([plugin(PlainDiscriminator)])))


JOINT: dict[str, str | None] = {"schedule": 'type = "joint"', "discriminator": None}

GOOD: list[Any] = [
    pytest.param({}, id="plain"),
    pytest.param({"": "latent.dim = 3"}, id="no name"),
    pytest.param({"loss": 'type = "ganzoo-core:minimax"'}, id="qualified type"),
    pytest.param({"generator": 'type = "plain"\nhidden = []\nrange = [0, 1.5]'}, id="arrays"),
    pytest.param({"generator.normalisation": "groups = [1, 2]"}, id="a table in a table"),
    pytest.param({"[regularizers]": 'type = "penalty"\ngamma = 1'}, id="arrays of tables"),
    pytest.param({"optimizer.generator": 'type = "sgd"\nlr = 1'}, id="a network's optimizer"),
    pytest.param({"optimizer": 'type = "adam"\nlr = { from = 0, to = 1 }'}, id="a ramp"),
    pytest.param(
        {
            "optimizer": 'type = "adam"\nbetas = [0, { from = 0.9, to = 0.99 }]\nlr = [\n'
            "{ from = 0, to = 1, over = [0, 0.1] },\n"
            '{ from = 1, to = 0, shape = "cosine", over = [0.5, 1] },\n]'
        },
        id="several ramps",
    ),
    pytest.param({"prior": 'type = "normal"', "loss": 'type = "codes"', **JOINT}, id="a prior"),
    pytest.param({"[priors]": 'type = "latent"', "prior": 'type = "latent"'}, id="priors"),
    pytest.param({"extractor": 'type = "random"'}, id="an extractor"),
    pytest.param({"[listeners]": 'type = "notes"'}, id="a listener"),
    pytest.param({"discriminator": 'type = "plain"\npack = 2'}, id="packing"),
    pytest.param({"[augmentations]": 'type = "flip"\npaired = true'}, id="one draw"),
    pytest.param(
        {
            "loss": 'type = "critic"\nweight = { from = 1, to = 0 }',
            "networks.critic": 'type = "plain"\nbase_channels = 8',
            "optimizer.critic": "lr = 1e-4",
            **JOINT,
        },
        id="a further network",
    ),
    pytest.param(
        {
            "": 'condition = "class"',
            "data": 'type = "labelled"',
            "generator": 'type = "conditional"',
            "discriminator": 'type = "conditional"',
        },
        id="classes",
    ),
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
    pytest.param({"": 'condition = "colour"'}, id="unknown condition"),
    pytest.param({"optimizer": 'type = "adam"\nlr = -1'}, id="a number out of bounds"),
    pytest.param(
        {"optimizer": 'type = "adam"\nlr = { from = 1, to = -1 }'}, id="end out of bounds"
    ),
    pytest.param({"optimizer": 'type = "adam"\nlr = { from = 1 }'}, id="a ramp without an end"),
    pytest.param({"optimizer": 'type = "adam"\nlr = []'}, id="no ramp"),
    pytest.param(
        {"optimizer": 'type = "adam"\nlr = [{ from = -1, to = 1 }]'}, id="begin out of bounds"
    ),
    pytest.param({"optimizer": 'type = "adam"\nlr = 1\nsped = 1'}, id="an unknown option"),
    pytest.param({"networks.critic": 'type = "plane"'}, id="unknown type of a further network"),
    pytest.param({"networks.critic": "base_channels = 1"}, id="a further network without type"),
    pytest.param({"prior": "components = 3"}, id="a prior without type"),
    pytest.param({"prior": 'type = "mixture"\ncomponents = 0'}, id="a key of a prior"),
    pytest.param({"[listeners]": 'type = "note"'}, id="unknown listener"),
    pytest.param({"discriminator": 'type = "plain"\npack = 0'}, id="packs of nothing"),
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
        ("[networks.critic]\nbase_channels = 1\n", True),
        ('[networks.critic]\ntype = "plain"\nbase_chanels = 1\n', False),
    ],
)
def test_a_recipe_that_extends_another_need_not_be_complete(
    validator: Draft202012Validator, text: str, valid: bool
) -> None:
    assert validator.is_valid(tomllib.loads('extends = "base.toml"\n' + text)) is valid
