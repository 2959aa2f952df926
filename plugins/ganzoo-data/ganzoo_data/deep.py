"""Pictures of 16 bits a value, of which fewer may be used.

Cameras and scanners of 10, 12 or 14 bits write their values as they are into files of 16 bits:
taken as 16 bits, such pictures are nearly black.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)


def deep_pixels(image: Image.Image, file: Path) -> np.ndarray | None:
    """Values uint16 `(H, W, C)` of a picture of 16 bits, grey or in colours; None of any other."""
    layout = str(image.tile[0][3]) if image.tile else ""
    if layout.startswith("I;16"):
        return np.array(image)[..., None]
    if layout not in ("RGB;16B", "RGBA;16B"):
        return None
    # Pillow keeps the upper eight bits of colours; told that the bytes are in the other order, the
    # lower ones.
    with Image.open(file) as other:
        other.tile = [tile._replace(args=layout.replace("16B", "16L")) for tile in other.tile]
        lower = np.array(other, dtype=np.uint16)
    return np.array(image, dtype=np.uint16) * 256 + lower


def peak_of(file: Path) -> int:
    """The largest value of a picture of 16 bits, transparency left out; 0 of any other."""
    with Image.open(file) as image:
        pixels = deep_pixels(image, file)
    return 0 if pixels is None else max(1, int(pixels[..., :3].max()))


def bits_of(peaks: Iterable[int]) -> int:
    """The bits that all deep pictures of a set use, by the largest of their `peak_of`."""
    highest = max(peaks, default=0)
    return next(bits for bits in DEPTHS if highest < 2**bits) if highest else DEPTHS[-1]


def shallow(pixels: np.ndarray, bits: int) -> Image.Image:
    """The upper eight of the used bits, as a picture."""
    values = np.minimum(pixels >> (bits - 8), 255).astype(np.uint8)
    return Image.fromarray(values.squeeze(-1) if values.shape[-1] == 1 else values)
