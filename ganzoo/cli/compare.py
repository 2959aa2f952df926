"""`ganzoo compare`."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.cli.arguments import (
    BudgetOption,
    JobsOption,
    LauncherOption,
    ReportOption,
    RunsOption,
    SeedsOption,
    complete_recipe,
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
    from ganzoo.evaluation.document import ComparisonDocument, Summary

NAME_WIDTH = 24
"""Columns of a terminal for the name of a value."""
LABEL_WIDTH = 15
"""Columns of a terminal for the name of a model, which is broken at its hyphens."""
GAP = 2
"""Columns between two models."""


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="Recipes, folders of finished runs, and KEY=VALUE changes to all recipes.",
            autocompletion=complete_recipe,
        ),
    ],
    seeds: SeedsOption = None,
    budget: BudgetOption = None,
    out: ReportOption = Path("comparison"),
    runs: RunsOption = Path("runs"),
    launcher: LauncherOption = "local",
    jobs: JobsOption = None,
    export: Annotated[
        str | None,
        typer.Option(help="Further files: tex, csv, svg and pdf, or some of them: tex,csv."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up another comparison in the folder.")
    ] = False,
) -> None:
    """Compare recipes or runs, and write a report.

    Trains what is not trained yet, measures all runs in one way and prints the path of the report.
    """
    from ganzoo.comparison import compare as compare_all
    from ganzoo.comparison import parse_budget

    warn_about_broken_plugins()
    overrides = [each for each in targets if "=" in each and not os.path.exists(each)]
    comparison = compare_all(
        *(each for each in targets if each not in overrides),
        seeds=seeds,
        budget=None if budget is None else parse_budget(budget),
        overrides=overrides,
        out=out,
        runs=runs,
        launcher=launcher,
        export=[] if export is None else [each.strip() for each in export.split(",")],
        replace=replace,
        jobs=jobs,
        progress=True,
        report=tell,
    )
    if talks():
        show(comparison.data)
        tell(comparison.headline)
        print_place(comparison.out / "report.html")


def show(data: ComparisonDocument) -> None:
    """Print the metrics that judge as a table, and warnings, to stderr."""
    extractor = data["extractor"]
    bracket = f"[{extractor['name']}]" if extractor else ""
    names = {
        column["name"]: column["name"].replace(bracket, "").replace("/", "/\n")
        + {"lower": " (-)", "higher": " (+)"}[column["better"]]
        for column in data["columns"]
        if column["better"] is not None
    }
    console = stderr()
    if not console.is_terminal:
        console.width = 10_000  # a file takes lines of any length
    # A model in each column, since values are many and models few, and no more than fit.
    at_once = max(1, (console.width - NAME_WIDTH) // (LABEL_WIDTH + GAP))
    for start in range(0, len(data["models"]), at_once):
        models = data["models"][start : start + at_once]
        heads = ["", *(textwrap.fill(model["label"], LABEL_WIDTH) for model in models)]
        lines = [
            [
                text,
                *(
                    cell(model["summaries"].get(name), data["winners"].get(name) == model["label"])
                    for model in models
                ),
            ]
            for name, text in names.items()
        ]
        console.print(table(heads, lines))
    console.print(
        "mean over seeds and its 95 % interval; (+) higher is better, (-) lower is better; "
        "* interval overlaps no other"
    )
    if extractor:
        tell(f"features: {extractor['name']}, {extractor['note']}")
    for model in data["models"]:
        for run in model["runs"]:
            for row in run["warnings"]:
                where = f"{model['label']}, seed {run['seed']}, at iteration {row['iteration']}"
                warn(f"{where}: {row['text']}")
            for sentence in run["collapse"]:
                warn(f"{model['label']}, seed {run['seed']}, may have collapsed: {sentence}")


def cell(summary: Summary | None, wins: bool) -> str:
    """The mean, with a star where it wins, and below it the interval."""
    if summary is None:
        return "-"
    star = " *" if wins else ""
    if summary["low"] is None:
        return f"{summary['mean']:.4g}{star}"
    return f"{summary['mean']:.4g}{star}\n{summary['low']:.3g} to {summary['high']:.3g}"
