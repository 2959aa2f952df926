"""Classes of pictures: by the sub-folders they lie in, or by a table."""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo.api import UserError

from .messages import reason
from .sources import EXTENSIONS, NAME, Archive, Folder, Listing, find, find_source

FOLDERS = "folders"
"""What a recipe says for classes by sub-folders; anything else is the name of a table."""
NAMED = 3
"""How many files or folders a message names."""


@dataclass(frozen=True)
class Labels:
    """Which of some pictures are of which class."""

    numbers: Mapping[str, int]
    """Class of each picture that has one, by its name."""
    names: tuple[str, ...]
    """Names of the classes in the order of their numbers."""


def list_source(path: str, data_root: Path) -> tuple[Folder | Archive, Listing]:
    """The folder or archive that `path` means, and the pictures in it.

    Raises:
        UserError: there is none, it cannot be read, or no picture is in it.
    """
    source = find_source(path, data_root)
    listing = source.listing()
    if not listing.pictures:
        inside = " or its sub-folders" if isinstance(source, Folder) else ""
        raise UserError(
            f"{NAME}: no picture in {source.where}{inside} (looked for {', '.join(EXTENSIONS)})",
            hint="set data.path to a folder that holds pictures of one of these kinds",
        )
    return source, listing


def find_class_names(path: str, classes: str, data_root: Path) -> tuple[str, ...]:
    """Names of all classes of the pictures at a path, in the order of their numbers.

    Raises:
        UserError: see `list_source` and `label_pictures`.
    """
    source, listing = list_source(path, data_root)
    return label_pictures(classes, None, source, listing, data_root).names


def label_pictures(
    classes: str,
    names: Sequence[str] | None,
    source: Folder | Archive,
    listing: Listing,
    data_root: Path,
) -> Labels:
    """The classes of pictures; those without one are counted in `listing.left`.

    `classes` is `"folders"` or a table, see `read_table`. `names` says which classes there are, in
    the order of their numbers: pictures of others are left out. Without it they are all that are
    found, in the order of numbers or of letters.

    Raises:
        UserError: there are no classes, one has no picture, or the table is not as it should be.
    """
    if classes == FOLDERS:
        found, empty = by_folder(listing)
        if empty and names is None:
            raise UserError(
                f"{NAME}: no picture of the class {some(empty)}: its folder in {source.where} has "
                "none",
                hint="put pictures there, remove the folder, or name the classes that are wanted: "
                f"data.class_names = {listed(set(found.values()))}",
            )
        without = "in no class folder"
    else:
        table, content = find_table(classes, source, data_root)
        found = read_table(table, content, source.where, listing.pictures)
        without = f"without a class in {posixpath.basename(classes)}"
    listing.left[without] += len(listing.pictures) - len(found)
    return number(NAME, found, names, source.where, listing.left)


def number(
    kind: str,
    found: Mapping[str, str],
    names: Sequence[str] | None,
    where: str,
    left: Counter[str],
) -> Labels:
    """Numbers for the classes `found` of pictures; see `label_pictures`.

    `kind` stands before messages, `where` says where the pictures are.
    """
    known = ordered(found.values()) if names is None else tuple(names)
    there = set(found.values())
    if not there:
        raise UserError(
            f"{kind}: no picture in {where} has a class",
            hint="to train without classes, leave out the key that asks for them",
        )
    if missing := [name for name in known if name not in there]:
        raise UserError(
            f"{kind}: no picture of the class {some(missing)} in {where}",
            hint=f"there are data.class_names = {listed(there)}",
        )
    places = {name: place for place, name in enumerate(known)}
    numbers = {picture: places[name] for picture, name in found.items() if name in places}
    left["of other classes"] += len(found) - len(numbers)
    return Labels(numbers, known)


