"""`ganzoo check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import complete_recipe
from ganzoo.errors import UserError
from ganzoo.output import note, say, warn_about_broken_plugins


def check(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE...]",
            help="Files or names of recipes, and changes to all, such as train.seed=1.",
            autocompletion=complete_recipe,
        ),
    ],
) -> None:
    """Find every problem of every recipe. Nothing is run or built."""
    from ganzoo.folders import warn_of_cache
    from ganzoo.recipe import Problem, RecipeError, load_recipe

    warn_about_broken_plugins()
    overrides = [each for each in arguments if "=" in each]
    recipes = [Path(each) for each in arguments if "=" not in each]
    if not recipes:
        raise UserError(
            "no recipe is named", hint="for example: ganzoo check mine.toml train.seed=1"
        )
    problems: list[Problem] = []
    for recipe in recipes:
        try:
            checked = load_recipe(recipe, *overrides)
        except RecipeError as error:
            problems += error.problems
        else:
            say(f"{recipe}: valid")
            note(checked)
            if checked.reads_features:
                warn_of_cache()
    if problems:
        # A problem of the command line is the same in every recipe.
        raise RecipeError(dict.fromkeys(problems))
