"""Trains and measures the points of a sweep, and writes a report and the best recipe.

keys ──► space ──► points ──► entrants ──► as in a comparison ──► sweep.json ──► report
                     ▲                            │
                     └────────── search ◄─────────┘
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo.comparison.budget import Budget
from ganzoo.comparison.comparing import (
    Protocol,
    check_cache,
    check_found_elsewhere,
    choose_protocol,
    find_data,
    make_folder,
    measurable,
    repeatable,
    run_all,
)
from ganzoo.comparison.entrants import Entrant, plan
from ganzoo.comparison.launchers import Launcher, make_launcher
from ganzoo.comparison.request import Request
from ganzoo.errors import GanzooError, UserError
from ganzoo.records import read_json, write_json
from ganzoo.runs import RunFolder
from ganzoo.status import read_status
from ganzoo.sweeps.best import write_best
from ganzoo.sweeps.document import Identity, Kept, SearchEntry, SweepDocument
from ganzoo.sweeps.headline import Headline, choose_headline
from ganzoo.sweeps.points import Tried, check_search, grid
from ganzoo.sweeps.space import Point, Space, parse_space


@dataclass(frozen=True)
class Sweep:
    """A sweep that was written."""

    data: SweepDocument
    """What sweep.json holds."""
    out: Path
    """Folder of report.html, sweep.json, sweep.md and best.toml."""

    @property
    def best(self) -> Path | None:
        """The recipe with the best values; None where no point is done."""
        best = self.data["best"]
        return None if best is None else Path(best["recipe"])


@dataclass(frozen=True)
class Plan:
    """What all points of a sweep share."""

    space: Space
    seeds: int | None
    budget: Budget | None
    protocol: Protocol
    headline: Headline
    data: str | None
    """Hash of the data."""
    out: Path
    runs: Path
    launcher: Launcher
    report: Callable[[str], None]

    def place(self, entrant: Entrant) -> None:
        """Choose the folders of an entrant's runs, and say what is unwise about its recipe."""
        told = self.report
        plan(entrant, self.seeds, self.budget, self.out, self.runs, self.data, told)
        for note in entrant.notes():
            told(f"note: {note}")


