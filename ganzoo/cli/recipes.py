"""`ganzoo recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.output import stdout, table, warn_about_broken_plugins


def recipes(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to look in.")] = Path(
        "recipes"
    ),
) -> None:
    """List the recipes of a folder."""
    from ganzoo.errors import UserError
    from ganzoo.recipe import RecipeError, load_recipe

    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", hint="`ganzoo recipes FOLDER` looks elsewhere")
    warn_about_broken_plugins()
    rows = []
    for file in sorted(folder.rglob("*.toml")):
        try:
            summary = load_recipe(file).summary
        except RecipeError as error:
            count = len(error.problems)
            summary = f"{count} problem{'s' * (count != 1)}: see `ganzoo check {file}`"
        rows.append((str(file), summary))
    stdout().print(table(("recipe", "summary"), rows))
