"""Charts of a report: curves as SVG in the page's own colours, points as transparent PNG.

The SVG names custom properties of the page's style (`--ink`, `--series-0`, ...) where a colour
would stand, so one chart is drawn for the light theme and for the dark one.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ganzoo.engine.data import Data, Samples

SERIES = 8
"""Colours of lines: custom properties `--series-0` to `--series-7`."""
DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "D", "v")
MOST_POINTS = 200
"""Longer lines are thinned to about as many points."""
MARGINS = {"left": 0.13, "right": 0.985, "bottom": 0.18, "top": 0.97}
"""Of the axes, as shares of the chart."""
WIDE = 50.0
"""Positive values that span a greater factor are drawn on a logarithmic axis."""

# Stand-ins for the page's colours, which matplotlib would not understand.
INK, RULE = "#010203", "#020304"
DATA, GENERATED = "#8c8c8c", "#1f8fd6"
"""Colours of points: 3:1 or more against both a white page and a nearly black one."""

SVG_CLEANING = (
    (r"^.*?<svg [^>]*viewBox=(\"[^\"]*\")[^>]*>", r"<svg viewBox=\1>"),
    (r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", ""),
    (r" id=\"[A-Za-z][\w.]*_\d+\"", ""),
    (r" font-family: [^;\"]*;?", ""),
    (r"\s+", " "),
    (INK, "var(--muted)"),
    (RULE, "var(--rule)"),
)
"""What is taken out of matplotlib's SVG or changed in it before it stands in a page: what comes
before it, notes, styles of the whole page, ids that nothing refers to, the font, the colours."""


@dataclass(frozen=True)
class Line:
    """One line of a chart; lines of one series look alike."""

    x: Sequence[float]
    y: Sequence[float]
    series: int


def curve_chart(name: str, lines: Sequence[Line], x_label: str, *, markers: bool = False) -> str:
    """An SVG of 360 x 220 points for a page that defines the colours.

    `name` has to be another for each chart of a page: ids are made from it. With `markers` a
    series is told apart by the marks on its points, otherwise by dashes, besides its colour.
    Values that are not finite leave a gap.
    """
    figure = Figure(figsize=(5, 3.06))
    # The same margins in all charts, so that their axes stand in line.
    axes = figure.subplots(gridspec_kw=MARGINS)
    for line in lines:
        x, y = _thinned(line)
        axes.plot(
            x,
            y,
            color=_stand_in(line.series),
            linewidth=1.1,
            linestyle="solid" if markers else DASHES[line.series % len(DASHES)],
            marker=MARKERS[line.series % len(MARKERS)] if markers else "",
            markersize=4.5,
        )
    if _spans_wide(lines):
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    _dress(axes)
    return _svg(figure, name)


def _thinned(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Points of a line, means of neighbours where there are many."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    y = np.where(np.isfinite(y), y, np.nan)
    size = math.ceil(len(x) / MOST_POINTS)
    if size > 1:
        starts = np.arange(0, len(x), size)
        counts = np.diff([*starts, len(x)])
        x, y = np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
    return x, y


def _spans_wide(lines: Sequence[Line]) -> bool:
    values = [value for line in lines for value in line.y if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)


def _dress(axes: Axes) -> None:
    """Axes with as little ink as they can do with."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(which="both", color=RULE, labelcolor=INK, labelsize=11)
    axes.xaxis.label.set(color=INK, size=11)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=5)
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        # matplotlib's own would bring formulas and offsets.
        axis.set_major_formatter(lambda value, _: _tick(value))


def _tick(value: float) -> str:
    """`2,000`, `0.05`, `−3`, `2e−05`."""
    # Steps added up are off in the last place.
    return f"{0 if abs(value) < 1e-12 else value:,.6g}".replace("-", "\N{MINUS SIGN}")


def _stand_in(series: int) -> str:
    return f"#0a0b{series % SERIES:02x}"


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element for a page: its colours, its font, no id that is not its own."""
    figure.patch.set_alpha(0)
    figure.axes[0].patch.set_alpha(0)
    buffer = io.BytesIO()
    # Text stays text; a salt of its own keeps ids apart and the same in every report.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode()
    for pattern, replacement in SVG_CLEANING:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    text = re.sub(r"#0a0b(\d\d)", lambda found: f"var(--series-{int(found[1], 16)})", text)
    # Coordinates need no more than two decimals; they stand in quotes, labels do not.
    return re.sub(r'"[^"<>]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)


def point_picture(samples: Tensor, data: Data) -> Image.Image:
    """Generated points over real ones, `(N, 2)` as a scatter, `(N, 1)` as densities.

    630 pixels wide, transparent, with axes that the real points decide: pictures of one data set
    can be laid side by side.
    """
    figure = Figure(figsize=(4.2, 4.2 if samples.shape[1] == 2 else 3.0), dpi=150)
    axes = figure.subplots()
    points = samples.float().cpu()
    if points.shape[1] == 2:
        _scatter(axes, points, data)
    else:
        _density(axes, points.reshape(-1), data)
    axes.tick_params(color=DATA, labelcolor=DATA)
    for spine in axes.spines.values():
        spine.set_color(DATA)
    figure.tight_layout(pad=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return Image.open(buffer).quantize(64)


def _scatter(axes: Axes, points: Tensor, data: Data) -> None:
    if isinstance(data.train, Samples):
        real = data.train.values[: len(points)].float().cpu()
        axes.scatter(real[:, 0], real[:, 1], s=16, color=DATA, alpha=0.5, linewidths=0)
        extent = 1.25 * float(real.abs().max())
        axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    axes.scatter(points[:, 0], points[:, 1], s=3, color=GENERATED, alpha=0.7, linewidths=0)
    axes.set_aspect("equal")


def _density(axes: Axes, values: Tensor, data: Data) -> None:
    low, high = float(values.min()), float(values.max())
    real = data.train.values.float().cpu().reshape(-1) if isinstance(data.train, Samples) else None
    if real is not None:
        low, high = float(real.min()) - 1, float(real.max()) + 1
    bins = np.linspace(low, high, 61).tolist()
    axes.hist(values.numpy(), bins=bins, density=True, color=GENERATED, alpha=0.6)
    if data.density is not None:
        x = torch.linspace(low, high, 300)
        axes.plot(x, data.density.log_prob(x[:, None]).exp(), color=DATA, linewidth=2)
    elif real is not None:
        axes.hist(real.numpy(), bins=bins, density=True, histtype="step", color=DATA, linewidth=2)
    axes.set(xlim=(low, high), yticks=[])
