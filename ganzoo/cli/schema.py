"""`ganzoo schema`."""

from __future__ import annotations

import json

from ganzoo.output import warn_about_broken_plugins


def schema() -> None:
    """Print the JSON Schema of a recipe. Editors complete the installed plugins' keys by it."""
    from ganzoo import registry
    from ganzoo.recipe.schema import recipe_schema

    warn_about_broken_plugins()
    print(json.dumps(recipe_schema(registry.installed()), indent=2))
