"""`ganzoo sweep`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.cli.arguments import (
    BudgetOption,
    JobsOption,
    LauncherOption,
    RecipeArgument,
    ReportOption,
    RunsOption,
    SeedsOption,
)
from ganzoo.output import (
    print_place,
    stderr,
    table,
    talks,
    tell,
    warn,
    warn_about_broken_plugins,
)

if TYPE_CHECKING:
    from ganzoo.sweeps import Sweep


def sweep(
    recipe: RecipeArgument,
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=V1,V2...",
            help="Keys and their values, with --search also KEY=LOW..HIGH.",
        ),
    ],
    seeds: SeedsOption = None,
    search: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Let Optuna choose so many points; by default all."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Rank by this metric; by default the first that judges."),
    ] = None,
    budget: BudgetOption = None,
    out: ReportOption = Path("sweep"),
    runs: RunsOption = Path("runs"),
    launcher: LauncherOption = "local",
    jobs: JobsOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up another sweep that the folder holds.")
    ] = False,
) -> None:
    """Vary keys of a recipe, and write which is best.

    Trains what is not trained yet, measures all runs in one way and prints the path of the report.
    """
    from ganzoo.comparison import parse_budget
    from ganzoo.sweeps import sweep as sweep_all

    warn_about_broken_plugins()
    swept = sweep_all(
        recipe,
        *keys,
        seeds=seeds,
        search=search,
        metric=metric,
        budget=None if budget is None else parse_budget(budget),
        out=out,
        runs=runs,
        launcher=launcher,
        replace=replace,
        jobs=jobs,
        progress=True,
        report=tell,
    )
    if talks():
        show(swept, recipe, runs)
        print_place(swept.out / "report.html")


def show(swept: Sweep, recipe: Path, runs: Path) -> None:
    """Print the ranking, what is best and the next command, to stderr."""
    from ganzoo.sweeps.report import rows
    from ganzoo.sweeps.sentences import sentences, warnings

    data = swept.data
    console = stderr()
    if not console.is_terminal:
        console.width = 10_000  # a file takes lines of any length
    sign = {"lower": "(-)", "higher": "(+)"}[data["better"]]
    heads = ["", *(key["name"] for key in data["keys"]), f"{data['metric']} {sign}", "", ""]
    lines = [
        [
            str(row.point["rank"] or "-"),
            *row.point["values"].values(),
            row.value,
            row.interval,
            row.verdict,
        ]
        for row in rows(data)
    ]
    console.print(table(heads, lines))
    for sentence in warnings(data):
        warn(sentence)
    for sentence in sentences(data):
        tell(sentence)
    if swept.best is not None:
        words = ["ganzoo", "compare", str(recipe), str(swept.best), "--seeds", "5"]
        tell(f"{swept.best} is the best recipe; compare it with what it was:")
        tell(f"  {shlex.join([*words, '--runs', str(runs)])}")
