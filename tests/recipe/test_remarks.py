"""What components say of the recipes that they stand in: problems, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import pytest
from components import REGISTRY, Buildable, WriteFile, plugin, recipe_text

from ganzoo.api import (
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    Phase,
    RegularizerSpec,
    Remark,
    Surroundings,
)
from ganzoo.builtin.losses import MinimaxLoss
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.registry import Registry


class ClippedLoss(Buildable, LossSpec):
    """A stranger's loss that clips, if it is told to."""

    type: ClassVar[str] = "clipped"
    phases: ClassVar[Mapping[str, Phase]] = MinimaxLoss.phases

    clip: float = 0.01

    @property
    def traits(self) -> Mapping[str, str]:
        return {"weight-clipping": "clip"} if self.clip else {}


class Slope(Buildable, RegularizerSpec):
    """A stranger's penalty, which does not go together with clipping."""

    type: ClassVar[str] = "slope"

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        if key := recipe.trait("loss.weight-clipping"):
            yield Remark(f"not with {key}", hint=f"write {key} = 0", fatal=True)
        if recipe.batch_size > 100:
            yield Remark(f"a batch of {recipe.batch_size}\nis large", key="every", hint="halve it")


class Lonely(Buildable, RegularizerSpec):
    """A penalty that does not want to meet another one of a trait."""

    type: ClassVar[str] = "lonely"

    @property
    def traits(self) -> Mapping[str, str]:
        return {"lonely": "every"}

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        yield Remark(f"{recipe.trait('regularizers.lonely')} in {recipe.iterations}")


class Broken(Buildable, RegularizerSpec):
    """A penalty whose check is wrong."""

    type: ClassVar[str] = "broken"

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        raise KeyError("oh")


class Mistaken(Buildable, RegularizerSpec):
    """A penalty that yields what is no remark."""

    type: ClassVar[str] = "mistaken"

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        yield "unwise"  # type: ignore[misc]


class Keyed(Buildable, GeneratorSpec):
    """A generator with a key."""

    type: ClassVar[str] = "keyed"

    width: int = 3


class Other(Buildable, GeneratorSpec):
    """Another one with a key of that name."""

    type: ClassVar[str] = "other"

    width: int = 4


class Whole(Buildable, LossSpec):
    """A loss of a batch as a whole."""

    type: ClassVar[str] = "whole"
    phases: ClassVar[Mapping[str, Phase]] = MinimaxLoss.phases

    width: int = 1

    @property
    def traits(self) -> Mapping[str, str]:
        return {"batch-statistics": "width"}


class Many(Buildable, MetricSpec):
    """A metric of ten samples at least."""

    type: ClassVar[str] = "many"

    @property
    def least_samples(self) -> int:
        return 10


STRANGERS = Registry(
    [
        *REGISTRY.plugins,
        plugin(
            *(ClippedLoss, Slope, Lonely, Broken, Mistaken, Keyed, Other, Whole, Many),
            distribution="stranger",
        ),
    ]
)


def text(*regularizers: str, **changes: str) -> str:
    rows = "".join(f'[[regularizers]]\ntype = "{name}"\n' for name in regularizers)
    return recipe_text(dict(changes)) + rows


def refusal(file: object, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(file), *overrides, registry=STRANGERS)
    return str(caught.value)


def test_what_does_not_go_together_is_a_problem_with_its_place(write: WriteFile) -> None:
    content = text("slope", loss='type = "clipped"')
    file = write(content)
    line = content.split("\n").index('type = "slope"') + 1
    assert refusal(file) == (
        f"{file}:{line}: regularizers.0.type: not with loss.clip\n"
        f'    {line} | type = "slope"\n'
        f"       = write loss.clip = 0\n"
        "1 problem; nothing was run"
    )


def test_a_trait_depends_on_the_keys(write: WriteFile) -> None:
    file = write(text("slope", loss='type = "clipped"\nclip = 0'))
    assert load_recipe(file, registry=STRANGERS).notes == ()
    assert "not with loss.clip" in refusal(file, "loss.clip=0.5")


def test_what_is_unwise_is_a_note_of_one_line(write: WriteFile) -> None:
    file = write(text("slope"))
    recipe = load_recipe(file, "train.batch_size=128", registry=STRANGERS)
    (note,) = recipe.notes
    line = text("slope").split("\n").index('type = "slope"') + 1
    assert note == (
        f"{file}:{line - 1}: regularizers.0.every: a batch of 128\\u000ais large; halve it"
    )
    assert recipe == load_recipe(file, "train.batch_size=128", registry=STRANGERS)


def test_traits_of_arrays(write: WriteFile) -> None:
    (note,) = load_recipe(write(text("slope", "lonely")), registry=STRANGERS).notes
    assert note.endswith("regularizers.1.type: regularizers.1.every in 10")


