"""Figures of a report: in the colours of the page that holds them, or as files of their own.

In a page an SVG has custom properties of the page's style (`--ink`, `--series-0`, ...) instead of
colours, so that one figure serves the light theme and the dark one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganzoo.unfinished import whole_file

SERIES = 8
"""Colours of models: custom properties `--series-0` to `--series-7`."""
DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "D", "v")
TEXT = 11
"""Points of a figure's text."""


@dataclass(frozen=True)
class Palette:
    """Colours of a figure, as matplotlib takes them."""

    ink: str
    """Of text."""
    rule: str
    """Of axes and grid."""
    series: Sequence[str]
    """Of models, in turn."""

    def colour(self, series: int) -> str:
        """The colour of a model, by its place among the models."""
        return self.series[series % len(self.series)]


# matplotlib takes no custom properties, so each has a colour that stands for it.
PAGE = Palette("#010203", "#020304", [f"#0a0b{number:02x}" for number in range(SERIES)])
"""Stands for the colours of a page: `page_svg` puts them in."""
PAPER = Palette(
    "#57606a",
    "#d4d9df",
    (
        *("#0072b2", "#c65300", "#00805e", "#a8437f"),
        *("#8a6a00", "#5a4fcf", "#00798c", "#6b6b6b"),
    ),
)
"""The light theme of report.css, for files."""

SVG_CLEANING = (
    (r"^.*?<svg [^>]*viewBox=(\"[^\"]*\")[^>]*>", r"<svg viewBox=\1>"),
    (r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", ""),
    (r" id=\"of-(\d+)\"", r' class="of-\1"'),
    (r" id=\"[A-Za-z][\w.]*_\d+\"", ""),
    (r" font-family: [^;\"]*;?", ""),
    (r" transform=\"rotate\(-0 [^\"]*\"", ""),
    (r"\s+", " "),
    (r"> <", "><"),
    (r"<path d=\"[^\"]*\" style=\"fill: none; opacity: 0\"/>|<defs></defs>", ""),
    (PAGE.ink, "var(--muted)"),
    (PAGE.rule, "var(--rule)"),
)
"""Patterns that are replaced in matplotlib's SVG: its XML header, metadata, styles that would
apply to the whole page, ids of models, which become classes, ids that nothing refers to, the font,
what is not seen, and the colours that stand for others."""


def new_figure(height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """An empty figure, 360 points wide and `height` points high, and its axes.

    `margins` are the points left, right, below and above the axes: equal ones align axes.
    """
    left, right, below, above = margins
    figure = Figure(figsize=(5, height / 72))
    edges = {"left": left / 360, "right": 1 - right / 360}
    edges |= {"bottom": below / height, "top": 1 - above / height}
    return figure, figure.subplots(gridspec_kw=edges)


def dress(axes: Axes, palette: Palette) -> None:
    """Style the axes, with numbers at the ticks that are read at a glance."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.rule)
    axes.tick_params(which="both", length=0, labelcolor=palette.ink, labelsize=TEXT)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=palette.ink, size=TEXT)
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


def page_svg(figure: Figure, name: str) -> str:
    """A figure drawn with `PAGE` as an SVG element with the page's colours and font.

    `name` must be unique in the page: ids are made from it. What has the gid `of-2` has the class
    `of-2`.
    """
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


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure drawn with `PAPER` as .svg or .pdf, the same bytes every time.

    Raises `RunError` where the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    undated = {"Date": None} if kind == "svg" else {"CreationDate": None}
    # Letters as outlines look the same everywhere; in a PDF they are embedded as TrueType.
    settings: dict[Any, Any] = {
        "svg.fonttype": "path",
        "svg.hashsalt": path.stem,
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings), whole_file(path) as file:
        figure.savefig(file, format=kind, metadata=undated)
