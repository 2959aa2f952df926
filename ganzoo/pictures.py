"""Pictures of samples: a grid of images, a scatter plot, or densities on the line; and files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from ganzoo.data import Data, Samples, to_bytes
from ganzoo.errors import RunError, UserError
from ganzoo.files import read_regular
from ganzoo.unfinished import whole_file

GRID_PIXELS = 512
"""Grids of small images are enlarged to about this width."""
CURVE_POINTS = 400
GROUND = 64
"""Grey between the images of a grid."""
DATA_COLOUR, GENERATED_COLOUR = "#8c8c8c", "#1f8fd6"
"""Colours of points: 3:1 or more against both a white page and a nearly black one."""


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        image.save(file, format="PNG")


def open_png(path: Path) -> Image.Image:
    """A picture of a run, read completely. Raises `RunError` where it is damaged."""
    try:
        with Image.open(io.BytesIO(read_regular(path, most=None))) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError) as error:  # all of which Pillow raises
        raise RunError(
            f"{path} is damaged: {error}", hint="restore it from a copy, or delete it"
        ) from error


def save_animation(frames: Sequence[Path], path: Path) -> None:
    """Write pictures of one size as an endless GIF of five a second, whole or not at all."""
    if not frames:
        return
    first, *others = (
        opaque(open_png(frame)).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames
    )
    with whole_file(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=others, duration=200, loop=0)


def has_picture(sample_shape: tuple[int, ...]) -> bool:
    """Whether samples of a shape are images: grey, in colours, or in colours with transparency."""
    return len(sample_shape) == 3 and sample_shape[0] in (1, 3, 4)


def opaque(image: Image.Image) -> Image.Image:
    """A picture without transparency: what is behind it is white."""
    if not image.has_transparency_data:
        return image
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def image_grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """A grid of images float `(N, C, H, W)` in [-1, 1], square by default.

    C is 1 or 3, or 4 with opacity as the last channel, which the picture then has as well.
    """
    columns = columns or max(1, int(np.ceil(np.sqrt(len(images)))))
    pixels = to_bytes(images.float().cpu())
    grid = make_grid(pixels[:, :3], nrow=columns, padding=1, pad_value=GROUND)
    if pixels.shape[1] == 4:
        opacity = make_grid(pixels[:, 3:], nrow=columns, padding=1, pad_value=255)
        grid = torch.cat([grid, opacity[:1]])
    picture = Image.fromarray(grid.permute(1, 2, 0).numpy())
    scale = max(1, round(GRID_PIXELS / picture.width))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def single_image(image: Tensor) -> Image.Image:
    """One image, float `(C, H, W)` in [-1, 1], C being 1, 3 or 4."""
    array = to_bytes(image.float().cpu()).permute(1, 2, 0).numpy()
    return Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)


def point_plot(
    samples: Tensor,
    data: Data | None = None,
    discriminator: nn.Module | None = None,
    *,
    transparent: bool = False,
) -> Image.Image:
    """Samples over those of the data: `(N, 2)` as a scatter plot, `(N, 1)` as a histogram.

    The axes are the same for all samples of one data set. On the line, the data are shown by their
    density where it is known, and D(x) as a probability where there is a `discriminator`.
    `transparent` is for a page with a background of its own: 630 pixels wide, without a legend.
    """
    size = (5, 5 if samples.shape[1] == 2 else 3.6)
    figure = Figure(figsize=size, dpi=126 if transparent else 100, layout="constrained")
    axes = figure.subplots()
    points = samples.float().cpu()
    real = None
    if data is not None and isinstance(data.train, Samples):
        real = data.train.values.float().cpu()
    if points.shape[1] == 2:
        _scatter(axes, points, real)
    else:
        _densities(axes, points[:, 0], real, data, discriminator)
    for spine in axes.spines.values():
        spine.set_color(DATA_COLOUR)
    axes.tick_params(color=DATA_COLOUR, labelcolor=DATA_COLOUR)
    axes.xaxis.label.set_color(DATA_COLOUR)
    if not transparent:
        figure.legend(loc="outside upper center", ncols=3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=transparent)
    picture = Image.open(buffer)
    return picture.quantize(64) if transparent else picture


def _scatter(axes: Axes, points: Tensor, real: Tensor | None) -> None:
    """Points `(N, 2)` over as many real ones."""
    if real is not None:
        extent = 1.25 * float(real.abs().max())
        real = real[: len(points)]
        axes.scatter(
            real[:, 0], real[:, 1], s=16, color=DATA_COLOUR, alpha=0.5, linewidths=0, label="data"
        )
        axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    x, y = points.T
    axes.scatter(x, y, s=3, color=GENERATED_COLOUR, alpha=0.7, linewidths=0, label="generator")
    axes.set_aspect("equal")


def _densities(
    axes: Axes,
    values: Tensor,
    real: Tensor | None,
    data: Data | None,
    discriminator: nn.Module | None,
) -> None:
    """Densities on the line: of values `(N,)`, of the data, and D(x)."""
    low, high = float(values.min()), float(values.max())
    if real is not None:
        low, high = float(real.min()) - 1, float(real.max()) + 1
    x = torch.linspace(low, high, CURVE_POINTS)
    bins = np.linspace(low, high, 81).tolist()
    generated: dict[str, Any] = {"color": GENERATED_COLOUR, "alpha": 0.6, "label": "generator"}
    look: dict[str, Any] = {"color": DATA_COLOUR, "linewidth": 2, "label": "data"}
    axes.hist(values.numpy(), bins=bins, density=True, **generated)
    if data is not None and data.density is not None:
        axes.plot(x, data.density.log_prob(x[:, None]).exp(), **look)
    elif real is not None:
        axes.hist(real[:, 0].numpy(), bins=bins, density=True, histtype="step", **look)
    if discriminator is not None:
        device = next(discriminator.parameters()).device
        with torch.no_grad():
            probability = discriminator(x[:, None].to(device)).sigmoid().cpu()
        axes.plot(x, probability, color="tab:orange", linestyle="--", label="D(x)")
        axes.set_ylim(0, max(1.05, axes.get_ylim()[1]))
    axes.set(xlim=(low, high), xlabel="x")


def drawable(samples: Tensor) -> bool:
    """Whether there is a picture of samples `(N, C, H, W)` or `(N, D)`."""
    shape = tuple(samples.shape[1:])
    return has_picture(shape) if len(shape) == 3 else shape[0] <= 2


def picture_of(samples: Tensor) -> Image.Image:
    """A picture of images `(N, C, H, W)` in [-1, 1], in a grid, or of points `(N, D)`.

    Raises `UserError` where `drawable` says that there is none.
    """
    if not drawable(samples):
        raise UserError(f"samples {tuple(samples.shape[1:])} have no picture")
    return image_grid(samples) if samples.ndim == 4 else point_plot(samples).convert("RGB")


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pictures by the ending of their files."""


