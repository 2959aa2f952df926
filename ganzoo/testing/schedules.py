"""Checks of schedules."""

from __future__ import annotations

import hashlib
import math
import numbers
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ganzoo.protocols import Schedule
from ganzoo.specs import LearningRateCourse, ScheduleSpec
from ganzoo.testing.building import Making, ready
from ganzoo.testing.checks import Subject, Wrong, check

LENGTHS = (100, 1, 2, 37)
"""Lengths of runs, in iterations: a usual one, the shortest, an odd one."""
NEAR = 0.02
"""How far a factor may be from the one expected: a course may count its iterations from 1."""

Answer = tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]
"""The groups of an iteration, and the learning-rate factors of the phases in them."""


class Observed(Mapping[str, float]):
    """Statistics as a schedule may be shown them: some number in [0, 1) for whatever it asks."""

    def __init__(self, stretch: int) -> None:
        self.stretch = stretch

    def __getitem__(self, name: str) -> float:
        text = f"{name}/{self.stretch}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _spec(made: Making) -> ScheduleSpec:
    assert isinstance(made.spec, ScheduleSpec)
    return made.spec


def _built(made: Making, iterations: int, **changes: Any) -> Schedule:
    """The schedule of a run of so many iterations, with some keys changed."""
    spec = made.spec.model_copy(update=changes)
    schedule: Schedule = spec.build(replace(made.context, iterations=iterations))
    return schedule


def _shown(spec: ScheduleSpec, iteration: int) -> Mapping[str, float]:
    """The statistics that the engine shows in an iteration: none before the first reading."""
    stretch = iteration // spec.observes if spec.observes else 0
    return Observed(stretch) if stretch else {}


def _groups(schedule: Schedule, spec: ScheduleSpec, iteration: int) -> Sequence[Sequence[str]]:
    """The groups of an iteration; raises `Wrong` where they are none, or of strange phases."""
    groups = schedule.phases(iteration, _shown(spec, iteration))
    if isinstance(groups, str) or not isinstance(groups, Sequence):
        raise Wrong(f"phases({iteration}) is {groups!r}; return a sequence of groups")
    for group in groups:
        if isinstance(group, str) or not isinstance(group, Sequence) or not group:
            raise Wrong(
                f"phases({iteration}) has the group {group!r}; a group is a sequence of names, "
                'such as ("discriminator",)'
            )
        for phase in group:
            if phase not in spec.runs:
                raise Wrong(
                    f"phases({iteration}) runs {phase!r}, and `runs` has "
                    f"{', '.join(sorted(spec.runs))} only; add it there, or do not run it"
                )
    return groups


def _factor(schedule: Schedule, phase: str, iteration: int, iterations: int) -> float:
    factor = schedule.lr_factor(phase, iteration)
    where = f"lr_factor('{phase}', {iteration}) of a run of {iterations} iterations is {factor!r}"
    if not isinstance(factor, numbers.Real):
        raise Wrong(f"{where}; return a float")
    if not (math.isfinite(factor) and 0 <= factor <= 1):
        raise Wrong(f"{where}; stay between 0 and 1, parts of the optimizer's own learning rate")
    return float(factor)


def _answer(schedule: Schedule, spec: ScheduleSpec, iteration: int, iterations: int) -> Answer:
    groups = tuple(tuple(group) for group in _groups(schedule, spec, iteration))
    phases = sorted({phase for group in groups for phase in group})
    return groups, tuple(_factor(schedule, phase, iteration, iterations) for phase in phases)


@check("schedule")
def known_phases(subject: Subject) -> None:
    """The optimizers of a run are those of the phases in `runs`: another phase stops it with an
    error, at the first iteration or hours later."""
    made = ready(subject)
    spec = _spec(made)
    if not isinstance(spec.observes, int) or spec.observes < 0:
        raise Wrong(f"observes is {spec.observes!r}; give a number of iterations, or 0 for none")
    for iterations in LENGTHS:
        schedule = _built(made, iterations)
        groups = [_groups(schedule, spec, iteration) for iteration in range(iterations)]
        if not any(groups):
            raise Wrong(
                f"it runs no phase in a run of {iterations} iterations; return one group at least"
            )


