"""`ganzoo recipes`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ganzoo.output import stdout, table, warn_about_broken_plugins


def recipes(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Files below this folder instead.", show_default=False
        ),
    ] = None,
) -> None:
    """List the recipes that come with ganzoo, by name."""
    from ganzoo.errors import UserError
    from ganzoo.recipe import RecipeError, load_recipe
    from ganzoo.recipe.shipped import shipped

    if folder is not None and not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder", hint="`ganzoo recipes FOLDER` looks elsewhere")
    warn_about_broken_plugins()
    files = (
        shipped()
        if folder is None
        else {str(file): file for file in sorted(folder.rglob("*.toml"))}
    )
    rows = []
    for name, file in files.items():
        try:
            summary = load_recipe(file).summary
        except RecipeError as error:
            count = len(error.problems)
            summary = f"{count} problem{'s' * (count != 1)}: see `ganzoo check {name}`"
        rows.append((name, summary))
    stdout().print(table(("recipe", "summary"), rows))
