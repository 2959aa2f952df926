"""What things are called elsewhere leads to what they are called here."""

from __future__ import annotations

import pytest

from ganzoo import UserError
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.recipe.settings import OPTIMIZERS
from ganzoo.recipe.toml import KEYS as TABLES
from ganzoo.registry import installed
from ganzoo.specs import KINDS as COMPONENTS
from ganzoo.synonyms import KEYS, KINDS, TYPES


def test_every_other_name_leads_to_something_that_is_there_and_hides_nothing() -> None:
    registry = installed()
    for kind, names in TYPES.items():
        there = registry.names(kind)
        assert set(names.values()) <= set(there), kind
        assert not set(names) & set(there), kind
    assert set(KINDS.values()) <= set(COMPONENTS)
    assert not set(KINDS) & set(COMPONENTS)
    for name, place in KEYS.items():
        assert place.partition(".")[0].partition(",")[0] in TABLES, name


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("loss.type=wgan", "it is called 'wasserstein' here"),
        ("loss.type=BCE", "it is called 'non-saturating' here"),
        ("data.type=folder", "it is called 'image-folder' here"),
        ("train.epochs=3", "recipes have train.iterations, which counts batches"),
        ("lr=1e-3", "recipes have optimizer.lr"),
        ("optimizer.learning_rate=1e-3", "recipes have optimizer.lr"),
        ("seed=3", "recipes have train.seed"),
        ("train.sead=3", "did you mean 'seed'?"),
    ],
)
def test_a_recipe_with_another_name(override: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("digits-mlp-gan", override)
    assert caught.value.problems[0].hint == hint


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("data", "it is called 'dataset' here: ganzoo components dataset"),
        ("losses", "it is called 'loss' here: ganzoo components loss"),
        ("metrics", "it is called 'metric' here: ganzoo components metric"),
        ("optimizer", f"[optimizer] takes '{next(iter(OPTIMIZERS))}'"),
        ("nothing", "there is 'generator'"),
    ],
)
def test_a_kind_with_another_name(kind: str, hint: str) -> None:
    from ganzoo.cli.components import components

    with pytest.raises(UserError) as caught:
        components(kind)
    assert (caught.value.hint or "").startswith(hint)