def by_folder(listing: Listing) -> tuple[dict[str, str], list[str]]:
    """The class of each picture that lies in a class folder, and class folders without any.

    Class folders are those at the top. Where there is nothing but one folder that holds others, as
    archives often have it, they are the folders in that.
    """
    top = ""
    while True:
        inner = sorted(name for name in listing.folders if posixpath.dirname(name) == top)
        beside = any(posixpath.dirname(name) == top for name in listing.pictures)
        deeper = len(inner) == 1 and any(
            posixpath.dirname(name) == inner[0] for name in listing.folders
        )
        if beside or not deeper:
            break
        top = inner[0]
    start = len(top) + bool(top)
    found = {
        name: name[start:].partition("/")[0]
        for name in listing.pictures
        if name.startswith(top) and "/" in name[start:]
    }
    filled = set(found.values())
    return found, [name[start:] for name in inner if name[start:] not in filled]


def find_table(classes: str, source: Folder | Archive, data_root: Path) -> tuple[str, bytes]:
    """What the table of classes is called, and its content: beside the pictures, or elsewhere.

    Raises:
        UserError: it is nowhere, or cannot be read.
    """
    inside = not os.path.isabs(classes) and source.status(classes)[0] >= 0
    file, candidates = find(classes, data_root)
    if file is None and not inside:
        looked = " nor ".join(map(str, [source.place(classes), *candidates]))
        raise UserError(
            f"{NAME}: there is no table of classes {looked}",
            hint='set data.classes to a CSV of names and classes, or to "folders" for sub-folders',
        )
    place = source.place(classes) if inside else str(file)
    try:
        content = source.read(classes) if inside else Folder(Path(place).parent).read(place)
    except Exception as error:  # an archive raises errors of many types
        raise UserError(
            f"{NAME}: cannot read {place}: {reason(error)}", hint="set data.classes to a CSV"
        ) from error
    return place, content


def read_table(table: str, content: bytes, where: str, pictures: Sequence[str]) -> dict[str, str]:
    """The class of each picture that a CSV names.

    The first column holds names of pictures as they lie in the folder, the second one their
    classes; further ones are not read. A first line whose name is no picture's is a heading.

    Raises:
        UserError: a line is not as it should be, or names a picture that is not there.
    """
    found: dict[str, str] = {}
    missing: dict[str, int] = {}
    there = set(pictures)
    for line, row in _rows(table, content):
        name = posixpath.normpath(row[0].strip().replace("\\", "/"))
        if line == 1 and not name.lower().endswith(EXTENSIONS):
            continue
        label = row[1].strip() if len(row) > 1 else ""
        if not label:
            raise UserError(
                f"{table}:{line}: '{row[0]}' has no class",
                hint="write the name of a picture, a comma and its class: cats/1.png,cat",
            )
        if name not in there:
            missing.setdefault(name, line)
        elif found.setdefault(name, label) != label:
            raise UserError(
                f"{table}:{line}: '{name}' is of the class '{label}' here, and of "
                f"'{found[name]}' in a line before",
                hint="a picture has one class: remove one of the lines",
            )
    if missing:
        lines = [f"'{name}' (line {line})" for name, line in missing.items()]
        raise UserError(
            f"{table} names {len(missing)} pictures that are not in {where}: "
            f"{', '.join(lines[:NAMED])}" + (", ..." if len(lines) > NAMED else ""),
            hint="names are relative to data.path, with their endings; put the pictures there, or "
            "remove the lines",
        )
    return found


def _rows(table: str, content: bytes) -> Iterable[tuple[int, list[str]]]:
    """The lines of a CSV that are not empty, with their numbers."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        yield from ((reader.line_num, row) for row in reader if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{table} cannot be read as a CSV in UTF-8: {reason(error)}",
            hint="save it as comma-separated text: cats/1.png,cat",
        ) from error


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes, each once, in the order of letters, or of numbers if all are."""
    different = set(names)
    if all(name.isascii() and name.isdigit() for name in different):
        return tuple(sorted(different, key=lambda name: (int(name), name)))
    return tuple(sorted(different))


def listed(names: Iterable[str]) -> str:
    """Names of classes as a recipe writes them, the first ones of very many."""
    known = ordered(names)
    more = ", ..." if len(known) > 20 else ""
    # A text in TOML is written as in JSON.
    return f"[{', '.join(json.dumps(name, ensure_ascii=False) for name in known[:20])}{more}]"


def some(names: Sequence[str]) -> str:
    """The first names for a message."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + more
