"""How long a run is to be, and how long it was to be before it was made longer.

A plan is a number of iterations and the fingerprint of the recipe with it. recipe.toml has the plan
that counts; environment.json knows those before it, by which older files of the run are its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from ganzoo.errors import RunError, describe
from ganzoo.files import read_regular
from ganzoo.recipe.model import snapshot_iterations
from ganzoo.records import read_json
from ganzoo.runs import Environment, Plan, RunFolder


def run_fingerprint(folder: RunFolder) -> str | None:
    """The fingerprint of a run's recipe as it was begun or made longer; None before it began."""
    environment: Environment = read_json(folder.environment, Environment)
    earlier = environment.get("earlier", [])
    # recipe.toml is written after environment.json: a kill in between leaves the plan before.
    written = written_iterations(folder) if earlier else None
    kept = [plan["fingerprint"] for plan in earlier if plan["iterations"] == written]
    return kept[0] if kept else environment.get("fingerprint")


def earlier_plans(folder: RunFolder) -> list[Plan]:
    """The plans before the one that counts, the shortest first."""
    environment: Environment = read_json(folder.environment, Environment)
    earlier = environment.get("earlier", [])
    written = written_iterations(folder) if earlier else 0
    return [plan for plan in earlier if plan["iterations"] < written]


def is_of_run(folder: RunFolder, fingerprint: str | None, iteration: int | None = None) -> bool:
    """Whether a file with a fingerprint is of the run; all are before it has one.

    `iteration` is that of weights on the way, which an earlier plan may have written.
    """
    if run_fingerprint(folder) in (None, fingerprint):
        return True
    return iteration is not None and any(
        plan["fingerprint"] == fingerprint and iteration <= plan["iterations"]
        for plan in earlier_plans(folder)
    )


def planned_snapshots(earlier: Iterable[Plan], last: int, count: int) -> list[int]:
    """The iterations after which a run keeps its snapshots: up to the end of each plan those of
    that plan. `last` is the length of the one that counts, `count` how many it wants."""
    begin, planned = 0, []
    for end in (*(plan["iterations"] for plan in earlier), last):
        planned += [each for each in snapshot_iterations(end, count) if each > begin]
        begin = end
    return planned


def written_iterations(folder: RunFolder) -> int:
    """The length of a run by its recipe.toml. Raises `RunError` where that is damaged."""
    try:
        return int(written_tables(folder)["train"]["iterations"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error


def written_tables(folder: RunFolder) -> dict[str, Any]:
    """The tables of a run's recipe.toml, which has every key, not checked by any plugin.

    Raises `RunError` where it is damaged.
    """
    try:
        return tomllib.loads(read_regular(folder.recipe).decode())
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: RunFolder, error: Exception) -> RunError:
    return RunError(f"{folder.recipe} is damaged: {describe(error)}", hint="restore it from a copy")
