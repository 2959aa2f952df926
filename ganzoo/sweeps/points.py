"""From the points of a sweep to checked recipes; all problems are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
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
    check_varies(space, known)
    if space.size and space.size > MOST_POINTS:
        raise UserError(
            f"the grid has {space.size:,} points",
            hint=f"{MOST_POINTS:,} is the most; --search 20 tries 20 of them",
        )
    found: dict[str, tuple[Point, Entrant]] = {}
    for point, entrant in checked(file, space.corners(), known):
        fingerprint = with_seed(entrant.recipe, 0).fingerprint
        if fingerprint in found:
            same = found[fingerprint][0].label
            report(f"{point.label} trains the same model as {same}: it is made once")
        found.setdefault(fingerprint, (point, entrant))
    return list(found.values())


def check_search(file: Path, space: Space, known: Sequence[Problem]) -> Entrant:
    """Check what a search may try: each value and each end of a range, and all combinations of
    them where these are few. The entrant of the first point. Raises as `grid` does."""
    check_varies(space, known)
    corners = 1
    for axis in space.axes:
        corners *= len(axis.ends)
    points = space.corners() if corners <= MOST_CORNERS else space.arms()
    return checked(file, points, known)[0][1]


def check_varies(space: Space, known: Sequence[Problem]) -> None:
    """Raise `UserError` where no key has several values."""
    if not space.varied and not known:
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
        raise RecipeError([*known, *(_placed(each, bad[each], points) for each in bad)])
    return good


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
