"""Writes samples into files that other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ganzoo.engine.data import to_bytes
from ganzoo.engine.pictures import image_grid, point_plot, save_png, single_image
from ganzoo.errors import UserError
from ganzoo.runs import whole_file


def write_samples(samples: Tensor, out: Path) -> None:
    """Write images `(N, C, H, W)` in [-1, 1] or points `(N, D)`.

    `.npy` takes uint8 `(N, C, H, W)` or float32 `(N, D)`, `.png` one picture of all samples, a
    name without an ending a folder of one PNG each. Raises `UserError` for other endings and
    for pictures of what has none.
    """
    suffix = out.suffix.lower()
    images = samples.ndim == 4
    if suffix not in (".npy", ".png", ""):
        raise UserError(
            f"{out}: samples cannot be written as '{suffix}'",
            hint="a .png is a grid, a .npy an array, a name without an ending a folder of PNGs",
        )
    if suffix != ".npy" and (
        samples.shape[1] > 2 if not images else samples.shape[1] not in (1, 3)
    ):
        raise UserError(f"{out}: samples of this shape have no picture", hint="a .npy takes any")
    out.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npy":
        array = (to_bytes(samples) if images else samples.float()).numpy()
        with whole_file(out) as file:
            np.save(file, array)
    elif suffix == ".png":
        save_png(image_grid(samples) if images else point_plot(samples), out)
    elif images:
        out.mkdir(exist_ok=True)
        for number, image in enumerate(samples):
            save_png(single_image(image), out / f"{number:06d}.png")
    else:
        raise UserError(f"{out}: points have no PNG each", hint="write a .png or a .npy")
