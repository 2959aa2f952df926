"""Checks of schedules, each with schedules that it finds wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from kit import fault, passes

from ganzoo.api import BuildContext, ScheduleSpec
from ganzoo.builtin.schedules import AdaptiveSchedule, AlternatingSchedule, RuleSchedule
from ganzoo.specs import ComponentSpec
from ganzoo.testing.state_checks import Observed

CHECKS = ("known-phases", "pure-schedule", "resumed-schedule")
BOTH = (("discriminator",), ("generator",))

Phases = Callable[[int], Any]


def always(iteration: int) -> Any:
    return BOTH


def schedule(phases: Phases = always, observed: Any = 0) -> type[ComponentSpec]:
    """A schedule with these answers; each build of a class has its own `phases` if it is one."""

    class Strange(ScheduleSpec):
        """Strange."""

        type: ClassVar[str] = "strange"
        runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

        @property
        def observes(self) -> int:
            return observed  # type: ignore[no-any-return]

        def build(self, context: BuildContext) -> Any:
            answers = phases() if isinstance(phases, type) else phases
            return RuleSchedule(lambda iteration, _: answers(iteration))

    return Strange


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("declared", [schedule(), AlternatingSchedule, AdaptiveSchedule])
def test_a_schedule_without_faults(declared: type[ComponentSpec], check: str) -> None:
    passes(check, declared)


@pytest.mark.parametrize(
    ("phases", "found"),
    [
        (lambda n: "generator", "phases(0) is 'generator'; return a sequence of groups"),
        (lambda n: None, "phases(0) is None; return a sequence of groups"),
        (
            lambda n: ["generator"],
            "phases(0) has the group 'generator'; write names, as in (\"generator\",)",
        ),
        (
            lambda n: [()],
            'phases(0) has the group (); write names, as in ("generator",)',
        ),
        (
            lambda n: [["critic"]] if n == 99 else BOTH,
            "phases(99) runs 'critic', and `runs` has discriminator, generator only; add it, "
            "or do not run it",
        ),
        (
            lambda n: [["generator", "discriminator", "generator"]],
            "phases(0) has a phase twice in ['generator', 'discriminator', 'generator']; write a "
            "group for each step",
        ),
        (
            lambda n: (),
            "it runs no phase in 100 iterations; return one group at least",
        ),
    ],
)
def test_phases_that_cannot_be_run(phases: Phases, found: str) -> None:
    assert fault("known-phases", schedule(phases)) == found


@pytest.mark.parametrize("observed", [-1, 2.5])
def test_a_strange_number_of_iterations_between_readings(observed: Any) -> None:
    assert fault("known-phases", schedule(observed=observed)) == (
        f"observes is {observed}; give a number of iterations, or 0 for none"
    )


def test_iterations_may_rest() -> None:
    passes("known-phases", schedule(lambda n: () if n else BOTH))


def test_a_run_of_one_iteration_is_tried() -> None:
    class Divided(AlternatingSchedule):
        """Divides by the length of the run."""

        def build(self, context: BuildContext) -> Any:
            return RuleSchedule(lambda *_: BOTH[: 2 - 1 // (context.iterations - 1)])

    assert "ZeroDivisionError" in fault("known-phases", Divided)


class Counter:
    """Trains G in every third call, whatever the iteration."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, iteration: int) -> Sequence[Sequence[str]]:
        self.calls += 1
        return BOTH if self.calls % 3 == 0 else BOTH[:1]


class Remembering(Counter):
    """The same, but a question that was asked before has the answer that it had."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[int, Sequence[Sequence[str]]] = {}

    def __call__(self, iteration: int) -> Sequence[Sequence[str]]:
        if iteration not in self.answers:
            self.answers[iteration] = super().__call__(iteration)
        return self.answers[iteration]


def test_a_schedule_that_counts_calls() -> None:
    assert fault("pure-schedule", schedule(Counter)) == (
        "in iteration 97 it answers (('discriminator',),), and (('discriminator',), "
        "('generator',)) when it is asked once more; compute the answer from the arguments alone, "
        "or give it `state_dict` and `load_state_dict`"
    )


def test_a_schedule_that_draws() -> None:
    stream = random.Random(0)
    drawn = schedule(lambda n: BOTH if stream.random() < 0.5 else BOTH[:1])
    assert "compute the answer from the arguments alone" in fault("pure-schedule", drawn)


def test_a_schedule_that_depends_on_where_it_began() -> None:
    remembering = schedule(Remembering)
    passes("pure-schedule", remembering)
    assert fault("resumed-schedule", remembering) == (
        "in iteration 2 it answers (('discriminator',), ('generator',)), and "
        "(('discriminator',),) when it is resumed at iteration 1; compute the answer from the "
        "arguments alone, or give it `state_dict` and `load_state_dict`"
    )


def test_statistics_that_a_schedule_may_be_shown() -> None:
    seen: list[Mapping[str, float]] = []

    class Watching(AdaptiveSchedule):
        """Watching."""

        def build(self, context: BuildContext) -> Any:
            def rule(iteration: int, statistics: Mapping[str, float]) -> Any:
                seen.append(statistics)
                return BOTH if statistics.get("any", 0.0) < 0.5 else BOTH[:1]

            return RuleSchedule(rule)

    for check in CHECKS:
        passes(check, Watching)
    assert {len(each) for each in seen} == {0}
    assert len({each.get("any", 0.0) for each in seen}) > 5
    one, other = Observed(1), Observed(2)
    assert 0 <= one["D(x)"] < 1
    assert one["D(x)"] == Observed(1)["D(x)"] != other["D(x)"]
