"""The recipes that come with ganzoo, which have names that hold in every folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@functools.cache
def shipped() -> Mapping[str, Path]:
    """Their files by name."""
    inside = PACKAGE / "recipes"
    # A clone has them beside the package, where they are easier to find.
    folder = inside if inside.is_dir() else PACKAGE.parent / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def recipe_file(reference: str | Path, beside: Path = Path()) -> Path:
    """The file that a path, relative to the folder `beside`, or the name of a shipped recipe means.

    A file of the user's is never shadowed. What means none is returned as a path.
    """
    file = beside / reference
    # os.path takes what the system cannot look up, such as a name that is too long, as not there.
    return file if os.path.exists(file) else shipped().get(str(reference), file)
