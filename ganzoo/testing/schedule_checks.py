"""Checks of schedules."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ganzoo.protocols import Schedule
from ganzoo.specs import ScheduleSpec
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Skip, Wrong, check

LENGTHS = (100, 1, 2, 37)
"""Lengths of runs, in iterations: a usual one, the shortest, an odd one."""

Groups = tuple[tuple[str, ...], ...]


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


def build_schedule(bench: Bench, iterations: int) -> Schedule:
    """The schedule of a run of so many iterations."""
    schedule: Schedule = bench.spec.build(replace(bench.context, iterations=iterations))
    return schedule


def groups_of(schedule: Schedule, spec: ScheduleSpec, iteration: int) -> Groups:
    """The groups of an iteration; raises `Wrong` where they are none, or of strange phases.

    Statistics are shown as the engine does: none before the first reading.
    """
    stretch = iteration // spec.observes if spec.observes else 0
    groups = schedule.phases(iteration, Observed(stretch) if stretch else {})
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
        if len(set(group)) < len(group):
            raise Wrong(
                f"phases({iteration}) names a phase twice in the group {group!r}; two groups of "
                "one phase each are two steps"
            )
    return tuple(map(tuple, groups))


@check("schedule", on=first)
def known_phases(bench: Bench) -> None:
    """The optimizers of a run are those of the phases in `runs`: another phase stops it with an
    error, at the first iteration or hours later."""
    spec = bench.spec
    assert isinstance(spec, ScheduleSpec)
    if not isinstance(spec.observes, int) or spec.observes < 0:
        raise Wrong(f"observes is {spec.observes!r}; give a number of iterations, or 0 for none")
    for iterations in LENGTHS:
        schedule = build_schedule(bench, iterations)
        groups = [groups_of(schedule, spec, iteration) for iteration in range(iterations)]
        if not any(groups):
            raise Wrong(
                f"it runs no phase in a run of {iterations} iterations; return one group at least"
            )


@check("schedule", on=first)
def pure_schedule(bench: Bench) -> None:
    """An answer that depends on what was asked before changes with whoever else asks, such as a
    tool that draws the plan of a run."""
    schedule, spec, answers = _answers(bench)
    for iteration in random.Random(0).sample(range(LENGTHS[0]), LENGTHS[0]):
        again = groups_of(schedule, spec, iteration)
        if again != answers[iteration]:
            raise Wrong(
                f"in iteration {iteration} it answers {_text(answers[iteration])}, and when it is "
                f"asked once more {_text(again)}; compute the answer from the arguments alone, or "
                "give it `state_dict` and `load_state_dict`"
            )


@check("schedule", on=first)
def resumed_schedule(bench: Bench) -> None:
    """A resumed run builds its schedule anew and asks for the iterations that are left: it would
    go on otherwise than the run that was interrupted."""
    _, spec, answers = _answers(bench)
    for start in (1, LENGTHS[0] // 3, LENGTHS[0] - 1):
        resumed = build_schedule(bench, LENGTHS[0])
        for iteration in range(start, LENGTHS[0]):
            groups = groups_of(resumed, spec, iteration)
            if groups != answers[iteration]:
                raise Wrong(
                    f"resumed at iteration {start} it answers {_text(groups)} in iteration "
                    f"{iteration}, and {_text(answers[iteration])} in a run of one piece; compute "
                    "the answer from the arguments alone, or give it `state_dict` and "
                    "`load_state_dict`"
                )


def _answers(bench: Bench) -> tuple[Schedule, ScheduleSpec, list[Groups]]:
    """The schedule and its groups in every iteration; raises `Skip` for one with a state."""
    spec, schedule = bench.spec, build_schedule(bench, LENGTHS[0])
    assert isinstance(spec, ScheduleSpec)
    if hasattr(schedule, "state_dict"):
        raise Skip("it keeps a state; see `state-round-trip`")
    return schedule, spec, [groups_of(schedule, spec, place) for place in range(LENGTHS[0])]


def _text(groups: Groups) -> str:
    return "; ".join(" and ".join(group) for group in groups) or "no phase"
