"""`ganzoo compare`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.output import stderr, table, talks, warn, warn_about_broken_plugins

NAME_WIDTH = 24
"""Columns of a terminal for the name of a figure."""
LABEL_WIDTH = 15
"""Columns of a terminal for the name of a model, which is broken at its hyphens."""
GAP = 2
"""Columns between two models."""


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="Recipe files, folders of finished runs, and KEY=VALUE changes to all recipes.",
        ),
    ],
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Train with the seeds 0 to SEEDS - 1; by default once."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="The same for each run: iterations=N, images=N or seconds=N."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("comparison"),
    runs: Annotated[Path, typer.Option(help="Folder that holds all runs.")] = Path("runs"),
    launcher: Annotated[
        str, typer.Option(help="local: one run after the other; ray: on a Ray cluster.")
    ] = "local",
) -> None:
    """Compare recipes or runs, and write a report.

    Trains what is not trained yet and measures all alike. Prints the path of the report.
    """
    from ganzoo.cli.progress import display
    from ganzoo.comparison import compare as compare_all
    from ganzoo.comparison import parse_budget

    warn_about_broken_plugins()
    overrides = [each for each in targets if "=" in each and not Path(each).exists()]
    comparison = compare_all(
        *(each for each in targets if each not in overrides),
        seeds=seeds,
        budget=None if budget is None else parse_budget(budget),
        overrides=overrides,
        out=out,
        runs=runs,
        launcher=launcher,
        display=display,
        tell=stderr().print,
    )
    if talks():
        show(comparison.data)
        print(comparison.out / "report.html")


def show(data: Any) -> None:
    """The headline figures as a table, and what is wrong, to people."""
    columns = [column for column in data["metrics"] if column["headline"]]
    bracket = f"[{data['extractor']['name']}]" if data["extractor"] else ""
    arrows = {"lower": " (-)", "higher": " (+)"}
    names = [
        column["name"].replace(bracket, "").replace("/", "/\n") + arrows[column["better"]]
        for column in columns
    ]
    console = stderr()
    if not console.is_terminal:
        console.width = 10_000  # a file takes lines of any length
    # A model in each column, since figures are many and models few, and no more than fit.
    at_once = max(1, (console.width - NAME_WIDTH) // (LABEL_WIDTH + GAP))
    for start in range(0, len(data["models"]), at_once):
        models = data["models"][start : start + at_once]
        heads = ["", *(textwrap.fill(row["label"], LABEL_WIDTH) for row in models)]
        lines = [
            [name, *(cell(row, column["name"], data["winners"]) for row in models)]
            for name, column in zip(names, columns, strict=True)
        ]
        console.print(table(heads, lines))
    console.print(
        "mean over seeds, below it its 95 % interval; (+) higher is better, (-) lower; "
        "* clear of all others"
    )
    if data["extractor"]:
        console.print(f"features: {data['extractor']['name']}, {data['extractor']['note']}")
    for row in data["models"]:
        for run in row["runs"]:
            for sentence in run["collapse"]:
                warn(f"{row['label']}, seed {run['seed']}, may have collapsed: {sentence}")


def cell(row: Any, figure: str, winners: Any) -> str:
    """Mean, with a star where it wins, and below it the interval."""
    found = row["statistics"].get(figure)
    if found is None:
        return "-"
    star = " *" if winners.get(figure) == row["label"] else ""
    if found["low"] is None:
        return f"{found['mean']:.4g}{star}"
    return f"{found['mean']:.4g}{star}\n{found['low']:.3g} to {found['high']:.3g}"
