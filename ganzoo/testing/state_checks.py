"""Checks of what changes in the course of a run: schedules, and the state of any component."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganzoo.engine.random import seeded
from ganzoo.testing.bench import CPU, Bench
from ganzoo.testing.benches import first, phases
from ganzoo.testing.checks import Skip, Wrong, check
from ganzoo.testing.effects import one_line

ITERATIONS = 100
LENGTHS = (ITERATIONS, 1, 2, 37)
"""Lengths of runs, in iterations: a usual one, the shortest, an odd one."""
STEPS = 4
"""Steps before the state is saved, and after it."""
PLAIN = (bool, int, float, complex, str, bytes, set, frozenset, PurePath, Tensor, type(None))
GROUP = ("discriminator", "generator")
"""The phases that a probe is told of."""


@dataclass(frozen=True)
class Observed(Mapping[str, float]):
    """Statistics as a schedule may be shown them: some number in [0, 1) for whatever it asks."""

    stretch: int

    def __getitem__(self, name: str) -> float:
        return random.Random(f"{name}/{self.stretch}").random()

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _schedule(bench: Bench, iterations: int = ITERATIONS) -> Any:
    """The schedule of a run of so many iterations."""
    return bench.spec.build(replace(bench.context, iterations=iterations))


def _groups(schedule: Any, bench: Bench, iteration: int) -> tuple[tuple[str, ...], ...]:
    """The groups of an iteration; raises `Wrong` where they are none, or of strange phases.

    Statistics are shown as the engine does: none before the first reading.
    """
    spec: Any = bench.spec
    stretch = iteration // spec.observes if spec.observes else 0
    groups = schedule.phases(iteration, Observed(stretch) if stretch else {})
    question = f"phases({iteration})"
    if isinstance(groups, str) or not isinstance(groups, Sequence):
        raise Wrong(f"{question} is {groups!r}; return a sequence of groups")
    for group in groups:
        if isinstance(group, str) or not isinstance(group, Sequence) or not group:
            raise Wrong(f'{question} has the group {group!r}; write names, as in ("generator",)')
        if strangers := [phase for phase in group if phase not in spec.runs]:
            runs = f"`runs` has {', '.join(sorted(spec.runs))} only"
            raise Wrong(f"{question} runs {strangers[0]!r}, and {runs}; add it, or do not run it")
        if len(set(group)) < len(group):
            raise Wrong(f"{question} has a phase twice in {group!r}; write a group for each step")
    return tuple(map(tuple, groups))


@check("schedule", on=first)
def known_phases(bench: Bench) -> None:
    """Only phases in `runs` have optimizers: another one stops a run, at once or hours later."""
    observes = bench.spec.observes  # type: ignore[attr-defined]
    if not isinstance(observes, int) or observes < 0:
        raise Wrong(f"observes is {observes!r}; give a number of iterations, or 0 for none")
    for length in LENGTHS:
        schedule = _schedule(bench, length)
        answers = [_groups(schedule, bench, iteration) for iteration in range(length)]
        if not any(answers):
            raise Wrong(f"it runs no phase in {length} iterations; return one group at least")


@check("schedule", on=first)
def pure_schedule(bench: Bench) -> None:
    """Others ask too, such as a tool that draws a run's plan: that may not change the answers."""
    schedule, order = _schedule(bench), random.Random(0).sample(range(ITERATIONS), ITERATIONS)
    _check_answers(bench, schedule, schedule, order, "when it is asked once more")


