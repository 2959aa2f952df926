"""Picture files as tensors: all at once in memory, or one by one from where they are."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ganzoo.api import RunError, UserError
from ganzoo.engine import Samples

from .catalogue import MANY, Catalogue, picture_reason, with_threads
from .deep import bits_of, deep_pixels, peak_of, shallow
from .messages import announce
from .sources import Source

MEMORY_LIMIT = 4 * 2**30
"""Decoded bytes below which `in_memory = "auto"` means yes."""
NAMED = 10
"""How many unreadable files a message names."""

Size = int | tuple[int, int]
"""Height and width in pixels, or the side of a square."""
Parts = list[Samples] | list["PictureStream"]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""What Pillow calls pictures by their number of channels."""


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """Makes uint8 `(channels, height, width)` of the bytes of a file."""

    size: Size
    channels: int = 3
    crop: str = "center"
    """`"center"` cuts what is too long at both ends, `"none"` squashes."""
    bits: int = 16
    """Bits that are used of the 16 of a deep picture."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is read."""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return (self.channels, height, width)

    def __call__(self, content: bytes) -> Tensor:
        """Decode, apply the orientation, fill transparency with white, crop and resize.

        With four channels transparency is kept, as opacity in [0, 255]; what cannot be seen at all
        is black.
        """
        with Image.open(io.BytesIO(content)) as opened:
            pixels = deep_pixels(opened, content)
            picture = opened if pixels is None else shallow(pixels, self.bits)
            picture.info.setdefault("exif", opened.info.get("exif", b""))
            image = ImageOps.exif_transpose(picture)
        mode = MODES[self.channels]
        image = image.convert(mode) if mode == "RGBA" else _opaque(image, mode)
        _, height, width = self.shape
        # Pillow's bicubic widens its kernel when it shrinks, so it is antialiased.
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=self._box(image.size))
        rows = np.array(image).reshape(height, width, self.channels)
        if mode == "RGBA":
            rows[rows[..., 3] == 0] = 0
        return torch.from_numpy(rows).permute(2, 0, 1).contiguous()

    def _box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """What of a picture of some width and height is used: left, top, right, bottom."""
        width, height = size
        if self.crop == "none":
            return (0, 0, width, height)
        _, rows, columns = self.shape
        wide = min(width, max(1, round(height * columns / rows)))
        high = min(height, max(1, round(width * rows / columns)))
        left, top = (width - wide) // 2, (height - high) // 2
        return (left, top, left + wide, top + high)


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """The picture in `mode` (`"L"` or `"RGB"`), transparency filled with white."""
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return image.convert(mode)


@dataclass(frozen=True)
class PictureStream:
    """Pictures read one by one: a `ganzoo.engine.Stream`."""

    source: Source
    names: Sequence[str]
    reader: PictureReader
    digest: str
    """Changes with the content of any file, with its class, and with how files are read."""
    labels: Tensor | None = None
    """Classes, int64 `(M,)`, or None without any."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Picture `index`, uint8 `(C, H, W)`, and its class or -1.

        Raises:
            RunError: the file cannot be read, though it could before the run.
        """
        name = self.names[index]
        try:
            picture = self.reader(self.source.read(name))
        except Exception as error:  # Pillow's decoders raise errors of any type
            raise RunError(
                f"{self.source.place(name)} could not be read in the middle of a run: "
                f"{picture_reason(error, name)}",
                hint="it was whole when the run began: put it back, then resume the run",
            ) from error
        return picture, -1 if self.labels is None else int(self.labels[index])


def load_parts(
    name: str,
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    in_memory: Literal["auto"] | bool,
    labels: Mapping[str, int] | None = None,
) -> tuple[Parts, dict[str, str]]:
    """Load each part of a set, given as names of files in a source; the first is trained on.

    `labels` are the classes of all files, if they have any. Files that cannot be read are left out
    and returned, each with the reason.

    Raises:
        UserError: nothing of the first part can be read.
    """
    total = sum(map(len, parts))
    size = total * int(np.prod(reader.shape))
    decode = size < MEMORY_LIMIT if in_memory == "auto" else in_memory
    where = catalogue.source.where
    if decode and total > MANY:
        announce(f"{name}: reading {total} pictures in {where}")
    failures: dict[str, str] = {}
    loaded: Parts = (_decoded if decode else _streamed)(catalogue, parts, reader, failures, labels)
    if not len(loaded[0]):
        raise UserError(
            f"{name}: none of the {len(parts[0])} pictures to train on in {where} can "
            f"be read: {describe_failures(failures)}",
            hint="give a folder of whole pictures; try opening one of them in a viewer",
        )
    return loaded, failures


def _streamed(
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    failures: dict[str, str],
    labels: Mapping[str, int] | None,
) -> list[PictureStream]:
    """Streams of what can be read of each part; what cannot is added to `failures`."""
    entries = catalogue.entries([name for part in parts for name in part])
    failures |= {name: entry.failure for name, entry in entries.items() if entry.failure}
    reader = replace(reader, bits=bits_of(entry.peak for entry in entries.values()))
    streams = []
    for part in parts:
        names = [name for name in part if name not in failures]
        digest = f"{reader} {catalogue.digest(names)}"
        if labels is not None:
            classes = str([labels[name] for name in names])
            digest += f" {hashlib.sha256(classes.encode()).hexdigest()}"
        streams.append(
            PictureStream(catalogue.source, names, reader, digest, _labels_of(names, labels))
        )
    return streams


def _labels_of(names: Sequence[str], labels: Mapping[str, int] | None) -> Tensor | None:
    """Classes int64 `(M,)` of some files."""
    if labels is None:
        return None
    return torch.tensor([labels[name] for name in names], dtype=torch.int64)


def _decoded(
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    failures: dict[str, str],
    labels: Mapping[str, int] | None,
) -> list[Samples]:
    """What can be read of each part, in memory; what cannot is added to `failures`."""
    source = catalogue.source
    loaded, peaks = [], {}
    kept: list[list[str]] = []
    for part in parts:
        values = torch.empty((len(part), *reader.shape), dtype=torch.uint8)
        places = {name: place for place, name in enumerate(part)}

        def read(name: str, values: Tensor = values, places: Mapping[str, int] = places) -> str:
            try:
                content = source.read(name)
                values[places[name]] = reader(content)
                peaks[name] = peak_of(content)
            except Exception as error:  # Pillow's decoders raise errors of any type
                return picture_reason(error, name)
            return ""

        reasons = with_threads(read, part)
        failures |= {name: reason for name, reason in reasons.items() if reason}
        kept.append([name for name in part if not reasons[name]])
        # Moved in place: a copy of the readable ones would take twice the memory.
        for new, name in enumerate(kept[-1]):
            if new != places[name]:
                values[new] = values[places[name]]
        loaded.append(Samples(values[: len(kept[-1])], _labels_of(kept[-1], labels)))
    bits = bits_of(peaks.values())
    for samples, names in zip(loaded, kept, strict=True) if bits < reader.bits else ():
        for place, name in enumerate(names):
            if peaks[name]:
                samples.values[place] = replace(reader, bits=bits)(source.read(name))
    return loaded


def describe_failures(failures: Mapping[str, str]) -> str:
    """The first few files that cannot be read with their reasons, and how many more there are."""
    texts = [f"{name} ({reason})" for name, reason in failures.items()]
    more = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {more} more" if more > 0 else "")
