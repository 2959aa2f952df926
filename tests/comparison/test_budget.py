"""What a budget means in iterations of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganzoo.comparison import Budget, entrants, parse_budget
from ganzoo.comparison.budget import images_read, iterations_for_images
from ganzoo.comparison.entrants import within
from ganzoo.errors import UserError
from ganzoo.recipe import Recipe

Load = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("iterations=2000", "iterations", 2000),
        ("images=1_000_000", "images", 1_000_000),
        ("seconds=60", "seconds", 60),
    ],
)
def test_a_budget_is_parsed(text: str, kind: str, amount: int) -> None:
    assert parse_budget(text) == Budget(kind, amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", ["1_000_000_001", "9" * 5000])
def test_a_budget_that_nobody_has_is_refused(amount: str) -> None:
    with pytest.raises(UserError, match="the budget is larger than 1_000_000_000"):
        parse_budget(f"iterations={amount}")
    assert parse_budget("images=0001_000_000_000").amount == 10**9


@pytest.mark.parametrize(
    "text",
    [
        *("", "60", "seconds", "seconds=", "seconds=1.5", "seconds=-1", "seconds=0", "hours=1"),
        *("images=1__0", "images=1_", "images=_1", " images=1", "images=1 ", "images=1e6"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_budget(text)
    assert caught.value.message == f"'{text}' is no budget"
    assert caught.value.hint == "iterations=2000, images=1_000_000 or seconds=60"


def test_a_budget_in_words() -> None:
    assert str(parse_budget("images=1_000_000")) == "1,000,000 images each"


def fewest(recipe: Recipe, images: int) -> int:
    """`iterations_for_images`, held to what it says of itself."""
    iterations = iterations_for_images(recipe, images)
    assert images_read(recipe, iterations) >= images
    assert images_read(recipe, iterations - 1) < images
    return iterations


def test_images_of_an_alternating_schedule(load: Load) -> None:
    # Of a non-saturating GAN only the discriminator looks at real samples.
    assert fewest(load("gan.toml"), 16 * 30) == 30
    assert fewest(load("gan.toml"), 16 * 30 + 1) == 31
    assert fewest(load("gan.toml"), 1) == 1
    assert fewest(load("gan.toml", "schedule.discriminator_steps=5"), 16 * 5 * 30) == 30
    assert fewest(load("gan.toml", "schedule.generator_steps=3"), 16 * 30) == 30


def test_a_relativistic_generator_reads_images_too(load: Load) -> None:
    recipe = load("gan.toml", "loss.type=relativistic", "schedule.discriminator_steps=5")
    assert fewest(recipe, 16 * 6 * 30) == 30


def test_images_of_a_joint_schedule(load: Load) -> None:
    assert fewest(load("vae.toml"), 16 * 30) == 30
    assert fewest(load("vae.toml", "train.batch_size=8"), 16 * 30) == 60


def test_a_simultaneous_update_reads_one_batch(load: Load) -> None:
    assert fewest(load("gan.toml", "schedule.type=simultaneous"), 16 * 30) == 30


def test_an_annealed_schedule_is_stretched_to_the_length_that_is_sought(load: Load) -> None:
    # k is 5, 4, 3, 2, 1 in fifths of the first half and 1 in the second: a mean of 2. The
    # recipe's own length of 20 iterations does not count.
    annealed = ("schedule.type=annealed", "schedule.initial_discriminator_steps=5")
    assert fewest(load("gan.toml", *annealed), 16 * 200) == 100
    assert fewest(load("gan.toml", *annealed, "train.iterations=9999"), 16 * 200) == 100


def test_the_fewest_iterations_are_found_where_a_guess_overshoots(load: Load) -> None:
    # k rises from 1 to 5, so the first iteration promises less than is read.
    rising = ("schedule.type=annealed", "schedule.initial_discriminator_steps=1")
    recipe = load("gan.toml", *rising, "schedule.discriminator_steps=5")
    lengths = [fewest(recipe, 16 * batches) for batches in range(1, 120)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 30


def test_more_steps_at_the_start_count_at_the_start(load: Load) -> None:
    warm_up = ("schedule.type=warm-up", "schedule.warm_up_iterations=3")
    recipe = load("gan.toml", *warm_up, "schedule.warm_up_discriminator_steps=10")
    assert fewest(recipe, 16 * 25) == 3
    assert fewest(recipe, 16 * 40) == 13


def test_a_schedule_that_observes_does_what_it_does_at_first(load: Load) -> None:
    recipe = load("gan.toml", "schedule.type=adaptive")
    assert fewest(recipe, 16 * 30) == 30


def test_a_recipe_that_reads_nothing_has_no_budget_of_images(load: Load) -> None:
    with pytest.raises(UserError) as caught:
        iterations_for_images(load("blind.toml"), 100)
    assert caught.value.message == (
        "recipe 'blind' reads no images, so it cannot have a budget of images"
    )
    assert caught.value.hint == "--budget iterations=... works"


# From the budget to the recipe.


def test_a_budget_changes_the_length_and_nothing_else(load: Load, tmp_path: Path) -> None:
    recipe = load("gan.toml")
    longer = within(Budget("iterations", 70), recipe, tmp_path)
    assert longer.train.iterations == 70
    assert longer.changed(train={"iterations": 20}) == recipe
    assert within(Budget("images", 16 * 40), recipe, tmp_path).train.iterations == 40


def test_seconds_are_about_as_many(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganzoo import zoo

    monkeypatch.setattr("ganzoo.comparison.jobs.CALIBRATION_SECONDS", 0.5)
    recipe = within(Budget("seconds", 1), load("gan.toml", "log.every=1000"), tmp_path)
    run = zoo.train(recipe, runs=tmp_path / "runs")
    assert 0.2 < run.status["seconds"] < 5


def test_the_speed_is_measured_once(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = []

    def speed(function: object, recipe: str) -> float:
        recipes.append(recipe)
        return 12.5 * len(recipes)

    monkeypatch.setattr(entrants, "in_own_process", speed)
    first, other = load("gan.toml"), load("gan.toml", "train.batch_size=8")
    assert within(Budget("seconds", 10), first, tmp_path).train.iterations == 125
    assert within(Budget("seconds", 10), other, tmp_path).train.iterations == 250
    assert within(Budget("seconds", 20), first, tmp_path).train.iterations == 250
    assert recipes == [first.to_toml(), other.to_toml()]
    assert (tmp_path / "speeds.json").exists()


def test_a_very_slow_recipe_still_trains(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrants, "in_own_process", lambda *arguments: 0.01)
    assert within(Budget("seconds", 1), load("gan.toml"), tmp_path).train.iterations == 1
