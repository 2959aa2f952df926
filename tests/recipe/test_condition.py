"""Which recipes may say `condition = "class"`, and what the others are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from components import (
    CORE,
    PARTS,
    CountMetric,
    Dots,
    GaussianEncoder,
    PlainDiscriminator,
    PlainGenerator,
    WriteFile,
    plugin,
    recipe_text,
)

from ganzoo.recipe import Recipe, RecipeError, load_recipe
from ganzoo.registry import Registry

Load = Callable[..., Recipe]
CLASSES = frozenset({"classes"})


class ColouredDots(Dots):
    """Points of three colours."""

    type: ClassVar[str] = "coloured"
    provides: ClassVar[frozenset[str]] = frozenset({"labels"})

    @property
    def num_classes(self) -> int | None:
        return 3


class ClassGenerator(PlainGenerator):
    """A generator of a class."""

    type: ClassVar[str] = "by-class"
    provides: ClassVar[frozenset[str]] = CLASSES


class ClassDiscriminator(PlainDiscriminator):
    """A discriminator of a class."""

    type: ClassVar[str] = "by-class"
    provides: ClassVar[frozenset[str]] = CLASSES


class ClassEncoder(GaussianEncoder):
    """An encoder of a class."""

    type: ClassVar[str] = "by-class"
    provides: ClassVar[frozenset[str]] = CLASSES | {"variance"}


class ClassMetric(CountMetric):
    """Counts the samples of each class."""

    type: ClassVar[str] = "class-count"
    needs: ClassVar[frozenset[str]] = frozenset({"condition"})


MINE = plugin(
    *(ColouredDots, ClassGenerator, ClassDiscriminator, ClassEncoder, ClassMetric),
    distribution="ganzoo-classes",
)
REGISTRY = Registry([CORE, PARTS, MINE])

CONDITIONAL: dict[str, str | None] = {
    "": 'name = "classes"\ncondition = "class"\nlatent = { dim = 8 }',
    "data": 'type = "coloured"',
    "generator": 'type = "by-class"',
    "discriminator": 'type = "by-class"',
}
PLAIN = {"": 'name = "plain"\nlatent = { dim = 8 }'}
AUTOENCODER = {
    **CONDITIONAL,
    "discriminator": None,
    "loss": 'type = "evidence"',
    "schedule": 'type = "joint"',
}


@pytest.fixture
def load(write: WriteFile) -> Load:
    """`load(changes)` is the conditional recipe with some tables changed."""

    def load(changes: dict[str, str | None] | None = None) -> Recipe:
        return load_recipe(
            write(recipe_text({**CONDITIONAL, **(changes or {})})), registry=REGISTRY
        )

    return load


def problems(load: Load, changes: dict[str, str | None]) -> list[tuple[str, str, str | None]]:
    """Key, message and hint of all problems of a recipe."""
    with pytest.raises(RecipeError) as caught:
        load(changes)
    return [(each.key, each.message, each.hint) for each in caught.value.problems]


def test_a_conditional_recipe(load: Load) -> None:
    recipe = load()
    assert recipe.condition == "class"
    assert recipe.tables()["condition"] == "class"
    assert load(AUTOENCODER | {"encoder": 'type = "by-class"'}).condition == "class"


def test_it_reads_back_the_same_and_is_another_run(load: Load, write: WriteFile) -> None:
    recipe = load()
    again = load_recipe(write(recipe.to_toml(), "again.toml"), registry=REGISTRY)
    assert again == recipe
    plain = load({"": 'name = "classes"\nlatent = { dim = 8 }'})
    assert plain.condition is None
    assert "condition" not in plain.tables()
    assert plain.fingerprint != recipe.fingerprint


def test_other_conditions_are_unknown(load: Load) -> None:
    ((key, message, _),) = problems(load, {"": 'condition = "colour"\nlatent = { dim = 8 }'})
    assert key == "condition"
    assert "'class'" in message


@pytest.mark.parametrize("slot", ["generator", "discriminator", "encoder"])
def test_a_network_that_cannot(load: Load, slot: str) -> None:
    changes = {slot: 'type = "plain"'}
    if slot == "encoder":
        changes = {**AUTOENCODER, slot: 'type = "gaussian"'}
    name = "gaussian" if slot == "encoder" else "plain"
    assert problems(load, changes) == [
        (
            f"{slot}.type",
            f"{slot} '{name}' cannot be conditioned on classes",
            "'by-class' can",
        )
    ]


def test_data_without_classes(load: Load) -> None:
    assert problems(load, {"data": 'type = "dots"'}) == [
        ("condition", "dataset 'dots' has no classes", "'coloured' has")
    ]


def test_packs_have_no_class(load: Load) -> None:
    assert problems(load, {"discriminator": 'type = "by-class"\npack = 2'}) == [
        (
            "discriminator.pack",
            "a pack holds samples of several classes",
            "leave out one of the two",
        )
    ]
    load({**PLAIN, "discriminator": 'type = "by-class"\npack = 2'})


def test_a_batch_is_cut_into_whole_packs(load: Load) -> None:
    recipe = {**PLAIN, "discriminator": 'type = "plain"\npack = 3'}
    train = "iterations = 10\nbatch_size = {}"
    assert problems(load, {**recipe, "train": train.format(8)}) == [
        (
            "discriminator.pack",
            "train.batch_size = 8 cannot be cut into packs of 3",
            "make one a multiple of the other",
        )
    ]
    load({**recipe, "train": train.format(9)})


def test_packs_are_not_for_generators_that_use_the_discriminator(load: Load) -> None:
    recipe = {**PLAIN, "discriminator": 'type = "plain"\npack = 2'}
    load(recipe)
    assert problems(load, {**recipe, "generator": 'type = "searching"'}) == [
        (
            "discriminator.pack",
            "generator 'searching' needs the logits of single samples",
            "leave out one of the two",
        )
    ]


def test_every_problem_is_named_at_once(load: Load) -> None:
    changes = {
        "data": 'type = "dots"',
        "generator": 'type = "plain"',
        "discriminator": 'type = "plain"\npack = 2',
    }
    keys = [key for key, _, _ in problems(load, changes)]
    assert sorted(keys) == [
        "condition",
        "discriminator.pack",
        "discriminator.type",
        "generator.type",
    ]


def test_a_metric_of_classes_needs_the_condition(load: Load) -> None:
    metric = {"[metrics]": 'type = "class-count"'}
    assert [each.name for each in load(metric).metrics] == ["class-count"]
    assert problems(load, {**PLAIN, **metric}) == [
        (
            "metrics.0.type",
            "metric 'class-count' needs a class-conditional recipe",
            'write condition = "class" above the first table',
        )
    ]


def test_networks_that_could_need_not(load: Load) -> None:
    assert load(PLAIN).condition is None
