"""One's own pictures: split, labelled, loaded, and what is said of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ganzoo.api import UserError
from ganzoo.engine import Data, Samples

from . import huggingface
from .catalogue import Catalogue
from .labels import Labels, label_pictures, list_source, number, some
from .messages import announce
from .pictures import PictureReader, PictureStream, describe_failures, load_parts
from .sources import NAME, Source


def load_folder(
    path: str,
    classes: str | None,
    class_names: Sequence[str] | None,
    data_root: Path,
    cache_root: Path,
    reader: PictureReader,
    *,
    held_out: float,
    limit: int | None,
    in_memory: Literal["auto"] | bool,
    mirror: bool,
) -> Data:
    """Pictures below a folder or in an archive, of which about the share `held_out` is held out.

    Whether a picture is held out, and whether it is among the first `limit`, depends on its own
    name alone: no other file can move it into the other part. One line on stderr says what was
    taken and what was left.

    Raises:
        UserError: see `list_source`, `label_pictures` and `load`.
    """
    source, listing = list_source(path, data_root)
    labels, names = None, listing.pictures
    if classes is not None:
        labels = label_pictures(classes, class_names, source, listing, data_root)
        names = [name for name in names if name in labels.numbers]
    failures: dict[str, str] = {}
    catalogue = Catalogue(source, cache_root, NAME)
    if limit is not None:
        found = len(names)
        names, failures = catalogue.first_readable(sorted(names, key=place_of), limit)
        listing.left["beyond the limit"] = found - len(names) - len(failures)
    parts = split(sorted(names), held_out)
    return load(catalogue, parts, reader, in_memory, labels, listing.left, failures, mirror)


def load_rows(
    place: huggingface.Place,
    class_names: Sequence[str] | None,
    cache_root: Path,
    reader: PictureReader,
    *,
    held_out: float | str,
    limit: int | None,
    in_memory: Literal["auto"] | bool,
    mirror: bool,
) -> Data:
    """The pictures of a split, and those held out: a share of its rows, or another split.

    Whether a row is held out, and whether it is among the first `limit`, depends on its number
    alone.

    Raises:
        UserError: see `read_split`, `picture_column`, `read_classes` and `load`.
    """
    announce(f"huggingface: opening {place.where}")
    wanted = [place.split, held_out] if isinstance(held_out, str) else [place.split]
    splits = {each: huggingface.read_split(place, each) for each in wanted}
    column = huggingface.picture_column(place, splits[place.split])
    source = huggingface.Rows(
        place.where,
        column,
        {each: huggingface.undecoded(place, rows, column) for each, rows in splits.items()},
    )
    names = {each: [f"{each}/{row}" for row in range(len(splits[each]))] for each in wanted}
    labels, left = None, Counter[str]()
    if place.label_column is not None:
        labels = _labels(place, splits, class_names, left)
        names = {each: [name for name in names[each] if name in labels.numbers] for each in wanted}
    failures: dict[str, str] = {}
    catalogue = Catalogue(source, cache_root, huggingface.NAME)
    if limit is not None:
        found = names[place.split]
        chosen, failures = catalogue.first_readable(sorted(found, key=place_of), limit)
        left["beyond the limit"] = len(found) - len(chosen) - len(failures)
        kept = set(chosen)
        names[place.split] = [name for name in found if name in kept]
    train = names[place.split]
    parts = (train, names[held_out]) if isinstance(held_out, str) else split(train, held_out)
    return load(catalogue, parts, reader, in_memory, labels, left, failures, mirror)


def _labels(
    place: huggingface.Place,
    splits: dict[str, Any],
    class_names: Sequence[str] | None,
    left: Counter[str],
) -> Labels:
    """Classes of the rows of all splits; those without one are counted in `left`."""
    found: dict[str, str] = {}
    for each, rows in splits.items():
        found |= huggingface.read_classes(place, rows, each)[1]
    left["without a class"] = sum(map(len, splits.values())) - len(found)
    return number(huggingface.NAME, found, class_names, place.where, left)


def load(
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    in_memory: Literal["auto"] | bool,
    labels: Labels | None,
    left: Mapping[str, int],
    failures: Mapping[str, str],
    mirror: bool,
) -> Data:
    """The pictures to train on and those held out, by their names in the catalogue's source.

    `left` and `failures` are what was left out so far, for the line that says so.

    Raises:
        UserError: nothing to train on can be read, or nothing of a class.
    """
    numbers = None if labels is None else labels.numbers
    name, source = catalogue.name, catalogue.source
    (train, rest), unreadable = load_parts(name, catalogue, parts, reader, in_memory, numbers)
    counts = f"{len(train) + len(rest)} pictures from {source.where}, {len(rest)} of them held out"
    others = [f"{count} {what}" for what, count in sorted(left.items()) if count > 0]
    if failed := {**failures, **unreadable}:
        others.append(f"{len(failed)} that cannot be read: {describe_failures(failed)}")
    if labels is not None:
        counts += f", {len(labels.names)} classes"
        check_classes(name, train, labels.names, source)
    announce(f"{name}: {counts}" + (f"; left out {', '.join(others)}" if others else ""))
    return Data(
        train=train,
        held_out=rest if len(rest) else None,
        source=source.where,
        class_names=() if labels is None else labels.names,
        mirror=mirror,
    )


def check_classes(
    kind: str, train: Samples | PictureStream, names: Sequence[str], source: Source
) -> None:
    """Raise `UserError` where nothing of a class is left to train on."""
    assert train.labels is not None
    counts = torch.bincount(train.labels, minlength=len(names)).tolist()
    if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise UserError(
            f"{kind}: no picture to train on of the class {some(empty)} in {source.where}: all "
            "of it are held out, beyond the limit or cannot be read",
            hint="add pictures of it, change data.held_out or data.limit, or leave it out of "
            "data.class_names",
        )


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


def place_of(name: str) -> float:
    """Where a picture stands in the order by which a limit chooses."""
    return _fraction(f"limit/{name}")