@check("schedule", on=first)
def resumed_schedule(bench: Bench) -> None:
    """A resumed run asks a new schedule for what is left: it has to continue as it was begun."""
    for start in (1, ITERATIONS // 3, ITERATIONS - 1):
        once, resumed, left = _schedule(bench), _schedule(bench), range(start, ITERATIONS)
        _check_answers(bench, once, resumed, left, f"when it is resumed at iteration {start}")


def _check_answers(
    bench: Bench, schedule: Any, again: Any, order: Iterable[int], when: str
) -> None:
    """Raise `Wrong` where one schedule answers otherwise than another did in a whole run."""
    if hasattr(schedule, "state_dict"):
        raise Skip("it keeps a state; see `state-round-trip`")
    answers = [_groups(schedule, bench, iteration) for iteration in range(ITERATIONS)]
    for iteration in order:
        answer, other = answers[iteration], _groups(again, bench, iteration)
        if answer != other:
            raise Wrong(
                f"in iteration {iteration} it answers {answer}, and {other} {when}; compute the "
                "answer from the arguments alone, or give it `state_dict` and `load_state_dict`"
            )


def difference(one: Any, other: Any) -> str | None:
    """Where two values differ, as a path of attributes and keys, or None where they are alike.

    Functions and other things without attributes are taken to be alike.
    """
    first, second = dict(_leaves(one)), dict(_leaves(other))
    places = [*first, *(second.keys() - first.keys())]
    return next((it for it in places if not _alike(first.get(it), second.get(it))), None)


def _leaves(thing: Any, place: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The plain values and tensors in an object by their paths, and what keys each part has; of a
    module its weights, buffers and parts, but no hooks."""
    if isinstance(thing, torch.Generator):
        thing = thing.get_state()
    elif isinstance(thing, np.ndarray):
        thing = torch.as_tensor(thing)
    if isinstance(thing, PLAIN):
        yield place, "lazy" if isinstance(thing, Tensor) and is_lazy(thing) else thing
    elif id(thing) not in above:
        inner: dict[Any, Any] = dict(getattr(thing, "__dict__", {}))
        if isinstance(thing, Mapping | list | tuple):
            inner = dict(thing if isinstance(thing, Mapping) else enumerate(thing))
        if isinstance(thing, nn.Module):
            own = {name: value for name, value in inner.items() if not name.startswith("_")}
            inner = own | inner["_parameters"] | inner["_buffers"] | inner["_modules"]
        for key, value in inner.items():
            yield from _leaves(value, f"{place}.{key}".lstrip("."), (*above, id(thing)))
        yield place, f"{type(thing).__qualname__} {list(map(str, inner))}"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return type(one) is type(other) and bool(one == other or (one != one and other != other))


@check("loss", "regularizer", "augmentation", "schedule", "prior", "probe", on=first)
def state_round_trip(bench: Bench) -> None:
    """A resumed run builds components anew: what changed is lost unless a state dict holds it."""
    used, fresh, steps = bench.build(), bench.build(), list(phases([bench]))
    for number in range(STEPS):
        _use(steps, used, number)
    place = difference(fresh, used) or "what it keeps"
    if hasattr(used, "state_dict"):
        file = io.BytesIO()
        try:
            torch.save(used.state_dict(), file)
            file.seek(0)
            fresh.load_state_dict(torch.load(file, weights_only=True))
        except Exception as error:
            problem = f"its state dict cannot be saved and loaded again: {one_line(error)}"
            remedy = f"keep `{place}` in tensors and plain data, of the same shape in every build"
            raise Wrong(f"{problem}; {remedy}") from error
        place = difference(fresh, used) or place
    for number in range(STEPS, 2 * STEPS):
        expected, output = (_use(steps, each, number) for each in (used, fresh))
        if difference(expected, output) is not None:
            raise Wrong(
                f"`{place}` changes with its calls, and a resumed run would not find it as it was; "
                "keep it by `register_buffer` of a torch.nn.Module, or in `state_dict` and "
                "`load_state_dict`"
            )


def _use(benches: Sequence[Bench], component: Any, number: int) -> Any:
    """What a component gives in one step of a run, or in one of each phase, and then observes."""
    bench, kind = benches[0], benches[0].spec.kind
    with seeded(number, "noise", device=CPU):
        if kind == "schedule":
            return [_groups(component, bench, number * 5 + place) for place in range(5)]
        if kind == "prior":
            component.fit(torch.randn(40, bench.latent_dim) * (1 + number))
            return component.sample(8, torch.Generator().manual_seed(number))
        steps = [each.step(each.batch(seed=number)) for each in benches]
        if kind == "probe":
            component.before(GROUP, steps[0])
            component.after(GROUP, steps[0])
            return dict(component.compute())
        if kind == "augmentation":
            output = component(steps[0].x, component.draw(steps[0].x))
        else:
            output = [dict(component.compute(step)) for step in steps]
    with torch.no_grad():
        for step in steps if hasattr(component, "observe") else ():
            component.observe(step)
    return output
