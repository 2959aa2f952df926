"""Pictures of 16 bits a value, of which fewer may be used.

Cameras and scanners of 10, 12 or 14 bits write their values as they are into files of 16 bits:
taken as 16 bits, such pictures are nearly black.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)


def deep_pixels(image: Image.Image, content: bytes) -> np.ndarray | None:
    """Values uint16 `(H, W, C)` of a picture of 16 bits, grey or in colours; None of any other.

    `content` are the bytes that `image` was opened from. Of colours only PNG has all 16 bits here:
    Pillow gives the upper eight of others. Raises `ValueError` for floating-point values, whose
    range nobody knows.
    """
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers: save it with 8 or 16 bits")
    if image.mode == "I":  # 16 bits in 32, as PGM has them
        return np.array(image).clip(0, 2**16 - 1).astype(np.uint16)[..., None]
    if image.mode.startswith("I;16"):
        return np.array(image)[..., None]
    layout = str(image.tile[0][3]) if image.tile else ""
    if layout not in ("RGB;16B", "RGBA;16B"):
        return None
    # Pillow keeps the upper eight bits of colours; told that the bytes are in the other order, the
    # lower ones.
    with Image.open(io.BytesIO(content)) as other:
        other.tile = [tile._replace(args=layout.replace("16B", "16L")) for tile in other.tile]
        lower = np.array(other, dtype=np.uint16)
    return np.array(image, dtype=np.uint16) * 256 + lower


def peak_of(content: bytes) -> int:
    """The largest value of a picture of 16 bits, transparency left out; 0 of any other."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = deep_pixels(image, content)
    return 0 if pixels is None else max(1, int(pixels[..., :3].max()))


def bits_of(peaks: Iterable[int]) -> int:
    """The bits that all deep pictures of a set use, by the largest of their `peak_of`."""
    highest = max(peaks, default=0)
    return next(bits for bits in DEPTHS if highest < 2**bits) if highest else DEPTHS[-1]


def shallow(pixels: np.ndarray, bits: int) -> Image.Image:
    """The upper eight of the used bits, as a picture."""
    values = np.minimum(pixels >> (bits - 8), 255).astype(np.uint8)
    return Image.fromarray(values.squeeze(-1) if values.shape[-1] == 1 else values)
