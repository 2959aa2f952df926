"""The user's own folder of pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

from ganzoo.api import UserError
from ganzoo.engine import Data, generator_for

from .messages import reason
from .pictures import PictureReader, load_parts

NAME = "image-folder"
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def load_folder(
    path: str,
    data_root: Path,
    reader: PictureReader,
    *,
    held_out: float,
    limit: int | None,
    in_memory: Literal["auto"] | bool,
) -> Data:
    """Pictures below `path`, of which a share `held_out` is held out.

    The split is over names, before anything is read, so that it is the same in memory and
    streamed, and does not depend on which files can be read.

    Raises:
        UserError: there is no such folder, no picture in it, or none that can be read.
    """
    folder = find_folder(path, data_root)
    names = list_pictures(folder)
    order = torch.randperm(len(names), generator=generator_for(0, NAME, "split"))[:limit]
    count = min(int(held_out * len(order)), len(order) - 1)
    parts = [[names[index] for index in part] for part in (order[count:], order[:count])]
    train, rest = load_parts(NAME, folder, parts, reader, in_memory)
    return Data(train=train, held_out=rest if len(rest) else None)


def find_folder(path: str, data_root: Path) -> Path:
    """The folder that `path` means, absolute.

    Raises:
        UserError: it is in neither place, or is a file.
    """
    places = [Path.cwd(), data_root.absolute()]
    candidates = list(dict.fromkeys(place / os.path.expanduser(path) for place in places))
    folder = next((candidate for candidate in candidates if candidate.exists()), None)
    if folder is None:
        raise UserError(
            f"{NAME}: there is no folder {' nor '.join(map(str, candidates))}",
            hint="set data.path to a folder of pictures: an absolute path, or one relative to "
            "the working directory or to GANZOO_DATA",
        )
    if not folder.is_dir():
        raise UserError(
            f"{NAME}: {folder} is a file", hint="set data.path to the folder that holds it"
        )
    return folder


def list_pictures(folder: Path) -> list[str]:
    """Names of the pictures below `folder`, relative to it, sorted.

    Links to files are followed, links to folders are not: they could form a cycle.

    Raises:
        UserError: there is none, or a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{NAME}: cannot list {error.filename}: {reason(error)}",
            hint="make the folder readable, or set data.path to another one",
        )

    names = [
        (Path(parent) / file).relative_to(folder).as_posix()
        for parent, _, files in os.walk(folder, onerror=refuse)
        for file in files
        if file.lower().endswith(EXTENSIONS)
    ]
    if not names:
        raise UserError(
            f"{NAME}: no picture in {folder} or its sub-folders (looked for "
            f"{', '.join(EXTENSIONS)})",
            hint="set data.path to a folder that holds pictures of one of these kinds",
        )
    return sorted(names)
