"""`ganzoo schema`."""

from __future__ import annotations

import json

from ganzoo.cli.output import warn_about_broken_plugins


def schema() -> None:
    """Print the JSON Schema of a recipe with the installed plugins, for editors."""
    from ganzoo import registry
    from ganzoo.recipe.schema import recipe_schema

    warn_about_broken_plugins()
    print(json.dumps(recipe_schema(registry.installed()), indent=2))
