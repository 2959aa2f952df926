"""`ganzoo init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ganzoo.output import print_place, tell, warn_about_broken_plugins


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or an empty folder.")],
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A name that `ganzoo recipes` lists.")
    ] = "digits-mlp-gan",
) -> None:
    """Write a small project around a copy of a recipe.

    The recipe is to be changed; settings for git and editors lie beside it. Prints its path.
    """
    from ganzoo.scaffold import new_project

    warn_about_broken_plugins()
    file = new_project(folder, recipe)
    print_place(file)
    tell(f"next:\n  cd {shlex.quote(str(folder))}\n  ganzoo run {file.name}")
