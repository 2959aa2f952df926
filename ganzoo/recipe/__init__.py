"""From a TOML file to a checked `Recipe`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo import local
from ganzoo import registry as registries
from ganzoo.files import read_regular
from ganzoo.recipe.model import Component, Recipe
from ganzoo.recipe.problems import Problem, RecipeError
from ganzoo.recipe.resolve import resolve
from ganzoo.recipe.source import override, read
from ganzoo.registry import Registry

__all__ = ["Component", "Problem", "Recipe", "RecipeError", "load_component", "load_recipe"]


def load_recipe(
    recipe: str | Path | Mapping[str, Any], *overrides: str, registry: Registry | None = None
) -> Recipe:
    """Read and check a recipe: a file, a recipe of ganzoo's own by its name, or its tables.

    `overrides` are `key=value` texts as on the command line, the value in TOML. `registry`
    says which components there are: by default those of the installed plugins. Raises
    `RecipeError`, whose text lists every problem with its file and line.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "loss.type=minimax")
    >>> recipe.loss.name, recipe.train.batch_size
    ('minimax', 64)
    >>> tables = {"extends": "digits-mlp-gan", "name": "wide", "generator": {"hidden": [512]}}
    >>> ganzoo.load_recipe(tables).generator.spec.hidden
    (512,)
    """
    source = override(read(recipe), overrides)
    try:
        return resolve(source, registries.installed() if registry is None else registry)
    except RecipeError as error:
        if not isinstance(recipe, Mapping):
            error.hint = _made_with(Path(recipe).parent)
        raise


def load_component(kind: str, table: Mapping[str, Any]) -> Component[Any]:
    """The component that `Component.table(qualified=True)` described.

    Raises `UserError` where no installed plugin offers it.
    """
    keys = {key: value for key, value in table.items() if key != "type"}
    entry = registries.installed().find(kind, table["type"])
    return Component(table["type"], entry.spec.model_validate_json(json.dumps(keys)), entry.plugin)


def _made_with(run: Path) -> str | None:
    """Where a recipe is that of a run: the plugin files that it was made with and that are not
    named now, and the sources of components that no plugin had."""
    try:
        files = json.loads(read_regular(run / "environment.json"))["plugin_files"]
        made_with = {str(name): str(path) for name, path in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # no environment of ours
    here = {plugin.name for plugin in local.named()}
    hints = [
        f"the run was made with the plugin file {name}: add --plugin {shlex.quote(path)}"
        for name, path in made_with.items()
        if name not in here
    ]
    hints += [
        f"the run was made with the {path.stem.replace('-', ' ', 1)} of {path}: register it again"
        for path in sorted((run / "sources").glob("*.py"))
    ]
    return "\n".join(hints)
