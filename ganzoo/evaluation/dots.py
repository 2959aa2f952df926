"""Dot plots of a report: a value of each run, the mean of each model and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ganzoo.evaluation.figures import MARKERS, TEXT, Palette, dress, new_figure

ROW = 34.0
"""Points of a row: the model's name above its dots."""
BELOW = 40.0
"""Points below the rows, for the axis."""
SIDE = 12.0
"""Points left and right of the axis."""
SMALLEST = 0.02
"""Least width of the axis, as a share of the values' size."""
REACH = 2.0
"""Intervals are cut off, with an arrow, further from the dots than this many times the range of
all dots: those of two seeds are so wide that the dots would lie on one spot."""


@dataclass(frozen=True)
class Dots:
    """One row."""

    label: str
    series: int
    """The model's place among the models: its colour and its marker."""
    values: Sequence[float]
    """Of each run; those that are not finite have no dot."""
    mean: float
    """Finite."""
    low: float | None
    """Ends of the interval of the mean; None where there is none."""
    high: float | None


def draw_dots(rows: Sequence[Dots], label: str, palette: Palette) -> Figure:
    """A dot plot, the first row at the top; small dots are runs, large ones means.

    360 points wide; `label` stands at the axis. What belongs to a model has the gid
    `of-<series>`.
    """
    figure, axes = new_figure(BELOW + ROW * len(rows), (SIDE, SIDE, BELOW, 0))
    low, high = _limits(rows)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlabel(label)
    dress(axes, palette)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=palette.rule, linewidth=0.6)
    for place, row in enumerate(rows):
        colour, gid, height = palette.colour(row.series), f"of-{row.series}", place + 0.14
        # Text is no mathematics, whatever a model is called.
        axes.text(
            *(0, place - 0.14, row.label),
            transform=axes.get_yaxis_transform(),
            color=colour,
            size=TEXT,
            parse_math=False,
            gid=gid,
        )
        if row.low is not None and row.high is not None:
            ends = [max(row.low, low), min(row.high, high)]
            axes.plot(ends, [height] * 2, color=colour, linewidth=2, alpha=0.45, gid=gid)
            for end, inside, marker in ((low, row.low, "<"), (high, row.high, ">")):
                if (inside < end) if marker == "<" else (inside > end):
                    axes.plot(end, height, marker, color=colour, markersize=5, clip_on=False)
        seeds = [value for value in row.values if math.isfinite(value)]
        style: dict[str, Any] = {
            "linestyle": "none",
            "color": colour,
            "markeredgewidth": 0,
            "gid": gid,
        }
        marker = MARKERS[row.series % len(MARKERS)]
        axes.plot([row.mean], [height], marker=marker, markersize=7.5, **style)
        # Below the mean, which would cover them.
        axes.plot(seeds, [height + 0.24] * len(seeds), marker="o", markersize=4, alpha=0.7, **style)
    return figure


def _limits(rows: Sequence[Dots]) -> tuple[float, float]:
    """The ends of the axis: all dots, and the intervals as far as `REACH` allows."""
    dots = [value for row in rows for value in (*row.values, row.mean) if math.isfinite(value)]
    least, most = min(dots), max(dots)
    reach = REACH * (most - least) or SMALLEST * abs(most) or 1.0
    lows = [max(row.low, least - reach) for row in rows if row.low is not None]
    highs = [min(row.high, most + reach) for row in rows if row.high is not None]
    low, high = min([least, *lows]), max([most, *highs])
    room = 0.04 * (high - low) or SMALLEST * abs(high) or 1.0
    return low - room, high + room
