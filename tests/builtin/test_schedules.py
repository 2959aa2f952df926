"""The schedules are plain functions of the iteration, so their values can be written down."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ganzoo.api import BuildContext, Schedule, ScheduleSpec
from ganzoo.builtin.schedules import (
    AdaptiveSchedule,
    AlternatingSchedule,
    AnnealedSchedule,
    DiscriminatorOnlySchedule,
    JointSchedule,
    SequenceSchedule,
    SimultaneousSchedule,
    WarmUpSchedule,
    ganzoo_schedules,
)

D = ("discriminator",)
G = ("generator",)


def built(spec: ScheduleSpec, iterations: int = 100) -> Schedule:
    return spec.build(BuildContext(sample_shape=(2,), latent_dim=2, iterations=iterations))


def groups(
    schedule: Schedule, iteration: int, statistics: Mapping[str, float] | None = None
) -> list[tuple[str, ...]]:
    return [tuple(group) for group in schedule.phases(iteration, statistics or {})]


def discriminator_steps(spec: ScheduleSpec, iterations: int) -> list[int]:
    """Steps of D in each iteration of a run."""
    schedule = built(spec, iterations)
    return [groups(schedule, iteration).count(D) for iteration in range(iterations)]


SCHEDULES: list[ScheduleSpec] = [
    SequenceSchedule(groups=(("reconstruction",), ("critic", "deception")))
    if spec is SequenceSchedule
    else spec()
    for spec in ganzoo_schedules()
]
EVERY_SCHEDULE = pytest.mark.parametrize("spec", SCHEDULES, ids=lambda spec: spec.type)


class TestPhases:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (AlternatingSchedule(), [D, G]),
            (AlternatingSchedule(first="generator"), [G, D]),
            (AlternatingSchedule(discriminator_steps=3), [D, D, D, G]),
            (AlternatingSchedule(generator_steps=2), [D, G, G]),
            (
                AlternatingSchedule(discriminator_steps=2, generator_steps=3, first="generator"),
                [G, G, G, D, D],
            ),
            (SimultaneousSchedule(), [("discriminator", "generator")]),
            (JointSchedule(), [("joint",)]),
            (DiscriminatorOnlySchedule(), [D]),
            (SequenceSchedule(groups=(("a",), ("b", "c"), ("a",))), [("a",), ("b", "c"), ("a",)]),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("iteration", [0, 1, 99])
    def test_the_same_in_every_iteration(
        self, spec: ScheduleSpec, expected: list[tuple[str, ...]], iteration: int
    ) -> None:
        assert groups(built(spec), iteration) == expected

    @pytest.mark.parametrize(("iteration", "steps"), [(0, 5), (2, 5), (3, 2), (4, 2), (99, 2)])
    @pytest.mark.parametrize("first", ["discriminator", "generator"])
    def test_warm_up(self, iteration: int, steps: int, first: Any) -> None:
        spec = WarmUpSchedule(
            warm_up_iterations=3,
            warm_up_discriminator_steps=5,
            discriminator_steps=2,
            generator_steps=1,
            first=first,
        )
        expected = [*[D] * steps, G] if first == "discriminator" else [G, *[D] * steps]
        assert groups(built(spec), iteration) == expected

    def test_warm_up_of_no_iterations_is_alternating(self) -> None:
        spec = WarmUpSchedule(warm_up_iterations=0)
        assert groups(built(spec), 0) == groups(built(AlternatingSchedule()), 0)

    @EVERY_SCHEDULE
    def test_only_the_adaptive_one_makes_the_host_wait(self, spec: ScheduleSpec) -> None:
        assert spec.observes == (10 if isinstance(spec, AdaptiveSchedule) else 0)

    @EVERY_SCHEDULE
    def test_only_declared_phases_are_run_and_every_one_of_them(self, spec: ScheduleSpec) -> None:
        schedule = built(spec)
        run = {
            phase
            for iteration in range(100)
            for group in groups(schedule, iteration)
            for phase in group
        }
        assert run == spec.runs

    @pytest.mark.parametrize("steps", [0, -1, 1.5, True])
    def test_steps_are_counted_in_whole_numbers_from_one(self, steps: Any) -> None:
        with pytest.raises(ValidationError, match="discriminator_steps"):
            AlternatingSchedule(discriminator_steps=steps)


class TestSequence:
    def test_it_runs_the_phases_that_its_groups_name(self) -> None:
        spec = SequenceSchedule(groups=(("critic",), ("critic",), ("reconstruction", "deception")))
        assert spec.runs == {"critic", "reconstruction", "deception"}

    def test_the_groups_have_to_be_written(self) -> None:
        with pytest.raises(ValidationError, match="groups"):
            SequenceSchedule()  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        "groups", [(), ((),), (("critic",), ()), (("critic", "critic"),), "critic"]
    )
    def test_groups_without_meaning_are_refused(self, groups: Any) -> None:
        with pytest.raises(ValidationError, match="groups"):
            SequenceSchedule(groups=groups)


class TestAnnealed:
    def test_falling(self) -> None:
        spec = AnnealedSchedule(initial_discriminator_steps=4, annealed=0.8, discriminator_steps=1)
        assert discriminator_steps(spec, 10) == [4, 4, 3, 3, 2, 2, 1, 1, 1, 1]

    def test_rising(self) -> None:
        spec = AnnealedSchedule(initial_discriminator_steps=1, annealed=0.5, discriminator_steps=3)
        assert discriminator_steps(spec, 12) == [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]

    def test_by_default_from_five_to_one_in_the_first_half(self) -> None:
        result = discriminator_steps(AnnealedSchedule(), 100)
        expected = [5] * 10 + [4] * 10 + [3] * 10 + [2] * 10 + [1] * 60
        assert result == expected
        assert sum(result) == 200

    def test_over_the_whole_run(self) -> None:
        spec = AnnealedSchedule(initial_discriminator_steps=2, annealed=1.0)
        assert discriminator_steps(spec, 6) == [2, 2, 2, 1, 1, 1]

    def test_between_equal_numbers_it_is_alternating(self) -> None:
        spec = AnnealedSchedule(initial_discriminator_steps=3, discriminator_steps=3)
        assert discriminator_steps(spec, 20) == [3] * 20

    @pytest.mark.parametrize(("iterations", "expected"), [(1, [5]), (2, [5, 1]), (4, [5, 3, 1, 1])])
    def test_a_run_shorter_than_its_stretches_starts_and_ends_right(
        self, iterations: int, expected: list[int]
    ) -> None:
        assert discriminator_steps(AnnealedSchedule(), iterations) == expected

    @pytest.mark.parametrize(
        ("first", "start", "end"),
        [("discriminator", [D, D, D, G, G], [D, G, G]), ("generator", [G, G, D, D, D], [G, G, D])],
    )
    def test_either_may_go_first(self, first: Any, start: list[Any], end: list[Any]) -> None:
        schedule = built(
            AnnealedSchedule(initial_discriminator_steps=3, generator_steps=2, first=first)
        )
        assert groups(schedule, 0) == start
        assert groups(schedule, 99) == end

    @pytest.mark.parametrize(
        ("key", "value"),
        [("initial_discriminator_steps", 0), ("annealed", 0.0), ("annealed", 1.1)],
    )
    def test_values_without_meaning_are_refused(self, key: str, value: Any) -> None:
        with pytest.raises(ValidationError, match=key):
            AnnealedSchedule(**{key: value})


def probabilities(real: float, fake: float) -> dict[str, float]:
    return {"discriminator/D(x)": real, "discriminator/D(G(z))": fake, "generator/loss": 9.0}


def observed_run(
    spec: AdaptiveSchedule, iterations: int, gap: Callable[[int], float]
) -> list[bool]:
    """Whether D steps, in each iteration of a run in which it is ahead by `gap(iteration)`.

    As the engine has it, what the schedule is shown changes after each stretch, and holds the
    means over those iterations of the stretch in which D stepped.
    """
    schedule = built(spec, iterations)
    shown: dict[str, float] = {}
    stepped: list[bool] = []
    gaps: list[float] = []
    for iteration in range(iterations):
        stepped.append(D in groups(schedule, iteration, shown))
        if stepped[-1]:
            gaps.append(gap(iteration))
        if (iteration + 1) % spec.observes == 0:
            shown = probabilities(sum(gaps) / len(gaps), 0.0) if gaps else {}
            gaps = []
    return stepped


class TestAdaptive:
    @pytest.mark.parametrize(
        ("real", "fake", "rests"),
        [
            (0.9, 0.1, True),
            (0.8, 0.25, True),
            (0.75, 0.25, False),  # the margin itself
            (0.7, 0.25, False),
            (0.5, 0.5, False),
            (0.1, 0.9, False),
            (math.nan, 0.1, False),
        ],
    )
    def test_it_rests_above_the_margin_only(self, real: float, fake: float, rests: bool) -> None:
        schedule = built(AdaptiveSchedule(margin=0.5, every=10))
        result = groups(schedule, 13, probabilities(real, fake))
        assert result == ([G] if rests else [D, G])

    def test_it_does_not_rest_before_the_first_look(self) -> None:
        schedule = built(AdaptiveSchedule(margin=0.0))
        for iteration in range(10):
            assert groups(schedule, iteration) == [D, G]

    @pytest.mark.parametrize("every", [2, 3, 10])
    def test_the_first_iteration_of_a_stretch_is_never_a_rest(self, every: int) -> None:
        schedule = built(AdaptiveSchedule(every=every))
        result = [groups(schedule, n, probabilities(1.0, 0.0)) for n in range(4 * every)]
        assert result == [[D, G], *[[G]] * (every - 1)] * 4

    @pytest.mark.parametrize("first", ["discriminator", "generator"])
    def test_the_steps_are_those_of_alternating(self, first: Any) -> None:
        keys: dict[str, Any] = {"discriminator_steps": 3, "generator_steps": 2, "first": first}
        schedule = built(AdaptiveSchedule(**keys))
        expected = groups(built(AlternatingSchedule(**keys)), 0)
        assert groups(schedule, 15, probabilities(0.6, 0.4)) == expected
        assert groups(schedule, 20, probabilities(0.9, 0.1)) == expected
        assert groups(schedule, 21, probabilities(0.9, 0.1)) == [G, G]

    @pytest.mark.parametrize("every", [2, 7, 100])
    def test_it_is_shown_what_it_asks_for(self, every: int) -> None:
        assert AdaptiveSchedule(every=every).observes == every
        assert AdaptiveSchedule.needs == {"loss.probabilities"}

    def test_a_stretch_of_rest_follows_a_stretch_that_was_won(self) -> None:
        """D is too far ahead from iteration 6 on, and is caught up with after iteration 14."""
        result = observed_run(
            AdaptiveSchedule(every=4, margin=0.5), 24, lambda n: 0.9 if 6 <= n < 15 else 0.2
        )
        played, rested = [True] * 4, [True, False, False, False]
        # In the second stretch the mean is 0.55, in the third and fourth D steps once each.
        assert result == [*played, *played, *rested, *rested, *rested, *played]

    def test_a_discriminator_that_always_wins_steps_once_a_stretch(self) -> None:
        assert sum(observed_run(AdaptiveSchedule(every=5), 100, lambda _: 0.99)) == 5 + 19

    @pytest.mark.parametrize(
        ("key", "value"), [("margin", 1.0), ("margin", -0.1), ("every", 1), ("every", 2.5)]
    )
    def test_values_without_meaning_are_refused(self, key: str, value: Any) -> None:
        with pytest.raises(ValidationError, match=key):
            AdaptiveSchedule(**{key: value})


class TestProperties:
    @given(
        discriminator_steps=st.integers(1, 9),
        generator_steps=st.integers(1, 9),
        first=st.sampled_from(["discriminator", "generator"]),
        iteration=st.integers(0, 10**9),
    )
    def test_alternating_takes_the_steps_it_says(
        self, discriminator_steps: int, generator_steps: int, first: Any, iteration: int
    ) -> None:
        spec = AlternatingSchedule(
            discriminator_steps=discriminator_steps, generator_steps=generator_steps, first=first
        )
        result = groups(built(spec), iteration)
        assert result.count(D) == discriminator_steps
        assert result.count(G) == generator_steps
        assert len(result) == discriminator_steps + generator_steps
        assert result[0] == (first,)
        changes = sum(before != after for before, after in itertools.pairwise(result))
        assert changes == 1

    @given(
        initial=st.integers(1, 12),
        final=st.integers(1, 12),
        annealed=st.floats(0.01, 1),
        iterations=st.integers(1, 200),
        data=st.data(),
    )
    def test_annealing_is_pure_and_steady(
        self, initial: int, final: int, annealed: float, iterations: int, data: st.DataObject
    ) -> None:
        spec = AnnealedSchedule(
            initial_discriminator_steps=initial, discriminator_steps=final, annealed=annealed
        )
        result = discriminator_steps(spec, iterations)
        assert result[0] == initial
        assert all(steps == final for steps in result[math.ceil(annealed * iterations) :])
        assert result == sorted(result, reverse=initial > final)
        # The stretches are equal up to the rounding of their ends, the last one goes on.
        lengths = [result.count(k) for k in set(result) - {final}]
        assert not lengths or max(lengths) - min(lengths) <= 1
        schedule = built(spec, iterations)
        for iteration in data.draw(st.permutations(range(iterations))):
            assert groups(schedule, iteration).count(D) == result[iteration]

    @given(
        initial=st.integers(1, 12),
        final=st.integers(1, 12),
        stretch=st.integers(1, 20),
        rest=st.integers(0, 3),
    )
    def test_annealing_in_whole_stretches_takes_the_mean_of_its_ends(
        self, initial: int, final: int, stretch: int, rest: int
    ) -> None:
        annealed = stretch * (abs(initial - final) + 1)
        iterations = annealed * (rest + 1)
        spec = AnnealedSchedule(
            initial_discriminator_steps=initial,
            discriminator_steps=final,
            annealed=1 / (rest + 1),
        )
        expected = annealed * (initial + final) / 2 + (iterations - annealed) * final
        assert sum(discriminator_steps(spec, iterations)) == expected

    @given(
        margin=st.floats(0, 1, exclude_max=True),
        every=st.integers(2, 50),
        real=st.floats(0, 1),
        fake=st.floats(0, 1),
        iteration=st.integers(0, 10**9),
    )
    def test_adaptive_rests_by_its_rule_and_the_generator_never(
        self, margin: float, every: int, real: float, fake: float, iteration: int
    ) -> None:
        spec = AdaptiveSchedule(margin=margin, every=every, generator_steps=2)
        schedule, shown = built(spec), probabilities(real, fake)
        result = groups(schedule, iteration, shown)
        assert result.count(G) == 2
        assert (D in result) == (real - fake <= margin or iteration % every == 0)
        # Nothing is remembered from call to call, or changed in what is shown.
        groups(schedule, iteration + 1, probabilities(fake, real))
        assert groups(schedule, iteration, shown) == result
        assert shown == probabilities(real, fake)