def write_samples(samples: Tensor, out: Path, names: Sequence[str] | None = None) -> None:
    """Write images `(N, C, H, W)` in [-1, 1] or points `(N, D)`.

    `.npy` takes uint8 `(N, C, H, W)` or float32 `(N, D)`, `.png`, `.jpg` and `.webp` one picture of
    all samples, a name without an ending a new or empty folder of one PNG each, by default called
    by their numbers. In a `.jpg`, what is behind transparent images is white. Raises `UserError`
    for other endings, for pictures of what has none, and for a folder that holds anything.
    """
    suffix = out.suffix.lower()
    images = samples.ndim == 4
    if suffix not in (".npy", *FORMATS, ""):
        raise UserError(
            f"{out}: samples cannot be written as '{suffix}'",
            hint="a .png, .jpg or .webp is a grid, a .npy an array, "
            "a name without an ending a folder of PNGs",
        )
    if suffix != ".npy" and not drawable(samples):
        raise UserError(f"{out}: samples of this shape have no picture", hint="a .npy takes any")
    if suffix == "" and not images:
        raise UserError(f"{out}: points have no PNG each", hint="write a .png or a .npy")
    if suffix == "" and out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty, and samples are not mixed", hint="take a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npy":
        array = (to_bytes(samples) if images else samples.float()).numpy()
        with whole_file(out) as file:
            np.save(file, array)
    elif suffix:
        picture = picture_of(samples)
        kind = FORMATS[suffix]
        with whole_file(out) as file:
            (opaque(picture) if kind == "JPEG" else picture).save(file, format=kind, quality=95)
    else:
        out.mkdir(exist_ok=True)
        names = names or [f"{number:06d}" for number in range(len(samples))]
        for name, image in zip(names, samples, strict=True):
            save_png(single_image(image), out / f"{name}.png")
