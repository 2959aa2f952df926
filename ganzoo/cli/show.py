"""`ganzoo show`."""

from __future__ import annotations

from ganzoo.cli.arguments import Overrides, RecipeArgument
from ganzoo.output import say, warn_about_broken_plugins


def show(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Print the resolved recipe as TOML, every default written out."""
    from ganzoo.recipe import load_recipe

    warn_about_broken_plugins()
    say(load_recipe(recipe, *(overrides or ())).to_toml(), end="")