@pytest.mark.parametrize(
    ("name", "message"),
    [("broken", "KeyError: 'oh'"), ("mistaken", "TypeError: 'unwise' is no Remark")],
)
def test_a_check_that_fails_is_its_plugins_mistake(
    name: str, message: str, write: WriteFile
) -> None:
    shown = refusal(write(text(name)))
    assert (
        f"regularizer '{name}' (stranger 1.0) fails when it checks the recipe: {message}" in shown
    )


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (
            ["schedule.type=discriminator-only"],
            "schedule.type: schedule 'discriminator-only' never runs 'generator': the generator "
            "stays as it is at the start",
        ),
        (
            ["schedule.type=sequence", "schedule.groups=[['generator']]"],
            "schedule.type: schedule 'sequence' never runs 'discriminator': the discriminator "
            "stays as it is at the start",
        ),
        (
            ["schedule.discriminator_steps=51"],
            "schedule.discriminator_steps: more than 50 steps of D for each of G: G hardly moves; "
            "1 to 5 are usual",
        ),
        (
            ["schedule.type=warm-up"],
            "schedule.warm_up_iterations: the warm-up of 25 iterations is the whole run",
        ),
        (
            ["regularizers=[{type='slope', every=11}]"],
            "regularizers.0.every: regularizer 'slope' is due every 11 iterations: once in a run "
            "of 10",
        ),
        (
            ["probes=[{type='watching', every=11}]"],
            "probes.0.every: probe 'watching' is due every 11 iterations: never in a run of 10",
        ),
    ],
)
def test_traps_of_schedules_and_periods(overrides: list[str], note: str, write: WriteFile) -> None:
    notes = load_recipe(write(recipe_text()), *overrides, registry=STRANGERS).notes
    assert [each.removeprefix("command line: ") for each in notes] == [note]


def test_steps_of_the_discriminator_are_counted_for_each_of_the_generator(write: WriteFile) -> None:
    steps = ["schedule.generator_steps=3", "schedule.discriminator_steps=120"]
    warm_up = ["schedule.type=warm-up", "schedule.warm_up_discriminator_steps=120"]
    for overrides in (steps, [*warm_up, "schedule.generator_steps=3"]):
        assert load_recipe(write(recipe_text()), *overrides, registry=STRANGERS).notes == ()


def test_a_generator_that_needs_the_discriminator_changes_with_it(write: WriteFile) -> None:
    changes = {"generator": 'type = "searching"', "schedule": 'type = "discriminator-only"'}
    assert load_recipe(write(recipe_text(changes)), registry=STRANGERS).notes == ()


@pytest.mark.parametrize("lr", ["0", "{from = 0, to = 0}", "{from = 0, to = 1, over = [1.0, 1.0]}"])
def test_a_rate_that_never_rises_trains_nothing(lr: str, write: WriteFile) -> None:
    assert "optimizer.lr: should be greater than 0" in refusal(
        write(recipe_text()), f"optimizer.lr={lr}"
    )


def test_a_schedule_that_trains_nothing(write: WriteFile) -> None:
    class IdleLoss(Buildable, LossSpec):
        """A loss with a phase that trains nothing."""

        type: ClassVar[str] = "idle"
        needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})
        phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset())}

    registry = Registry([*REGISTRY.plugins, plugin(IdleLoss, distribution="stranger")])
    file = write(recipe_text({"loss": 'type = "idle"', "schedule": 'type = "joint"'}))
    with pytest.raises(RecipeError, match="'joint' runs no phase that trains anything"):
        load_recipe(file, registry=registry)


@pytest.mark.parametrize(
    ("text", "overrides", "note"),
    [
        (
            'type = "adam"\nlr = 1e-3\nbetas = [0.5, 0.999]',
            ["optimizer.type=adamw", "optimizer.lr=1e-3"],
            "optimizer.type: another type than 'adam' does not inherit its betas = [0.5, 0.999]; "
            "write it again where it is meant",
        ),
        ('type = "adam"\nlr = 1e-3', ["optimizer.type=adamw", "optimizer.lr=1e-3"], None),
        (
            'type = "adam"\nlr = 1e-3\nbetas = [0.5, 0.999]',
            ["optimizer.type=adamw", "optimizer.lr=1e-3", "optimizer.betas=[0.5, 0.9]"],
            None,
        ),
        (
            'type = "adam"\nlr = 1e-3\nbetas = [0.5, 0.999]',
            ["optimizer.type=sgd", "optimizer.lr=1e-3"],
            None,
        ),
        (
            'type = "adam"\nlr = 1e-3\nbetas = [0.9, 0.999]',
            ["optimizer.type=adamw", "optimizer.lr=1e-3"],
            None,
        ),
    ],
    ids=["dropped", "none was there", "written again", "unknown to the new type", "its default"],
)
def test_keys_that_went_with_another_type(
    text: str, overrides: list[str], note: str | None, write: WriteFile
) -> None:
    content = recipe_text({"optimizer": text})
    notes = load_recipe(write(content), *overrides, registry=STRANGERS).notes
    assert [each.removeprefix("command line: ") for each in notes] == ([note] if note else [])


def test_keys_that_went_in_a_file_that_extends(write: WriteFile) -> None:
    write(recipe_text({"generator": 'type = "keyed"\nwidth = 7'}), "base.toml")
    child = 'extends = "base.toml"\n[generator]\ntype = "other"\n'
    (note,) = load_recipe(write(child, "child.toml"), registry=STRANGERS).notes
    assert "child.toml:3: generator.type: another type than 'keyed'" in note
    assert "width = 7" in note


def test_what_depends_on_the_whole_batch_is_named_where_it_is_cut(write: WriteFile) -> None:
    notes = load_recipe(
        write(text("lonely")), "train.accumulate=2", "loss.type=whole", registry=STRANGERS
    ).notes
    size = load_recipe(write(recipe_text()), registry=STRANGERS).train.batch_size // 2
    assert (
        "command line: train.accumulate: loss.width: what depends on the batch as a whole depends "
        f"on each part of {size} samples"
    ) in notes


def test_metrics_that_will_be_short_of_samples(write: WriteFile) -> None:
    metrics = "metrics=[{type='many'}]"
    recipe = load_recipe(write(recipe_text()), metrics, "evaluate.samples=9", registry=STRANGERS)
    assert recipe.notes == (
        "command line: metrics.0.type: it needs 10 samples and is left out: evaluate.samples = 9",
    )
    assert not load_recipe(
        write(recipe_text()), metrics, "evaluate.samples=10", registry=STRANGERS
    ).notes
