"""Charts of a report: curves as SVG in the colours of the page.

Instead of colours, the SVG has custom properties of the page's style (`--ink`, `--series-0`, ...),
so that one chart serves the light theme and the dark one.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SERIES = 8
"""Colours of lines: custom properties `--series-0` to `--series-7`."""
DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "D", "v")
MOST_POINTS = 200
"""Longer lines are reduced to about as many points."""
MARGINS = {"left": 0.13, "right": 0.985, "bottom": 0.18, "top": 0.97}
"""Of the axes, as shares of the chart."""
WIDE = 50.0
"""Positive values that span a greater factor are drawn on a logarithmic axis."""

# Placeholders for custom properties of the page, which matplotlib does not accept as colours.
INK, RULE = "#010203", "#020304"

SVG_CLEANING = (
    (r"^.*?<svg [^>]*viewBox=(\"[^\"]*\")[^>]*>", r"<svg viewBox=\1>"),
    (r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", ""),
    (r" id=\"[A-Za-z][\w.]*_\d+\"", ""),
    (r" font-family: [^;\"]*;?", ""),
    (r"\s+", " "),
    (INK, "var(--muted)"),
    (RULE, "var(--rule)"),
)
"""Patterns that are replaced in matplotlib's SVG: its XML header, metadata, styles that would
apply to the whole page, ids that nothing refers to, the font and the placeholder colours."""


@dataclass(frozen=True)
class Line:
    """One line of a chart; lines of one series look alike."""

    x: Sequence[float]
    y: Sequence[float]
    series: int


def curve_chart(name: str, lines: Sequence[Line], x_label: str, *, markers: bool = False) -> str:
    """An SVG of 360 x 220 points for a page that defines the colours.

    `name` must be unique in the page: ids are made from it. Besides its colour, a series has its
    own markers (`markers`) or dashes. Values that are not finite leave a gap.
    """
    figure = Figure(figsize=(5, 3.06))
    # The same margins in all charts, so that their axes are aligned.
    axes = figure.subplots(gridspec_kw=MARGINS)
    for line in lines:
        x, y = _thinned(line)
        axes.plot(
            x,
            y,
            color=_placeholder(line.series),
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


def _dress(axes: Axes) -> None:
    """Style the axes."""
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
        # matplotlib's default formatter has offsets and math text.
        axis.set_major_formatter(lambda value, _: _tick(value))


def _tick(value: float) -> str:
    """`2,000`, `0.05`, `−3`, `2e−5`."""
    # Ticks are sums of steps, so zero may be a rounding error.
    value = 0 if abs(value) < 1e-12 else value
    text = f"{value:,.6g}"
    if 0 < abs(value) < 1e-3:  # zeros would not fit into the margin
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}")


def _placeholder(series: int) -> str:
    """The colour that stands for that of a series."""
    return f"#0a0b{series % SERIES:02x}"


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element with the page's colours and font, and with ids of its own."""
    figure.patch.set_alpha(0)
    figure.axes[0].patch.set_alpha(0)
    buffer = io.BytesIO()
    # Text stays text; the salt makes ids unique in the page and the same in every report.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode()
    for pattern, replacement in SVG_CLEANING:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    text = re.sub(r"#0a0b(\d\d)", lambda match: f"var(--series-{int(match[1], 16)})", text)
    # Two decimals are enough for coordinates, which are in quotes; labels are not.
    return re.sub(r'"[^"<>]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), text)
