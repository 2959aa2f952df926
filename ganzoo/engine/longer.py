"""Makes a run longer than it was to be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from ganzoo.engine.environment import environment
from ganzoo.engine.session import Session
from ganzoo.plans import written_iterations
from ganzoo.ramps import Ramp, Ramps, value_at
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.records import read_json, write_json, write_text
from ganzoo.runs import RunFolder

SHOWN = 4
"""Values that a warning names."""


def make_longer(session: Session, folder: RunFolder, warn: Callable[[str], None]) -> None:
    """Give a run that was restored the length of the session's recipe, where it had another one.

    `warn` is told of what stretches over the run, which jumps then.
    """
    group, length = session.group, session.recipe.train.iterations
    # No process may read the file while, or after, the first one writes it.
    before = min(group.gather(written_iterations(folder)))
    if length == before:
        return
    recipe = load_recipe(folder.recipe, f"train.iterations={length}")
    session.earlier.append({"fingerprint": session.fingerprint, "iterations": before})
    session.fingerprint = recipe.fingerprint
    with group.first_before_others():
        if group.first:
            _write(session, folder, recipe)
    if jumps := list(_jumps(session, before)):
        more = f" and {len(jumps) - SHOWN} more" if len(jumps) > SHOWN else ""
        warn(
            f"{', '.join(jumps[:SHOWN])}{more}, as this stretches over the run: its end will not "
            f"be that of a run of {length} iterations from the start"
        )


def _write(session: Session, folder: RunFolder, recipe: Recipe) -> None:
    """Write the new length. A kill at any moment leaves a run of the old one or of the new one,
    which resumes."""
    group, description = session.group, session.parts.description
    made_with = read_json(folder.environment) or environment(
        session.recipe, session.backend, description, group.size
    )
    plans = {"fingerprint": session.fingerprint, "earlier": session.earlier}
    write_json(folder.environment, {**made_with, **plans})
    if status := read_json(folder.status):
        write_json(folder.status, {**status, "state": "interrupted"})
    for file in folder.made_at_the_end():
        file.unlink()
    begun = folder.recipe.stat()
    write_text(folder.recipe, recipe.to_toml())
    # Runs are told apart by when they were begun.
    os.utime(folder.recipe, ns=(begun.st_atime_ns, begun.st_mtime_ns))


def _jumps(session: Session, before: int) -> Iterator[str]:
    """What has another course in a longer run: its last value, and the one with which it
    continues."""
    recipe, iteration = session.recipe, session.iteration
    if not iteration:
        return
    length, values = recipe.train.iterations, session.parts.values
    was, now = values.current(iteration - 1, before), values.current(iteration)
    if isinstance(decay := recipe.ema.decay, Ramp | Ramps):
        was["ema.decay"] = value_at(decay, iteration - 1, before)
        now["ema.decay"] = value_at(decay, iteration, length)
    for place, value in was.items():
        yield f"{place} was {value:.4g} and continues at {now[place]:.4g}"
    old, new = _groups(session, iteration - 1, before), _groups(session, iteration, length)
    if old != new:
        yield f"[schedule] ran {old} and continues with {new}"


def _groups(session: Session, iteration: int, length: int) -> str:
    """What the schedule of a run of some length does in an iteration, in words."""
    spec, parts = session.recipe.schedule.spec, session.parts
    context = replace(parts.context_for("schedule", spec), iterations=length)
    groups: Sequence[Sequence[str]] = spec.build(context).phases(iteration, {})
    steps = [(" with ".join(group), len(list(same))) for group, same in groupby(groups)]
    return ", ".join(f"{count} x {phases}" for phases, count in steps)
