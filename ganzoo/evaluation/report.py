"""The report of a comparison: one page that needs nothing else, and its figures as Markdown.

comparison ──► report_text (words, tables)
           ──► gallery (pictures from the runs)  ──► report.html, comparison.md
           ──► curves (charts)
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ganzoo.evaluation import report_tables, report_text
from ganzoo.evaluation.curves import MARKERS, SERIES, Line, curve_chart
from ganzoo.evaluation.gallery import Gallery
from ganzoo.runs import write_text

TEMPLATES = PackageLoader("ganzoo.evaluation")


class Chart(NamedTuple):
    """Curves of the statistics of one phase."""

    title: str
    svg: Markup
    alt: str
    legend: Sequence[str]
    """Names of the series, in order."""


class FigureChart(NamedTuple):
    """Curves of one figure, of all models."""

    column: report_tables.Column
    headline: bool
    svg: Markup
    alt: str
    series: Sequence[int]
    """The models that have a curve."""


class Losses(NamedTuple):
    """The curves of one model's training."""

    label: str
    series: int
    charts: Sequence[Chart]


def write_report(comparison: Mapping[str, Any], out: Path) -> Path:
    """Write `report.html` and `comparison.md` into a folder, and return the page's path.

    `comparison` is what comparison.json holds. The runs that it names are read: the first done
    one of each model is drawn from. Raises `UserError` where one is not there any more, and
    `RunError` where a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    told = _words(comparison)
    write_text(out / "comparison.md", _markdown().get_template("comparison.md.j2").render(told))
    page = _page().get_template("report.html.j2").render(told | _pictures(comparison))
    path = out / "report.html"
    write_text(path, page)
    return path


def _words(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """What both templates are told."""
    cost_columns, cost_rows = report_tables.cost_table(comparison)
    models = comparison["models"]
    return {
        "comparison": comparison,
        "summary": report_text.summary(comparison),
        "warnings": report_text.warnings(comparison),
        "verdicts": report_text.verdicts(comparison),
        "remarks": report_text.remarks(comparison),
        "columns": report_tables.metric_columns(comparison),
        "rows": report_tables.metric_rows(comparison),
        "cost_columns": cost_columns,
        "cost_rows": cost_rows,
        "paired": list(report_tables.paired_rows(comparison)),
        "recipes": report_text.recipe_labels(models),
        "seeds": max((len(model["runs"]) for model in models), default=0),
    }


def _pictures(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """What the page is told besides."""
    gallery = Gallery(comparison)
    script = _source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "gallery": gallery,
        "samples": list(gallery.samples()),
        "shared": gallery.shared_latents(),
        "course": gallery.course(),
        "paths": list(gallery.paths()),
        "traversals": list(gallery.traversals()),
        "codes": list(gallery.codes()),
        "neighbours": list(gallery.neighbours()),
        "figure_charts": list(figure_charts(comparison)),
        "loss_charts": list(loss_charts(comparison)),
        "style": Markup(_source("report.css")),
        "script": Markup(script),
        "script_digest": digest,
        "colours": SERIES,
        "markers": len(MARKERS),
    }


def figure_charts(comparison: Mapping[str, Any]) -> Iterator[FigureChart]:
    """Each figure over the snapshots, where there are two or more.

    A figure that only describes the data, being the same everywhere, has no chart.
    """
    for number, metric in enumerate(comparison["metrics"]):
        name, headline = metric["name"], metric["headline"]
        lines = [
            line
            for series, model in enumerate(comparison["models"])
            for run in model["runs"]
            if len((line := _course_line(run, name, series)).x) > 1
        ]
        if not lines or (not headline and len({y for line in lines for y in line.y}) == 1):
            continue
        series = sorted({line.series for line in lines})
        ends = [
            f"{model['label']} ends at {report_text.number(model['statistics'][name]['mean'])}"
            for model in (comparison["models"][place] for place in series)
            if name in model["statistics"]
        ]
        svg = Markup(curve_chart(f"figure-{number}", lines, "iteration", markers=True))
        alt = f"{name} over training: {report_text.listed(ends)}."
        yield FigureChart(report_tables.column(metric), headline, svg, alt, series)


def _course_line(run: Mapping[str, Any], figure: str, series: int) -> Line:
    rows = [row for row in run.get("course") or () if figure in row["figures"]]
    return Line(
        [row["iteration"] for row in rows], [row["figures"][figure] for row in rows], series
    )


def loss_charts(comparison: Mapping[str, Any]) -> Iterator[Losses]:
    """The statistics of each model's runs, a chart for each phase; no run is shown twice."""
    shown: set[str] = set()
    for place, model in enumerate(comparison["models"]):
        runs = [run for run in model["runs"] if run["path"] not in shown]
        shown |= {run["path"] for run in runs}
        rows = [run.get("metrics_jsonl") or [] for run in runs]
        names = dict.fromkeys(name for run in rows for row in run for name in row["statistics"])
        phases = dict.fromkeys(name.partition("/")[0] for name in names)
        charts = [
            _loss_chart(f"loss-{place}-{phase}", phase, list(names), rows) for phase in phases
        ]
        if charts:
            yield Losses(model["label"], place, charts)


def _loss_chart(
    identity: str, phase: str, names: Sequence[str], runs: Sequence[Sequence[Mapping[str, Any]]]
) -> Chart:
    own = [name for name in names if name.partition("/")[0] == phase]
    lines = [
        Line(
            [row["iteration"] for row in run if name in row["statistics"]],
            [row["statistics"][name] for row in run if name in row["statistics"]],
            series,
        )
        for series, name in enumerate(own)
        for run in runs
    ]
    legend = [name.partition("/")[2] or name for name in own]
    svg = Markup(curve_chart(identity, [line for line in lines if line.x], "iteration"))
    return Chart(phase, svg, f"{report_text.listed(legend)} over training", legend)


# --- templates ----------------------------------------------------------------------------------


def _page() -> Environment:
    """Templates of pages: whatever they print is escaped."""
    page = _templates(autoescape=True)
    page.filters |= {"figure": report_text.number, "value": report_text.value_text}
    page.filters |= {"listed": report_text.listed}
    return page


def _markdown() -> Environment:
    """Templates of Markdown: whatever they print is escaped for it."""
    markdown = _templates(autoescape=False, finalize=escape_markdown)
    markdown.filters |= {"value": report_text.value_text, "code": code_block}
    return markdown


def _templates(**options: Any) -> Environment:
    return Environment(
        loader=TEMPLATES,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def escape_markdown(value: Any) -> str:
    """A text as Markdown shows it unchanged, in one line: no markup, no HTML, no table's bar."""
    if isinstance(value, Markup):
        return str(value)
    text = " ".join(str(value).split()).replace("&", "&amp;")
    text = re.sub(r"([\\`*_\[\]|])", r"\\\1", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def code_block(text: str) -> Markup:
    """A text as an indented block of code, in which nothing has to be escaped."""
    return Markup("\n".join(f"    {line}" for line in text.splitlines()))


def _source(name: str) -> str:
    """A file beside the templates, as it is."""
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
