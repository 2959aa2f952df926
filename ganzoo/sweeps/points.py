"""From the points of a sweep to checked recipes; all problems are told at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganzoo.comparison.entrants import Entrant, with_seed
from ganzoo.errors import UserError
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.recipe.problems import Problem
from ganzoo.recipe.source import COMMAND_LINE, read
from ganzoo.sweeps.space import Point, Space

MOST_POINTS = 1000
"""Points that a grid may have."""
MOST_CORNERS = 256
"""Points of a search that are checked before it begins."""


@dataclass(frozen=True)
class Tried:
    """A point that was tried, and where it was pruned, if it was."""

    point: Point
    entrant: Entrant
    iteration: int | None = None
    """After which iteration it was pruned; None for a point that was trained to its end."""
    value: float | None = None
    """The mean of the headline over seeds there."""


def entrant_of(file: Path, point: Point) -> Entrant:
    """The recipe at a point. Raises `RecipeError`."""
    recipe = load_recipe(file, *point.overrides)
    return Entrant(recipe, file=file, overrides=point.overrides, label=point.label)


def grid(
    file: Path, space: Space, known: Sequence[Problem], report: Callable[[str], None]
) -> list[tuple[Point, Entrant]]:
    """All points with their recipes; of those that train the same model, the first.

    `known` are problems that were found before. Raises `RecipeError` with all problems of all
    points, and `UserError` where there are too many points or there is only one.
    """
    if space.size and space.size > MOST_POINTS:
        raise UserError(
            f"the grid has {space.size:,} points",
            hint=f"{MOST_POINTS:,} is the most; --search 20 tries 20 of them",
        )
    found: dict[str, tuple[Point, Entrant]] = {}
    points = checked(file, space.corners(), known)
    check_varies(space)
    for point, entrant in points:
        fingerprint = with_seed(entrant.recipe, 0).fingerprint
        if fingerprint in found:
            same = found[fingerprint][0].label
            report(f"{point.label} trains the same model as {same}: it is made once")
        found.setdefault(fingerprint, (point, entrant))
    return list(found.values())


def check_search(file: Path, space: Space, known: Sequence[Problem]) -> Entrant:
    """Check what a search may try: each value and each end of a range, and all combinations of
    them where these are few. The entrant of the first point. Raises as `grid` does."""
    few = math.prod(len(axis.ends) for axis in space.axes) <= MOST_CORNERS
    points = checked(file, space.corners() if few else space.arms(), known)
    check_varies(space)
    return points[0][1]


def check_varies(space: Space) -> None:
    """Raise `UserError` where no key has several values."""
    if not space.varied:
        raise UserError(
            "no key has several values, so there is nothing to sweep",
            hint="give some, such as optimizer.lr=1e-4,5e-4",
        )


def checked(
    file: Path, points: Iterable[Point], known: Sequence[Problem]
) -> list[tuple[Point, Entrant]]:
    """The points with their recipes. Raises `RecipeError`, with `known` and the problems of all."""
    read(file)  # what is no recipe at all is told once
    good: list[tuple[Point, Entrant]] = []
    bad: dict[Problem, list[Point]] = {}
    points = list(points)
    for point in points:
        try:
            good.append((point, entrant_of(file, point)))
        except RecipeError as error:
            for problem in error.problems:
                bad.setdefault(problem, []).append(point)
    if known or bad:
        told = [_placed(each, where, points) for each, where in _merged(bad, points).items()]
        raise RecipeError([*known, *told])
    return good


def _merged(
    bad: Mapping[Problem, list[Point]], points: Sequence[Point]
) -> dict[Problem, list[Point]]:
    """The problems, one for all values of a key where these have the same one: it is the key's."""
    merged: dict[Problem, list[Point]] = {}
    for problem, where in bad.items():
        same = [each for each in bad if replace(each, origin=problem.origin) == problem]
        of_key = problem.origin.file == COMMAND_LINE and len(same) > 1
        if of_key and sum(len(bad[each]) for each in same) == len(points):
            if problem == same[0]:
                merged[problem] = where
        else:
            merged[problem] = where
    return merged


def _placed(problem: Problem, where: Sequence[Point], points: Sequence[Point]) -> Problem:
    """A problem that says in which points it is, where its origin does not say it."""
    origin = problem.origin
    everywhere = len(where) == len(points)
    if origin.file == COMMAND_LINE:
        everywhere = len(where) == sum(origin.text in point.overrides for point in points)
    if everywhere:
        return problem
    others = f" and in {len(where) - 1} more" if len(where) > 1 else ""
    message = f"{problem.message} (in the point {where[0].label}{others})"
    return replace(problem, message=message)