def sweep(
    recipe: str | Path,
    *keys: str,
    seeds: int | None = None,
    search: int | None = None,
    metric: str | None = None,
    budget: Budget | None = None,
    out: str | Path = "sweep",
    runs: str | Path = "runs",
    launcher: str = "local",
    replace: bool = False,
    jobs: int | None = None,
    progress: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Sweep:
    """Vary keys of a recipe, measure all points in one way, rank them and write the best recipe.

    `keys` are texts as on the command line: `optimizer.lr=1e-4,5e-4` is varied, a key of one value
    is a change to all points. All combinations are trained, each once for each of the seeds 0 to
    `seeds` - 1 (by default for the recipe's own seed); with `search`, that many points are chosen
    by Optuna instead, also from ranges such as `optimizer.lr=1e-5..1e-3`, and those that are worse
    than the median of the others while they train are pruned. Points are ranked by `metric`, by
    default the first of the recipe's metrics of which it is known which way is better. Runs below
    `runs` are used, resumed and measured as by `compare`, whose other arguments these are; a search
    tries as many points at once as `jobs` says, by default one. Writes
    `report.html`, `sweep.json`, `sweep.md` and `best.toml` into `out`. Where that holds a sweep,
    one of the same keys takes its place, another one with `replace`.

    Each run has a process of its own: a script that calls this does so below
    `if __name__ == "__main__":`. Raises `UserError` for what cannot be swept, with all problems of
    all points, `InterruptedRun` after a signal and `RunError` if every run fails.
    """
    from ganzoo.sweeps.assembly import assemble_sweep

    chosen_launcher = make_launcher(launcher, jobs, progress)
    file, out, runs = Path(recipe), Path(out), Path(runs)
    told = functools.cache(report)  # the same is not told twice
    space, problems = parse_space(keys, searched=search is not None, budgeted=budget is not None)
    points: list[tuple[Point, Entrant]] = []
    if search is None:
        points = grid(file, space, problems, told)
        entrants = [entrant for _, entrant in points]
    else:
        from ganzoo.sweeps.search import check_optuna

        check_optuna()
        entrants = [check_search(file, space, problems)]
    check_found_elsewhere(entrants)
    protocol = choose_protocol(entrants)
    headline = choose_headline(protocol, entrants, metric)
    check_cache(entrants, protocol)
    identity = _identity(recipe, space, headline, budget, searched=search is not None)
    if not replace:
        check_folder(out, identity)
    make_folder(out)
    # How many points are tried at once decides which ones a search tries.
    more = {"--search": search, "--metric": metric, "--jobs": search and jobs}
    options = [word for name, value in more.items() if value for word in (name, str(value))]
    request = Request((str(recipe),), (os.path.normpath(recipe),), space.fixed, seeds, budget)
    words = ["sweep", str(recipe), *keys, *options]
    command = request.command_of(words, out, runs, launcher)
    with repeatable("sweep", f"{command} --replace" if replace else command):
        description = find_data(entrants)
        protocol = measurable(protocol, description, told)
        plan_of_all = Plan(
            space,
            seeds,
            budget,
            protocol,
            choose_headline(protocol, entrants, metric),
            None if description is None else description.digest,
            out,
            runs,
            chosen_launcher,
            told,
        )
        entry: SearchEntry | None = None
        if search is None:
            tried = try_grid(points, plan_of_all)
        else:
            from ganzoo.sweeps.search import try_search

            tried, entry = try_search(file, entrants[0], search, plan_of_all)
        data = assemble_sweep(
            tried, space, plan_of_all.headline, protocol, identity, request, command, entry
        )
        write_sweep(data, tried, file, out)
    return Sweep(data, out)


def write_sweep(data: SweepDocument, tried: Sequence[Tried], file: Path, out: Path) -> None:
    """Write the best recipe, whose path goes into the document, the document and the report."""
    from ganzoo.sweeps.report import write_report
    from ganzoo.sweeps.sentences import sentences

    if data["best"] is not None:
        label = data["points"][0]["label"]
        (best,) = (each for each in tried if each.point.label == label)
        remark = "\n".join(sentences(data))
        path = write_best(file, best.point, best.entrant.recipe, out, remark)
        data["best"]["recipe"] = str(path)
    write_json(out / "sweep.json", data)
    write_report(data, out)


def try_grid(points: Sequence[tuple[Point, Entrant]], shared: Plan) -> list[Tried]:
    """Train and measure all points of a grid."""
    entrants = [entrant for _, entrant in points]
    for entrant in entrants:
        shared.place(entrant)
    shared.report(_count(entrants))
    run_all(entrants, shared.protocol, shared.data, shared.launcher, shared.report)
    return [Tried(point, entrant) for point, entrant in points]


def _count(entrants: Sequence[Entrant]) -> str:
    """`4 points with 2 seeds each: 8 runs, of which 3 are done already`."""
    folders = [path for entrant in entrants for path in entrant.folders.values()]
    done = sum(_is_done(path) for path in folders)
    seeds = len(entrants[0].folders)
    there = f", of which {done} {'is' if done == 1 else 'are'} done already" if done else ""
    return (
        f"{len(entrants)} points with {seeds} seed{'' if seeds == 1 else 's each'}: "
        f"{len(folders)} runs{there}"
    )


def _is_done(path: Path) -> bool:
    try:
        return read_status(RunFolder(path)).get("state") == "done"
    except GanzooError:  # damaged, which its job will tell
        return False


def _identity(
    recipe: str | Path,
    space: Space,
    headline: Headline,
    budget: Budget | None,
    *,
    searched: bool,
) -> Identity:
    return {
        "recipe": str(recipe),
        "keys": list(space.keys),
        "fixed": list(space.fixed),
        "metric": headline.name,
        "budget": None
        if budget is None
        else {"kind": budget.kind, "amount": budget.amount, "text": str(budget)},
        "searched": searched,
    }


def check_folder(out: Path, identity: Identity) -> None:
    """Raise `UserError` where a folder holds another sweep, which would be replaced.

    The same keys of the same recipe with other values are the same sweep.
    """
    if not os.path.exists(out / "sweep.json"):  # False where a name is too long to be looked up
        return
    before: Kept = read_json(out / "sweep.json", Kept)
    if before["identity"] != identity:
        raise UserError(
            f"{out} holds another sweep: {before['title']}",
            hint="--out names another folder; --replace gives up the one that is there",
        )
