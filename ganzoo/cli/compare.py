"""`ganzoo compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.output import stderr, table, talks, warn, warn_about_broken_plugins


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
    arrows = {"lower": " (-)", "higher": " (+)"}
    rows = [
        [row["label"], *(cell(row, column["name"], data["winners"]) for column in columns)]
        for row in data["models"]
    ]
    bracket = f"[{data['extractor']['name']}]" if data["extractor"] else ""
    heads = [
        "",
        *(column["name"].replace(bracket, "") + arrows[column["better"]] for column in columns),
    ]
    # A model in each column: figures are many and models few.
    turned = [list(line) for line in zip(heads, *rows, strict=True)]
    console = stderr()
    if not console.is_terminal:
        console.width = 10_000  # a file takes lines of any length
    console.print(table(turned[0], turned[1:]))
    console.print(
        "mean over seeds, with a 95 % interval; (+) higher is better, (-) lower; "
        "* clear of all others"
    )
    if data["extractor"]:
        console.print(f"features: {data['extractor']['name']}, {data['extractor']['note']}")
    for row in data["models"]:
        for run in row["runs"]:
            for sentence in run["collapse"]:
                warn(f"{row['label']}, seed {run['seed']}, may have collapsed: {sentence}")


def cell(row: Any, figure: str, winners: Any) -> str:
    """Mean and half the width of its interval, with a star where it wins."""
    found = row["statistics"].get(figure)
    if found is None:
        return "-"
    star = " *" if winners.get(figure) == row["label"] else ""
    if found["low"] is None:
        return f"{found['mean']:.4g}{star}"
    return f"{found['mean']:.4g} ± {(found['high'] - found['low']) / 2:.2g}{star}"
