"""From a TOML file to a checked `Recipe`."""

from __future__ import annotations

from pathlib import Path

from ganzoo import registry as registries
from ganzoo.recipe.model import Component, Recipe
from ganzoo.recipe.resolve import resolve
from ganzoo.recipe.source import Problem, RecipeError, override, read
from ganzoo.registry import Registry

__all__ = ["Component", "Problem", "Recipe", "RecipeError", "load_recipe"]


def load_recipe(file: str | Path, *overrides: str, registry: Registry | None = None) -> Recipe:
    """Read and check a recipe.

    `overrides` are `key=value` texts as on the command line, the value in TOML. `registry`
    says which components there are: by default those of the installed plugins. Raises
    `RecipeError`, whose text lists every problem with its file and line.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("recipes/digits-mlp-gan.toml", "loss.type=minimax")
    >>> recipe.loss.name, recipe.train.batch_size
    ('minimax', 64)
    """
    source = override(read(file), overrides)
    return resolve(source, registries.installed() if registry is None else registry)
