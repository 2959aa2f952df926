"""How a folder of new files comes to be: whole or not at all, and over nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ganzoo.errors import UserError


def check_place(target: Path) -> None:
    """Raise `UserError` unless a folder can be made there, or is there and empty."""
    if not os.path.isdir(target.parent):
        raise UserError(
            f"there is no folder {target.parent}", hint=f"make it with: mkdir -p {target.parent}"
        )
    empty = os.path.isdir(target) and not target.is_symlink() and not any(target.iterdir())
    if os.path.lexists(target) and not empty:
        raise UserError(
            f"{target} is there already, and nothing is overwritten",
            hint="take another name, or another place",
        )


def write_folder(files: Mapping[str, str], target: Path) -> None:
    """Write texts by their paths beside the target, and put all into its place in one step.

    Raises `UserError` where the folder cannot be written.
    """
    try:
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as staging:
            folder = Path(staging) / target.name
            for path, text in files.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
            if not target.exists():
                folder.rename(target)
                return
            # Somebody may stand in it, and would stand in a folder that is gone.
            for child in folder.iterdir():
                child.rename(target / child.name)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
