"""`ganzoo check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.output import warn_about_broken_plugins


def check(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE", help="Recipe files.")],
) -> None:
    """Find every problem of every recipe. Nothing is run or built."""
    from ganzoo.recipe import RecipeError, load_recipe

    warn_about_broken_plugins()
    wrong = []
    for recipe in recipes:
        try:
            load_recipe(recipe)
        except RecipeError as error:
            wrong.append(error)
        else:
            print(f"{recipe}: good")
    if wrong:
        problems = [problem for error in wrong for problem in error.problems]
        raise RecipeError(problems)
