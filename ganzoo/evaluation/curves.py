"""Curves of a report: values over training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ganzoo.evaluation.figures import (
    DASHES,
    MARKERS,
    PAGE,
    TEXT,
    Palette,
    dress,
    new_figure,
    page_svg,
)

MOST_POINTS = 200
"""Longer lines are reduced to about as many points."""
HEIGHT, MARGINS = 220.0, (46.8, 5.4, 39.7, 6.6)
"""Points of a figure, and left, right, below and above its axes."""
KEYS = 15.0
"""Points of a line of the key, which a file has above the axes."""
WIDE = 50.0
"""Positive values that span a greater factor are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Line:
    """One line of a chart; lines of one series look alike."""

    x: Sequence[float]
    y: Sequence[float]
    series: int


def curve_chart(
    name: str,
    lines: Sequence[Line],
    x_label: str,
    *,
    markers: bool = False,
    log_x: bool = False,
) -> str:
    """An SVG of 360 x 220 points for a page that defines the colours.

    `name` must be unique in the page: ids are made from it. Besides its colour, a series has its
    own markers (`markers`) or dashes, and its lines have the class `of-<series>`. Values that are
    not finite leave a gap. With `log_x` the horizontal axis is logarithmic too.
    """
    return page_svg(draw_curves(lines, x_label, PAGE, markers=markers, log_x=log_x), name)


def draw_curves(
    lines: Sequence[Line],
    x_label: str,
    palette: Palette,
    *,
    markers: bool = False,
    log_x: bool = False,
    y_label: str = "",
    key: Sequence[tuple[str, int]] = (),
) -> Figure:
    """The figure of `curve_chart`; a file has to have a `y_label`, and a `key`: names of series."""
    left, right, below, above = MARGINS
    room, side = KEYS * len(key), KEYS if y_label else 0
    # The same margins in all charts, so that their axes are aligned.
    figure, axes = new_figure(HEIGHT + room, (left + side, right, below, above + room))
    looks: list[dict[str, Any]] = [
        {
            "color": palette.colour(series),
            "linewidth": 1.1 if markers else 1.4,
            "linestyle": "solid" if markers else DASHES[series % len(DASHES)],
            "marker": MARKERS[series % len(MARKERS)] if markers else "",
            "markersize": 4.5,
        }
        for series in [*(line.series for line in lines), *(series for _, series in key)]
    ]
    for line, look in zip(lines, looks, strict=False):
        axes.plot(*_thinned(line), gid=f"of-{line.series}", **look)
    if _spans_wide(lines):
        axes.set_yscale("log")
    if log_x:
        axes.set_xscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label, parse_math=False)
    dress(axes, palette)
    axes.grid(axis="y", color=palette.rule, linewidth=0.6)
    if key:
        handles = [axes.plot([], [], **look)[0] for look in looks[len(lines) :]]
        legend = axes.legend(
            handles,
            [name for name, _ in key],
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            frameon=False,
            fontsize=TEXT - 2,
            labelcolor=palette.ink,
            labelspacing=0.25,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # whatever a model is called
    return figure


def _thinned(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """The points of a line; where there are many, means of neighbours."""
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
