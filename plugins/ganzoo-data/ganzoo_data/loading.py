"""The user's own folder of pictures."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ganzoo.api import UserError
from ganzoo.engine import Data

from .catalogue import Catalogue
from .messages import announce, reason
from .pictures import PictureReader, describe_failures, load_parts

NAME = "image-folder"
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
OURS = ({"recipe.toml", "status.json"}, {"recipe.toml", "environment.json"}, {"comparison.json"})
"""Files by which the folder of a run or of a comparison is known."""


@dataclass
class Listing:
    """What lies in a folder and its sub-folders."""

    pictures: list[str] = field(default_factory=list)
    """Names of pictures relative to the folder, sorted."""
    left: Counter[str] = field(default_factory=Counter)
    """How many files or folders were left out, by what they are."""


def load_folder(
    path: str,
    data_root: Path,
    cache_root: Path,
    reader: PictureReader,
    *,
    held_out: float,
    limit: int | None,
    in_memory: Literal["auto"] | bool,
) -> Data:
    """Pictures below `path`, of which about the share `held_out` is held out.

    Whether a picture is held out, and whether it is among the first `limit`, depends on its own
    name alone: no other file can move it into the other part. One line on stderr says what was
    taken and what was left.

    Raises:
        UserError: there is no such folder, no picture in it, or none that can be read.
    """
    folder = find_folder(path, data_root)
    listing = list_pictures(folder)
    names, left = listing.pictures, listing.left
    catalogue = Catalogue(folder, cache_root, NAME)
    failures: dict[str, str] = {}
    if limit is not None:
        found = len(names)
        names, failures = catalogue.first_readable(sorted(names, key=_place), limit)
        left["beyond the limit"] = found - len(names) - len(failures)
    parts = split(sorted(names), held_out)
    (train, rest), unreadable = load_parts(NAME, catalogue, parts, reader, in_memory)
    failures |= unreadable
    counts = f"{len(train) + len(rest)} pictures from {folder}, {len(rest)} of them held out"
    others = [f"{count} {what}" for what, count in sorted(left.items()) if count > 0]
    if failures:
        others.append(f"{len(failures)} that cannot be read: {describe_failures(failures)}")
    announce(f"{NAME}: {counts}" + (f"; left out {', '.join(others)}" if others else ""))
    return Data(train=train, held_out=rest if len(rest) else None, source=str(folder))


def split(names: list[str], held_out: float) -> tuple[list[str], list[str]]:
    """The names to train on and those held out, each in the order of `names`.

    At least one is trained on.
    """
    apart = {name for name in names if held_out and _fraction(f"split/{name}") < held_out}
    if len(apart) == len(names):
        apart.discard(max(names, key=lambda name: _fraction(f"split/{name}")))
    return [name for name in names if name not in apart], [name for name in names if name in apart]


def _fraction(text: str) -> float:
    """A hash in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{NAME}/{text}".encode()).digest()[:6]) / 2**48


def _place(name: str) -> float:
    """Where a picture stands in the order by which a limit chooses."""
    return _fraction(f"limit/{name}")


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


def list_pictures(folder: Path) -> Listing:
    """The pictures below `folder`.

    Links are followed, each folder once. Hidden files and folders, and the folders of ganzoo's own
    runs and comparisons, are left out.

    Raises:
        UserError: there is none, or a folder cannot be listed.
    """
    listing = Listing()
    for file in _files(folder, listing.left):
        suffix = os.path.splitext(file)[1].lower()
        if suffix in EXTENSIONS and os.path.isfile(file):
            listing.pictures.append(Path(file).relative_to(folder).as_posix())
        elif suffix in EXTENSIONS:
            listing.left["links to nothing or no files"] += 1
        else:
            listing.left["other files"] += 1
    if not listing.pictures:
        raise UserError(
            f"{NAME}: no picture in {folder} or its sub-folders (looked for "
            f"{', '.join(EXTENSIONS)})",
            hint="set data.path to a folder that holds pictures of one of these kinds",
        )
    listing.pictures.sort()
    return listing


def _files(folder: Path, left: Counter[str]) -> Iterator[str]:
    """Paths of all files below a folder that are not left out."""

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{NAME}: cannot list {error.filename}: {reason(error)}",
            hint="make the folder readable, or set data.path to another one",
        )

    visited = {_identity(folder)}
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        hidden = [name for name in (*folders, *files) if name.startswith(".")]
        left["hidden files and folders"] += len(hidden)
        below = []
        for name in sorted(set(folders) - set(hidden)):
            path = Path(parent, name)
            if any(all((path / file).is_file() for file in ours) for ours in OURS):
                left["folders of runs"] += 1
            elif (identity := _identity(path)) in visited:
                left["links to folders that are there already"] += 1
            else:
                visited.add(identity)
                below.append(name)
        folders[:] = below
        yield from (os.path.join(parent, name) for name in set(files) - set(hidden))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
