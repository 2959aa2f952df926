"""The plots of a comparison: for its page, and for files.

comparison ──► dot_plots, value_curves, statistics_curves ──► Plot ──► page_svg, save_figure
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from ganzoo.evaluation.curves import Line, draw_curves
from ganzoo.evaluation.document import ColumnEntry, ComparisonDocument, ModelEntry, RunEntry
from ganzoo.evaluation.dots import Dots, draw_dots
from ganzoo.evaluation.figures import Palette
from ganzoo.evaluation.report_text import listed, number, short

Progress = Literal["iterations", "images", "seconds"]
PROGRESS: Mapping[Progress, str] = {
    "iterations": "iteration",
    "images": "images",
    "seconds": "seconds of training",
}
"""By what training is told how far it is, and how an axis of it is called."""
SCHEDULED = "scheduled values"
"""Group of the values that the recipe changes over the run, such as learning rates."""

Draw = Callable[[Palette, bool], Figure]
"""Draws with a palette; the other argument is whether there is no page around, which has a key."""


@dataclass(frozen=True)
class Plot:
    """A plot that can be drawn over each of its horizontal axes."""

    name: str
    """Of its files: letters, digits and hyphens, unique in the comparison."""
    title: str
    alt: str
    """Alternative text."""
    column: ColumnEntry | None
    """The value that is shown; None for a statistic of training."""
    group: str
    """The phase of a statistic, else empty."""
    series: Sequence[int]
    """Places of the models that are shown."""
    drawings: Mapping[str, Draw]
    """By horizontal axis: those of `PROGRESS`, or the only one, without a name."""
    table: str
    """What is shown, as CSV; empty where it is long."""

    def alone(self, palette: Palette) -> Figure:
        """The plot over its first axis, with all that a file needs to be understood."""
        return next(iter(self.drawings.values()))(palette, True)


def file_name(*words: str) -> str:
    """Words as the name of a file: `class-accuracy-worst`."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(words)).strip("-") or "value"


def _unique(plots: Iterator[Plot]) -> Iterator[Plot]:
    """The plots, with numbers behind names that are there already."""
    seen: dict[str, int] = {}
    for plot in plots:
        count = seen[plot.name.lower()] = seen.get(plot.name.lower(), 0) + 1
        name = plot.name if count == 1 else f"{plot.name}-{count}"
        yield replace(plot, name=name)


def all_plots(comparison: ComparisonDocument) -> list[Plot]:
    """Every plot of a comparison, each with a name of its own."""
    plots = [dot_plots(comparison), value_curves(comparison), statistics_curves(comparison)]
    return list(_unique(plot for each in plots for plot in each))


# --- dots ---------------------------------------------------------------------------------------


def dot_plots(comparison: ComparisonDocument) -> Iterator[Plot]:
    """Each value that judges: models from the best mean to the worst."""
    for column in comparison["columns"]:
        rows = _dots(comparison, column) if column["better"] else []
        if not rows:
            continue
        name = short(column["name"])
        arrow = {"lower": "lower is better", "higher": "higher is better"}[str(column["better"])]
        means = [f"{row.label} {number(row.mean, 3)}" for row in rows]
        table = [
            (row.label, run["seed"], run["values"][column["name"]])
            for row in rows
            for run in comparison["models"][row.series]["runs"]
            if column["name"] in run["values"]
        ]
        yield Plot(
            name=file_name(name),
            title=column["label"],
            alt=f"{column['label']}, {arrow}: {listed(means)}.",
            column=column,
            group="",
            series=[row.series for row in rows],
            drawings={"": partial(_draw_dots, rows, f"{column['label']}, {arrow}")},
            table=_csv(("model", "seed", column["name"]), table),
        )


def _draw_dots(rows: Sequence[Dots], label: str, palette: Palette, alone: bool) -> Figure:
    return draw_dots(rows, label, palette)


def _dots(comparison: ComparisonDocument, column: ColumnEntry) -> list[Dots]:
    rows = []
    for series, model in enumerate(comparison["models"]):
        summary = model["summaries"].get(column["name"])
        if summary is None or not math.isfinite(summary["mean"]):
            continue
        values = [
            run["values"][column["name"]]
            for run in model["runs"]
            if column["name"] in run["values"]
        ]
        ends = summary["low"], summary["high"]
        rows.append(Dots(model["label"], series, values, summary["mean"], *ends))
    sign = 1 if column["better"] == "lower" else -1
    return sorted(rows, key=lambda row: sign * row.mean)


