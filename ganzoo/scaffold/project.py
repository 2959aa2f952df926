"""A small project of one's own: a recipe to be changed, and what an editor and git should know."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ganzoo import registry
from ganzoo.errors import UserError
from ganzoo.recipe.resolve import NAME
from ganzoo.recipe.schema import recipe_schema
from ganzoo.recipe.shipped import shipped
from ganzoo.scaffold.folder import check_place, write_folder

GITIGNORE = "/runs/\n/comparison/\n"
EXTENSIONS = {"recommendations": ["tamasfe.even-better-toml"]}
"""The extension of VS Code that completes TOML by a schema."""


def new_project(folder: str | Path, recipe: str = "digits-mlp-gan") -> Path:
    """Write a project into a folder: a copy of a shipped recipe, called like the folder.

    The recipe names the schema beside it, so that editors complete the keys of all plugins that
    are installed now. Returns the path of the recipe. Everything is there or nothing. Raises
    `UserError` for a recipe that does not come with ganzoo, for a folder whose name cannot be
    that of a recipe, and where there is something already.

    >>> from pathlib import Path
    >>> from ganzoo.scaffold import new_project
    >>> new_project(Path(tmp) / "digits", "digits-vae").name
    'digits.toml'
    """
    target = Path(folder).resolve()
    if recipe not in shipped():
        raise UserError(
            f"no recipe '{recipe}' comes with ganzoo", hint="`ganzoo recipes` lists those that do"
        )
    if not NAME.fullmatch(target.name):
        raise UserError(
            f"the recipe would be called like the folder, and '{target.name}' is no name for one",
            hint="letters, digits, '.', '_' and '-', such as my-faces",
        )
    check_place(target)
    text = shipped()[recipe].read_text(encoding="utf-8")
    text = re.sub(r'^name = ".*"', f'name = "{target.name}"', text, flags=re.MULTILINE)
    file = f"{target.name}.toml"
    files = {
        file: f"#:schema ./recipe.schema.json\n{text}",
        "recipe.schema.json": json.dumps(recipe_schema(registry.installed()), indent=2) + "\n",
        ".gitignore": GITIGNORE,
        ".vscode/extensions.json": json.dumps(EXTENSIONS, indent=2) + "\n",
    }
    write_folder(files, target)
    return target / file
