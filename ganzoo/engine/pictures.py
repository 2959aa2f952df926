"""Pictures of samples: a grid of images, a scatter plot, or curves of densities."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from ganzoo.engine.data import Data, Samples, to_bytes
from ganzoo.runs import whole_file

GRID_PIXELS = 512
"""Grids of small images are enlarged to about this width."""
CURVE_POINTS = 400


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        image.save(file, format="PNG")


def save_animation(frames: Sequence[Path], path: Path) -> None:
    """Write pictures of one size as an endless GIF of five a second, whole or not at all."""
    if not frames:
        return
    first, *others = (
        Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames
    )
    with whole_file(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=others, duration=200, loop=0)


def image_grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """A grid of images float `(N, C, H, W)` in [-1, 1], C being 1 or 3; square by default."""
    columns = columns or max(1, int(np.ceil(np.sqrt(len(images)))))
    grid = make_grid(to_bytes(images.float().cpu()), nrow=columns, padding=1, pad_value=64)
    picture = Image.fromarray(grid.permute(1, 2, 0).numpy())
    scale = max(1, round(GRID_PIXELS / picture.width))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def single_image(image: Tensor) -> Image.Image:
    """One image, float `(C, H, W)` in [-1, 1], C being 1 or 3."""
    array = to_bytes(image.float().cpu()).permute(1, 2, 0).numpy()
    return Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)


def point_plot(samples: Tensor, data: Data | None = None) -> Image.Image:
    """A scatter of points `(N, 2)` over real ones."""
    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    if data is not None and isinstance(data.train, Samples):
        real = data.train.values[: len(samples)].cpu()
        axes.scatter(real[:, 0], real[:, 1], s=4, alpha=0.5, color="tab:gray", label="data")
        extent = 1.3 * float(real.abs().max())
        axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    points = samples.float().cpu()
    axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.5, color="tab:blue", label="generator")
    axes.set_aspect("equal")
    figure.legend(loc="outside upper center", ncols=2)
    return _rendered(figure)


def density_plot(
    samples: Tensor, data: Data | None = None, discriminator: nn.Module | None = None
) -> Image.Image:
    """Densities over the line, for samples `(N, 1)`: of the data, of the generator, and D(x)."""
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    values = samples.float().cpu().reshape(-1)
    low, high = float(values.min()), float(values.max())
    if data is not None and isinstance(data.train, Samples):
        real = data.train.values.float().cpu().reshape(-1)
        low, high = float(real.min()) - 1, float(real.max()) + 1
    x = torch.linspace(low, high, CURVE_POINTS)
    bins = np.linspace(low, high, 81).tolist()
    if data is not None and data.density is not None:
        density = data.density.log_prob(x[:, None]).exp()
        axes.plot(x, density, color="tab:gray", label="data")
    axes.hist(values, bins=bins, density=True, alpha=0.5, color="tab:blue", label="generator")
    if discriminator is not None:
        device = next(discriminator.parameters()).device
        with torch.no_grad():
            probability = discriminator(x[:, None].to(device)).sigmoid().cpu()
        axes.plot(x, probability, color="tab:orange", linestyle="--", label="D(x)")
    top = max(1.05, axes.get_ylim()[1])
    axes.set(xlim=(low, high), ylim=(0, top), xlabel="x")
    figure.legend(loc="outside upper center", ncols=3)
    return _rendered(figure)


def _rendered(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)
