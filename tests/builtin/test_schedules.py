"""The schedules are plain functions of the iteration, so their values can be written down."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ganzoo.api import BuildContext, LearningRateCourse, Schedule, ScheduleSpec
from ganzoo.builtin.schedules import (
    AlternatingSchedule,
    DiscriminatorOnlySchedule,
    JointSchedule,
    SimultaneousSchedule,
    WarmUpSchedule,
    ganzoo_schedules,
)

D = ("discriminator",)
G = ("generator",)


def built(spec: ScheduleSpec, iterations: int = 100) -> Schedule:
    return spec.build(BuildContext(sample_shape=(2,), latent_dim=2, iterations=iterations))


def groups(schedule: Schedule, iteration: int) -> list[tuple[str, ...]]:
    return [tuple(group) for group in schedule.phases(iteration)]


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

    @pytest.mark.parametrize("spec_class", ganzoo_schedules())
    def test_only_declared_phases_are_run_and_every_one_of_them(
        self, spec_class: type[ScheduleSpec]
    ) -> None:
        schedule = built(spec_class())
        run = {
            phase
            for iteration in range(100)
            for group in groups(schedule, iteration)
            for phase in group
        }
        assert run == spec_class.runs

    @pytest.mark.parametrize("steps", [0, -1, 1.5, True])
    def test_steps_are_counted_in_whole_numbers_from_one(self, steps: Any) -> None:
        with pytest.raises(ValidationError, match="discriminator_steps"):
            AlternatingSchedule(discriminator_steps=steps)


def factors(iterations: int, **course: Any) -> list[float]:
    """Learning-rate factors of a whole run."""
    spec = JointSchedule(learning_rate=LearningRateCourse(**course))
    schedule = built(spec, iterations)
    return [schedule.lr_factor("joint", iteration) for iteration in range(iterations)]


class TestLearningRate:
    def test_constant_by_default(self) -> None:
        assert factors(5) == [1.0] * 5

    def test_linear_falls_from_one_to_the_final_factor(self) -> None:
        assert factors(5, course="linear") == pytest.approx([1, 0.75, 0.5, 0.25, 0])
        assert factors(5, course="linear", final=0.2) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])

    def test_cosine_falls_by_half_a_wave(self) -> None:
        half = math.sqrt(0.5)
        assert factors(5, course="cosine") == pytest.approx(
            [1, (1 + half) / 2, 0.5, (1 - half) / 2, 0]
        )
        assert factors(5, course="cosine", final=0.5) == pytest.approx(
            [1, 0.75 + half / 4, 0.75, 0.75 - half / 4, 0.5]
        )

    @pytest.mark.parametrize("course", ["linear", "cosine"])
    def test_the_fall_may_wait(self, course: str) -> None:
        found = factors(9, course=course, constant=4 / 9)
        assert found[:5] == [1.0] * 5
        assert found[5] < 1
        assert found[6] == pytest.approx(0.5)
        assert found[8] == pytest.approx(0)

    @pytest.mark.parametrize("course", ["linear", "cosine"])
    def test_a_run_that_is_constant_throughout(self, course: str) -> None:
        assert factors(6, course=course, constant=1.0, final=0.1) == [1.0] * 6

    def test_warm_up_rises_from_the_first_step_to_one(self) -> None:
        assert factors(6, warm_up=4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
        assert factors(3, warm_up=1) == [1.0] * 3

    def test_warm_up_longer_than_the_run(self) -> None:
        assert factors(2, warm_up=4, course="linear") == pytest.approx([0.25, 0.5])

    def test_the_fall_begins_after_the_warm_up(self) -> None:
        found = factors(9, warm_up=4, course="linear", final=0.6)
        assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.9, 0.8, 0.7, 0.6])

    def test_a_run_of_one_iteration(self) -> None:
        assert factors(1) == [1.0]
        assert 0 <= factors(1, course="cosine")[0] <= 1

    @pytest.mark.parametrize("spec_class", ganzoo_schedules())
    def test_every_schedule_has_it(self, spec_class: type[ScheduleSpec]) -> None:
        spec = spec_class(learning_rate=LearningRateCourse(course="linear"))
        schedule = built(spec, 11)
        for phase in spec_class.runs:
            assert schedule.lr_factor(phase, 0) == 1.0
            assert schedule.lr_factor(phase, 5) == pytest.approx(0.5)
            assert schedule.lr_factor(phase, 10) == pytest.approx(0)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("final", 1.1), ("final", -0.1), ("constant", 2.0), ("warm_up", -1), ("course", "exp")],
    )
    def test_values_without_meaning_are_refused(self, key: str, value: Any) -> None:
        with pytest.raises(ValidationError, match=key):
            LearningRateCourse(**{key: value})


COURSES = st.builds(
    LearningRateCourse,
    warm_up=st.integers(0, 200),
    constant=st.floats(0, 1),
    course=st.sampled_from(["constant", "linear", "cosine"]),
    final=st.floats(0, 1),
)


class TestProperties:
    @given(course=COURSES, iterations=st.integers(1, 100), data=st.data())
    def test_a_factor_is_a_pure_function_between_zero_and_one(
        self, course: LearningRateCourse, iterations: int, data: st.DataObject
    ) -> None:
        spec = JointSchedule(learning_rate=course)
        schedule = built(spec, iterations)
        run = range(iterations)
        found = [schedule.lr_factor("joint", iteration) for iteration in run]
        assert all(0 <= factor <= 1 for factor in found)
        # Any order of asking gives the same answers, and so does a schedule built anew.
        again = built(spec, iterations)
        for iteration in data.draw(st.permutations(run)):
            assert schedule.lr_factor("joint", iteration) == found[iteration]
            assert again.lr_factor("joint", iteration) == found[iteration]

    @given(course=COURSES, iterations=st.integers(2, 100))
    def test_it_rises_during_the_warm_up_and_never_after(
        self, course: LearningRateCourse, iterations: int
    ) -> None:
        found = [
            built(JointSchedule(learning_rate=course), iterations).lr_factor("joint", iteration)
            for iteration in range(iterations)
        ]
        rise, fall = found[: course.warm_up], found[max(0, course.warm_up - 1) :]
        assert rise == sorted(rise)
        assert fall == sorted(fall, reverse=True)
        if course.course == "constant":
            assert all(factor == 1 for factor in found[course.warm_up :])
        else:
            assert all(factor >= course.final - 1e-12 for factor in fall)

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
        found = groups(built(spec), iteration)
        assert found.count(D) == discriminator_steps
        assert found.count(G) == generator_steps
        assert len(found) == discriminator_steps + generator_steps
        assert found[0] == (first,)
        changes = sum(before != after for before, after in itertools.pairwise(found))
        assert changes == 1