# --- curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """How a value of one run went."""

    series: int
    run: RunEntry
    iterations: Sequence[int]
    values: Sequence[float]

    def places(self, progress: Progress) -> list[float]:
        """Where the values are on an axis; between two logged rows by the share of the way."""
        if progress == "iterations":
            return list(self.iterations)
        rows = [row for row in self.run["statistics"] if row[progress] is not None]
        known = [(0.0, 0.0), *((row["iteration"], float(row[progress] or 0)) for row in rows)]
        iterations, amounts = zip(*known, strict=True)
        return [float(place) for place in np.interp(self.iterations, iterations, amounts)]

    def line(self, progress: Progress) -> Line | None:
        """The curve over an axis; None where the run does not move on it."""
        places = self.places(progress)
        return Line(places, self.values, self.series) if max(places) > 0 else None


def value_curves(comparison: ComparisonDocument) -> Iterator[Plot]:
    """Each value over the snapshots, where there are two or more.

    A value that does not judge and is the same everywhere describes the data: it has no plot.
    """
    models = comparison["models"]
    for column in comparison["columns"]:
        name = column["name"]
        courses = [
            Course(
                series, run, [row["iteration"] for row in rows], [r["values"][name] for r in rows]
            )
            for series, model in enumerate(models)
            for run in model["runs"]
            if len(rows := [row for row in run["history"] if name in row["values"]]) > 1
        ]
        values = {value for course in courses for value in course.values}
        if not courses or (not column["headline"] and len(values) == 1):
            continue
        ends = [
            f"{models[place]['label']} ends at {number(models[place]['summaries'][name]['mean'])}"
            for place in sorted({course.series for course in courses})
            if name in models[place]["summaries"]
        ]
        table = [
            (models[course.series]["label"], course.run["seed"], *row)
            for course in courses
            for row in zip(
                course.iterations,
                (f"{place:.0f}" for place in course.places("images")),
                (f"{place:.3f}" for place in course.places("seconds")),
                course.values,
                strict=True,
            )
        ]
        yield _curves(
            *(file_name(short(name), "over training"), column["label"], courses, models),
            alt=f"{column['label']} over training: {listed(ends)}.",
            column=column,
            table=_csv(("model", "seed", *PROGRESS, name), table),
        )


def statistics_curves(comparison: ComparisonDocument) -> Iterator[Plot]:
    """Each logged statistic, of all models that have it over each other; no run twice."""
    models = comparison["models"]
    first: dict[str, int] = {}
    for series, model in enumerate(models):
        for run in model["runs"]:
            first.setdefault(run["path"], series)
    runs = [
        (series, run)
        for series, model in enumerate(models)
        for run in model["runs"]
        if first[run["path"]] == series
    ]
    names = dict.fromkeys(
        name for _, run in runs for row in run["statistics"] for name in row["statistics"]
    )
    groups = dict.fromkeys(_group(name) for name in names)
    for name in sorted(names, key=lambda name: list(groups).index(_group(name))):
        courses = [
            Course(
                *(series, run, [row["iteration"] for row in rows]),
                [row["statistics"][name] for row in rows],
            )
            for series, run in runs
            if (rows := [row for row in run["statistics"] if name in row["statistics"]])
        ]
        shown = [models[place]["label"] for place in sorted({each.series for each in courses})]
        own = name if _group(name) == SCHEDULED else name.partition("/")[2]
        yield _curves(
            *(file_name("statistic", name), own, courses, models),
            alt=f"{name} over training: {listed(shown)}.",
            group=_group(name),
            markers=False,
        )


def _group(name: str) -> str:
    """The phase of a statistic; all values that the recipe changes over the run are one group."""
    phase, slash, _ = name.partition("/")
    return phase if slash else SCHEDULED


def _curves(
    name: str,
    title: str,
    courses: Sequence[Course],
    models: Sequence[ModelEntry],
    *,
    alt: str,
    column: ColumnEntry | None = None,
    group: str = "",
    table: str = "",
    markers: bool = True,
) -> Plot:
    """The plot of curves over each axis that any of them moves on."""
    series = sorted({course.series for course in courses})
    key = [(models[place]["label"], place) for place in series]
    drawings: dict[str, Draw] = {}
    for progress, label in PROGRESS.items():
        lines = [line for course in courses if (line := course.line(progress)) is not None]
        if lines:
            drawings[progress] = partial(_draw_curves, lines, label, title, key, markers)
    return Plot(name, title, alt, column, group, series, drawings, table)


def _draw_curves(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    key: Sequence[tuple[str, int]],
    markers: bool,
    palette: Palette,
    alone: bool,
) -> Figure:
    beside: dict[str, Any] = {"y_label": y_label, "key": key} if alone else {}
    return draw_curves(lines, x_label, palette, markers=markers, **beside)


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([head, *rows])
    return buffer.getvalue()
