"""Picture files as tensors: all at once in memory, or one by one from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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

MEMORY_LIMIT = 4 * 2**30
"""Decoded bytes below which `in_memory = "auto"` means yes."""
NAMED = 10
"""How many unreadable files a message names."""

Parts = list[Samples] | list["PictureStream"]


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """Reads one file into uint8 `(channels, size, size)`."""

    size: int
    channels: int = 3
    crop: str = "center"
    """`"center"` cuts the long side to a square, `"none"` squashes."""
    bits: int = 16
    """Bits that are used of the 16 of a deep picture."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is read."""
        return (self.channels, self.size, self.size)

    def __call__(self, file: Path) -> Tensor:
        """Decode, apply the orientation, fill transparency with white, crop and resize."""
        with Image.open(file) as opened:
            pixels = deep_pixels(opened, file)
            picture = opened if pixels is None else shallow(pixels, self.bits)
            picture.info.setdefault("exif", opened.info.get("exif", b""))
            image = ImageOps.exif_transpose(picture)
        image = _opaque(image, "L" if self.channels == 1 else "RGB")
        width, height = image.size
        if self.crop == "center":
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            box = (left, top, left + side, top + side)
        else:
            box = (0, 0, width, height)
        # Pillow's bicubic widens its kernel when it shrinks, so it is antialiased.
        image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        rows = np.array(image).reshape(self.size, self.size, self.channels)
        return torch.from_numpy(rows).permute(2, 0, 1).contiguous()


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """The picture in `mode` (`"L"` or `"RGB"`), transparency filled with white."""
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return image.convert(mode)


@dataclass(frozen=True)
class PictureStream:
    """Pictures read from disk one by one: a `ganzoo.engine.Stream` without labels."""

    files: Sequence[Path]
    reader: PictureReader
    digest: str
    """Changes with the content of any file, and with how files are read."""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Picture `index`, uint8 `(C, H, W)`, and -1.

        Raises:
            RunError: the file cannot be read, though it could before the run.
        """
        file = self.files[index]
        try:
            return self.reader(file), -1
        except Exception as error:  # Pillow's decoders raise errors of any type
            raise RunError(
                f"{file} could not be read in the middle of a run: {picture_reason(error)}",
                hint="it was whole when the run began: put it back, then resume the run",
            ) from error


def load_parts(
    name: str,
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    in_memory: Literal["auto"] | bool,
) -> tuple[Parts, dict[str, str]]:
    """Load each part of a set, given as file names in a folder; the first is trained on.

    Files that cannot be read are left out and returned, each with the reason.

    Raises:
        UserError: nothing of the first part can be read.
    """
    total = sum(map(len, parts))
    size = total * int(np.prod(reader.shape))
    decode = size < MEMORY_LIMIT if in_memory == "auto" else in_memory
    if decode and total > MANY:
        announce(f"{name}: reading {total} pictures in {catalogue.folder}")
    failures: dict[str, str] = {}
    loaded: Parts = (_decoded if decode else _streamed)(catalogue, parts, reader, failures)
    if not len(loaded[0]):
        raise UserError(
            f"{name}: none of the {len(parts[0])} pictures to train on in {catalogue.folder} can "
            f"be read: {describe_failures(failures)}",
            hint="give a folder of whole pictures; try opening one of them in a viewer",
        )
    return loaded, failures


def _streamed(
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    failures: dict[str, str],
) -> list[PictureStream]:
    """Streams of what can be read of each part; what cannot is added to `failures`."""
    entries = catalogue.entries([name for part in parts for name in part])
    failures |= {name: entry.failure for name, entry in entries.items() if entry.failure}
    reader = replace(reader, bits=bits_of(entry.peak for entry in entries.values()))
    streams = []
    for part in parts:
        names = [name for name in part if name not in failures]
        files = [catalogue.folder / name for name in names]
        streams.append(PictureStream(files, reader, f"{reader} {catalogue.digest(names)}"))
    return streams


def _decoded(
    catalogue: Catalogue,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    failures: dict[str, str],
) -> list[Samples]:
    """What can be read of each part, in memory; what cannot is added to `failures`."""
    loaded, peaks = [], {}
    kept: list[list[str]] = []
    for part in parts:
        values = torch.empty((len(part), *reader.shape), dtype=torch.uint8)
        places = {name: place for place, name in enumerate(part)}

        def read(name: str, values: Tensor = values, places: Mapping[str, int] = places) -> str:
            try:
                values[places[name]] = reader(catalogue.folder / name)
                peaks[name] = peak_of(catalogue.folder / name)
            except Exception as error:  # Pillow's decoders raise errors of any type
                return picture_reason(error)
            return ""

        reasons = with_threads(read, part)
        failures |= {name: reason for name, reason in reasons.items() if reason}
        kept.append([name for name in part if not reasons[name]])
        # Moved in place: a copy of the readable ones would take twice the memory.
        for new, name in enumerate(kept[-1]):
            if new != places[name]:
                values[new] = values[places[name]]
        loaded.append(Samples(values[: len(kept[-1])]))
    bits = bits_of(peaks.values())
    for samples, names in zip(loaded, kept, strict=True) if bits < reader.bits else ():
        for place, name in enumerate(names):
            if peaks[name]:
                samples.values[place] = replace(reader, bits=bits)(catalogue.folder / name)
    return loaded


def describe_failures(failures: Mapping[str, str]) -> str:
    """The first few files that cannot be read with their reasons, and how many more there are."""
    texts = [f"{name} ({reason})" for name, reason in failures.items()]
    more = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f" and {more} more" if more > 0 else "")