@check("schedule")
def learning_rate_range(subject: Subject) -> None:
    """A factor above 1 takes larger steps than the recipe says, one that is no number destroys
    the weights."""
    made = ready(subject)
    spec = _spec(made)
    for iterations in LENGTHS:
        schedule = _built(made, iterations)
        for iteration in range(iterations):
            _answer(schedule, spec, iteration, iterations)


@check("schedule")
def learning_rate_keys(subject: Subject) -> None:
    """Every schedule has the table `learning_rate`; a recipe that sets it would be trained as if
    it had not."""
    made = ready(subject)
    spec = _spec(made)
    iterations = LENGTHS[0]
    last = iterations - 1
    plain = _built(made, iterations, learning_rate=LearningRateCourse())
    linear = LearningRateCourse(course="linear", final=0.25)
    falling = _built(made, iterations, learning_rate=linear)
    rising = _built(made, iterations, learning_rate=LearningRateCourse(warm_up=50))
    cases = (
        (falling, "course = 'linear', final = 0.25", 0, 1.0),
        (falling, "course = 'linear', final = 0.25", last, 0.25),
        (rising, "warm_up = 50", 0, 0.02),
        (rising, "warm_up = 50", last, 1.0),
    )
    for schedule, keys, iteration, share in cases:
        for group in _groups(schedule, spec, iteration):
            for phase in group:
                # The schedule may have a course of its own besides.
                own = _factor(plain, phase, iteration, iterations)
                found = _factor(schedule, phase, iteration, iterations)
                if abs(found - share * own) > NEAR:
                    raise Wrong(
                        f"with learning_rate = {{ {keys} }} lr_factor('{phase}', {iteration}) of "
                        f"{iterations} iterations is {found:.4g}, not {share * own:.4g}; multiply "
                        "by the course of `self.learning_rate`"
                    )


@check("schedule")
def pure_schedule(subject: Subject) -> None:
    """The engine asks for the learning rate and the phases as often as it likes: an answer that
    depends on what was asked before changes with it."""
    made = ready(subject)
    spec, iterations = _spec(made), LENGTHS[0]
    schedule = _built(made, iterations)
    answers = [_answer(schedule, spec, place, iterations) for place in range(iterations)]
    for iteration in random.Random(0).sample(range(iterations), iterations):
        again = _answer(schedule, spec, iteration, iterations)
        if again != answers[iteration]:
            raise Wrong(
                f"in iteration {iteration} it answers {_told(answers[iteration])}, and when it is "
                f"asked once more {_told(again)}; compute the answer from the arguments alone"
            )


@check("schedule")
def resumed_schedule(subject: Subject) -> None:
    """A resumed run builds its schedule anew and asks for the iterations that are left: it would
    go on otherwise than the run that was interrupted."""
    made = ready(subject)
    spec, iterations = _spec(made), LENGTHS[0]
    whole = _built(made, iterations)
    answers = [_answer(whole, spec, place, iterations) for place in range(iterations)]
    for start in (1, iterations // 3, iterations - 1):
        resumed = _built(made, iterations)
        for iteration in range(start, iterations):
            found = _answer(resumed, spec, iteration, iterations)
            if found != answers[iteration]:
                raise Wrong(
                    f"resumed at iteration {start} it answers {_told(found)} in iteration "
                    f"{iteration}, and {_told(answers[iteration])} in a run of one piece; compute "
                    "the answer from the arguments alone"
                )


def _told(answer: Answer) -> str:
    groups, factors = answer
    phases = "; ".join(" and ".join(group) for group in groups) or "no phase"
    return f"{phases} (learning rate x {', '.join(f'{factor:.3g}' for factor in factors)})"
