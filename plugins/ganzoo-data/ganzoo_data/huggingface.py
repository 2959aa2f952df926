"""Data sets that the library `datasets` reads: local ones, and those of the Hugging Face hub."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo.api import UserError

from .labels import number
from .messages import reason
from .sources import check_size, find

NAME = "huggingface"
SAVED = ("state.json", "dataset_dict.json")
"""Files by which a data set is known that was written by `save_to_disk`."""
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
FILES = {".parquet": "parquet", ".arrow": "arrow"}
"""Files that are a data set by themselves, and who reads them."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a data set is and which of its columns are wanted."""

    path: str
    name: str | None
    split: str
    column: str | None
    label_column: str | None
    data_root: Path

    @property
    def where(self) -> str:
        """Its absolute path, or its name on the hub."""
        local, _ = find(self.path, self.data_root)
        return self.path if local is None else str(local)


@dataclass(frozen=True)
class Rows:
    """The pictures of a data set: a `Source` whose names are `split/row`."""

    where: str
    column: str
    splits: dict[str, Any] = field(repr=False)
    """Data sets with one column, whose pictures are not decoded, by their splits."""

    def status(self, name: str) -> tuple[int, int]:
        """Bytes and their checksum."""
        try:
            content = self.read(name)
        except Exception:  # said where the picture is read
            return -1, -1
        return len(content), zlib.crc32(content)

    def read(self, name: str) -> bytes:
        part, _, row = name.rpartition("/")
        picture = self.splits[part][int(row)][self.column]
        if picture is None:
            raise ValueError("the row has no picture")
        content: bytes | None = picture["bytes"]
        if content is not None:
            check_size(len(content))
            return content
        check_size(os.path.getsize(picture["path"]))
        return Path(picture["path"]).read_bytes()

    def place(self, name: str) -> str:
        part, _, row = name.rpartition("/")
        return f"row {row} of split '{part}' of {self.where}"


def find_class_names(place: Place) -> tuple[str, ...]:
    """Names of the classes of a data set, in the order of their numbers.

    Raises:
        UserError: see `read_split` and `read_classes`.
    """
    rows = read_split(place, place.split)
    known, found = read_classes(place, rows, place.split)
    return known or number(NAME, found, None, place.where, Counter()).names


def read_split(place: Place, split: str) -> Any:
    """A split of a data set, a `datasets.Dataset`.

    Raises:
        UserError: the library is not installed, or there is no such data set or split.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(
            "data sets of Hugging Face need the library datasets",
            hint='pip install "ganzoo-data[huggingface]"',
        ) from None
    local, candidates = find(place.path, place.data_root)
    ending = os.path.splitext(place.path)[1].lower()
    if local is None and (ending in FILES or not HUB_NAME.fullmatch(place.path)):
        raise UserError(
            f"{NAME}: there is no {' nor '.join(map(str, candidates))}",
            hint="set data.path to a folder or a .parquet file: an absolute path, or one relative "
            "to the working directory or to GANZOO_DATA; or to a name on the hub: ylecun/mnist",
        )
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if local is not None and any(os.path.exists(local / each) for each in SAVED):
            rows = datasets.load_from_disk(str(local))
            if isinstance(rows, datasets.DatasetDict) and split not in rows:
                there = ", ".join(rows)
                raise ValueError(f"it has no split '{split}', but {there}")
            return rows[split] if isinstance(rows, datasets.DatasetDict) else rows
        if local is not None and (kind := FILES.get(ending)):
            return datasets.load_dataset(kind, data_files=str(local), split=split)
        return datasets.load_dataset(str(local or place.path), name=place.name, split=split)
    except Exception as error:  # the library raises errors of many types
        where = str(local) if local else f"'{place.path}', which is no local path"
        raise UserError(
            f"{NAME}: cannot load split '{split}' of {where}: {reason(error)}",
            hint="data.path is a folder or a .parquet file, or a name on the hub, such as "
            "ylecun/mnist; data.name is its configuration, data.split one of its splits",
        ) from error
    finally:
        if shown:
            datasets.enable_progress_bars()


def picture_column(place: Place, rows: Any) -> str:
    """The column that holds pictures: the one that is asked for, or the only one there is.

    Raises:
        UserError: there is no such column, it holds no pictures, or there are several.
    """
    pictures = [name for name, kind in rows.features.items() if _holds_pictures(kind)]
    if place.column is None and len(pictures) == 1:
        return str(pictures[0])
    if place.column in pictures:
        return str(place.column)
    if place.column is None:
        what = "has several columns of pictures" if pictures else "has no column of pictures"
    elif place.column in rows.features:
        what = f"has no pictures in column '{place.column}'"
    else:
        what = f"has no column '{place.column}'"
    hint = f"set data.column to one of those with pictures: {', '.join(pictures)}"
    if not pictures:
        hint = f"its columns are {', '.join(rows.features)}; images and bytes are pictures"
    raise UserError(f"{NAME}: {place.where} {what}", hint=hint)


def _holds_pictures(kind: Any) -> bool:
    import datasets

    return isinstance(kind, datasets.Image) or getattr(kind, "dtype", None) in (
        "binary",
        "large_binary",
    )


def undecoded(place: Place, rows: Any, column: str) -> Any:
    """The column of pictures alone, each as its bytes.

    Raises:
        UserError: a split that is held out has no such column.
    """
    import datasets

    if column not in rows.features:
        raise UserError(
            f"{NAME}: a split of {place.where} has no column '{column}'",
            hint=f"its columns are {', '.join(rows.features)}",
        )
    return rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))


def read_classes(place: Place, rows: Any, split: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of all classes, where the data set says them, and the class of each row, by its name.

    Rows without a class are left out.

    Raises:
        UserError: there is no such column, or it holds neither numbers nor texts.
    """
    import datasets

    column = str(place.label_column)
    kind = rows.features.get(column)
    if kind is None:
        raise UserError(
            f"{NAME}: {place.where} has no column '{column}'",
            hint=f"data.label_column is one of {', '.join(rows.features)}",
        )
    values = rows.with_format(None).select_columns([column])[:][column]
    if isinstance(kind, datasets.ClassLabel):
        names = tuple(kind.names)
        found = {row: names[value] for row, value in enumerate(values) if (value or 0) >= 0}
    elif all(isinstance(value, int | str | None) for value in values):
        names = ()
        found = {row: str(value) for row, value in enumerate(values) if value is not None}
    else:
        raise UserError(
            f"{NAME}: column '{column}' of {place.where} holds no classes, but {kind}",
            hint="classes are whole numbers or texts",
        )
    return names, {f"{split}/{row}": name for row, name in found.items()}
