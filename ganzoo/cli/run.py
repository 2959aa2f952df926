"""`ganzoo run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import Overrides, RecipeArgument
from ganzoo.output import note, warn_about_broken_plugins


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    runs: Annotated[Path, typer.Option(help="Folder that holds all runs.")] = Path("runs"),
    identity: Annotated[
        str | None, typer.Option("--id", help="Name of the run's folder; by default the time.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from the weights of a run, with @4000 or @best for one of its snapshots.",
        ),
    ] = None,
) -> None:
    """Check a recipe, train it and measure the result. Prints the run's folder."""
    from ganzoo import zoo
    from ganzoo.display import display, report
    from ganzoo.recipe import load_recipe

    warn_about_broken_plugins()
    checked = load_recipe(recipe, *(overrides or ()))
    note(checked)
    report(zoo.train(checked, runs=runs, identity=identity, progress=display(), start=start))
