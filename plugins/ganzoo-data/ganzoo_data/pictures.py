"""Picture files as tensors: all at once in memory, or one by one from disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganzoo.api import RunError, UserError
from ganzoo.engine import Samples

from .messages import announce, reason

MEMORY_LIMIT = 4 * 2**30
"""Decoded bytes below which `in_memory = "auto"` means yes."""
MANY = 20_000
"""Number of pictures above which reading them is announced, because it takes a while."""
NAMED = 10
"""How many unreadable files a message names."""


@dataclass(frozen=True, kw_only=True)
class PictureReader:
    """Reads one file into uint8 `(channels, size, size)`."""

    size: int
    channels: int = 3
    crop: str = "center"
    """`"center"` cuts the long side to a square, `"none"` squashes."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is read."""
        return (self.channels, self.size, self.size)

    def __call__(self, file: Path) -> Tensor:
        """Decode, apply the orientation, fill transparency with white, crop and resize."""
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
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
        pixels = np.array(image).reshape(self.size, self.size, self.channels)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """The picture in `mode` (`"L"` or `"RGB"`), transparency filled with white."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255, which makes nearly all pixels white.
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
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

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Picture `index`, uint8 `(C, H, W)`, and -1.

        Raises:
            RunError: the file cannot be read, though its header could.
        """
        file = self.files[index]
        try:
            return self.reader(file), -1
        except Exception as error:  # Pillow's decoders raise errors of any type
            raise RunError(
                f"{file} could not be read in the middle of a run: {picture_reason(error)}",
                hint="remove that file, or set in_memory = true, which finds such files first",
            ) from error


def load_parts(
    name: str,
    folder: Path,
    parts: Sequence[Sequence[str]],
    reader: PictureReader,
    in_memory: Literal["auto"] | bool,
) -> list[Samples | PictureStream]:
    """Load each part of a set, given as file names below `folder`; the first is trained on.

    Files that cannot be read are left out and named in one warning on stderr.

    Raises:
        UserError: nothing of the first part can be read.
    """
    total = sum(map(len, parts))
    size = total * int(np.prod(reader.shape))
    decode = size < MEMORY_LIMIT if in_memory == "auto" else in_memory
    if total > MANY:
        announce(f"{name}: {'reading' if decode else 'checking'} {total} pictures in {folder}")
    loaded, failures = [], []
    for names in parts:
        part, reasons = _load_part([folder / file for file in names], reader, decode)
        loaded.append(part)
        failures += [f"{file} ({text})" for file, text in zip(names, reasons, strict=True) if text]
    if not len(loaded[0]):
        raise UserError(
            f"{name}: none of the {len(parts[0])} pictures to train on in {folder} can be read: "
            f"{_first(failures)}",
            hint="give a folder of whole pictures; try opening one of them in a viewer",
        )
    if failures:
        announce(
            f"{name}: skipped {len(failures)} of {total} files that cannot be read: "
            f"{_first(failures)}"
        )
    return loaded


def _load_part(
    files: Sequence[Path], reader: PictureReader, decode: bool
) -> tuple[Samples | PictureStream, list[str]]:
    """What can be read of `files`, and for each file the reason why it cannot, or ""."""
    values = torch.empty((len(files) if decode else 0, *reader.shape), dtype=torch.uint8)

    def take(place: int) -> None:
        if decode:
            values[place] = reader(files[place])
        else:
            with Image.open(files[place]) as image:
                image.verify()

    reasons = _attempt(take, len(files))
    readable = [place for place, text in enumerate(reasons) if not text]
    if not decode:
        return PictureStream([files[place] for place in readable], reader), reasons
    # Moved in place: a copy of the readable ones would take twice the memory.
    for new, old in enumerate(readable):
        if new != old:
            values[new] = values[old]
    return Samples(values[: len(readable)]), reasons


def _attempt(action: Callable[[int], None], number: int) -> list[str]:
    """Do `action` for 0 to `number` in threads; for each the reason why it failed, or ""."""

    def attempt(place: int) -> str:
        try:
            action(place)
        except Exception as error:  # Pillow's decoders raise errors of any type
            return picture_reason(error)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(attempt, range(number)))


def picture_reason(error: Exception) -> str:
    """Why a file could not be read as a picture."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return reason(error)


def _first(failures: Sequence[str]) -> str:
    """The first few failures, and how many more there are."""
    more = len(failures) - NAMED
    return ", ".join(failures[:NAMED]) + (f" and {more} more" if more > 0 else "")
