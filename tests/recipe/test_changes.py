"""Recipes with other settings, the times of their snapshots, and what components find in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from components import REGISTRY, recipe_text

from ganzoo.plans import planned_snapshots
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.recipe.model import snapshot_iterations

MakeRecipe = Callable[..., Recipe]
Write = Callable[[str], Path]


@pytest.fixture
def recipe(write: Write) -> MakeRecipe:
    """`recipe("train.seed=1")`: the recipe of the test components with overrides."""
    return lambda *overrides: load_recipe(write(recipe_text()), *overrides, registry=REGISTRY)


@pytest.mark.parametrize(
    ("count", "iterations", "expected"),
    [
        (5, 1000, {200, 400, 600, 800, 1000}),
        (5, 6, {1, 2, 3, 4, 6}),
        (1, 7, {7}),
        (0, 7, set()),
        (5, 3, {1, 2, 3}),
        (5, 1, {1}),
    ],
)
def test_snapshots_are_spread_evenly_and_end_with_the_run(
    recipe: MakeRecipe, count: int, iterations: int, expected: set[int]
) -> None:
    made = recipe(f"evaluate.snapshots={count}", f"train.iterations={iterations}")
    last, kept = made.train.iterations, made.evaluate.snapshots
    assert planned_snapshots([], last, kept) == sorted(expected)
    # Of a run that was made longer, those up to its earlier end stay.
    before = snapshot_iterations(4, kept)
    longer = planned_snapshots([{"fingerprint": "0f", "iterations": 4}], last, kept)
    assert longer == [*before, *(each for each in sorted(expected) if each > 4)]


def test_a_changed_recipe_is_the_recipe_that_says_so(recipe: MakeRecipe) -> None:
    first = recipe()
    changed = first.changed(train={"seed": 3, "iterations": 5}, ema={"decay": 0.5})
    assert changed == recipe("train.seed=3", "train.iterations=5", "ema.decay=0.5")
    assert changed.fingerprint != first.fingerprint
    assert first == recipe()
    assert (
        changed.changed(train={"seed": 0, "iterations": 10}, ema={"decay": 0.0}).fingerprint
        == first.fingerprint
    )


@pytest.mark.parametrize(
    ("needs", "met"),
    [
        (set(), True),
        ({"generator", "discriminator", "data", "loss", "schedule"}, True),
        ({"encoder"}, False),
        ({"generator", "encoder"}, False),
        ({"encoder.variance"}, False),
        ({"loss.probabilities"}, True),
        ({"loss.codes"}, False),
        ({"data.images"}, False),
    ],
)
def test_what_a_recipe_meets(recipe: MakeRecipe, needs: set[str], met: bool) -> None:
    assert recipe().meets(frozenset(needs)) is met


def test_a_capability_is_one_of_the_component_in_that_place(write: Write) -> None:
    changes = {
        "discriminator": None,
        "encoder": 'type = "gaussian"',
        "loss": 'type = "evidence"',
        "schedule": 'type = "joint"',
    }
    made = load_recipe(write(recipe_text(changes)), registry=REGISTRY)
    assert made.meets(frozenset({"encoder.variance"}))
    assert not made.meets(frozenset({"generator.variance"}))
    assert not made.meets(frozenset({"discriminator"}))
