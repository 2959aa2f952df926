"""The report of a comparison: one self-contained page, and its tables as Markdown.

comparison ──► report_text, report_tables
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

from jinja2 import Environment
from markupsafe import Markup

from ganzoo.evaluation import report_tables, report_text
from ganzoo.evaluation.curves import MARKERS, SERIES, Line, curve_chart
from ganzoo.evaluation.document import ComparisonDocument, RunEntry
from ganzoo.evaluation.gallery import Gallery
from ganzoo.runs import write_text
from ganzoo.templates import templates

SCHEDULED = "scheduled values"
"""Title of the chart of values that the recipe changes over the run, such as learning rates."""


class Chart(NamedTuple):
    """Curves of the statistics of one phase."""

    title: str
    svg: Markup
    alt: str
    legend: Sequence[str]
    """Names of the series, in order."""


class ValueChart(NamedTuple):
    """Curves of one value, of all models."""

    column: report_tables.Column
    headline: bool
    svg: Markup
    alt: str
    series: Sequence[int]
    """The models that have a curve."""


class TrainingCharts(NamedTuple):
    """The curves of one model's training."""

    label: str
    series: int
    charts: Sequence[Chart]


def write_report(comparison: ComparisonDocument, out: Path) -> Path:
    """Write `report.html` and `comparison.md` into a folder, and return the page's path.

    Pictures are drawn from the first finished run of each model. Raises `UserError` where such a
    run has been removed, and `RunError` where a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts = _texts(comparison)
    write_text(out / "comparison.md", _markdown().get_template("comparison.md.j2").render(texts))
    page = _page().get_template("report.html.j2").render(texts | _pictures(comparison))
    path = out / "report.html"
    write_text(path, page)
    return path


def _texts(comparison: ComparisonDocument) -> dict[str, Any]:
    """Variables of both templates."""
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


def _pictures(comparison: ComparisonDocument) -> dict[str, Any]:
    """Further variables of the page's template."""
    gallery = Gallery(comparison)
    script = _source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "gallery": gallery,
        "samples": list(gallery.samples()),
        "shared": gallery.shared_latents(),
        "timelines": gallery.timelines(),
        "paths": list(gallery.paths()),
        "traversals": list(gallery.traversals()),
        "codes": list(gallery.codes()),
        "neighbours": list(gallery.neighbours()),
        "value_charts": list(value_charts(comparison)),
        "training_charts": list(training_charts(comparison)),
        "style": Markup(_source("report.css")),
        "script": Markup(script),
        "script_digest": digest,
        "colours": SERIES,
        "markers": len(MARKERS),
    }


def value_charts(comparison: ComparisonDocument) -> Iterator[ValueChart]:
    """Each value over the snapshots, where there are two or more.

    A value that does not judge and is the same everywhere describes the data: it has no chart.
    """
    models = comparison["models"]
    for number, entry in enumerate(comparison["columns"]):
        name, headline = entry["name"], entry["headline"]
        lines = [
            line
            for series, model in enumerate(models)
            for run in model["runs"]
            if len((line := _history_line(run, name, series)).x) > 1
        ]
        if not lines or (not headline and len({y for line in lines for y in line.y}) == 1):
            continue
        series = sorted({line.series for line in lines})
        ends = [
            f"{model['label']} ends at {report_text.number(model['summaries'][name]['mean'])}"
            for model in (models[place] for place in series)
            if name in model["summaries"]
        ]
        svg = Markup(curve_chart(f"value-{number}", lines, "iteration", markers=True))
        alt = f"{name} over training: {report_text.listed(ends)}."
        yield ValueChart(report_tables.column(entry), headline, svg, alt, series)


def _history_line(run: RunEntry, name: str, series: int) -> Line:
    rows = [row for row in run["history"] if name in row["values"]]
    return Line([row["iteration"] for row in rows], [row["values"][name] for row in rows], series)


def training_charts(comparison: ComparisonDocument) -> Iterator[TrainingCharts]:
    """The logged statistics of each model's runs, a chart for each phase; no run twice."""
    shown: set[str] = set()
    for place, model in enumerate(comparison["models"]):
        runs = [run for run in model["runs"] if run["path"] not in shown]
        shown |= {run["path"] for run in runs}
        rows = [run["statistics"] for run in runs]
        names = dict.fromkeys(name for run in rows for row in run for name in row["statistics"])
        groups = dict.fromkeys(_group(name) for name in names)
        charts = [
            _statistics_chart(f"statistics-{place}-{group}", group, list(names), rows)
            for group in groups
        ]
        if charts:
            yield TrainingCharts(model["label"], place, charts)


def _group(name: str) -> str:
    """The phase of a statistic; all values that the recipe changes over the run are one group."""
    phase, slash, _ = name.partition("/")
    return phase if slash else SCHEDULED


def _statistics_chart(
    identity: str, group: str, names: Sequence[str], runs: Sequence[Sequence[Mapping[str, Any]]]
) -> Chart:
    own = [name for name in names if _group(name) == group]
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
    return Chart(group, svg, f"{report_text.listed(legend)} over training", legend)


# --- templates ----------------------------------------------------------------------------------


def _page() -> Environment:
    """Templates of pages: whatever they print is escaped."""
    page = templates("ganzoo.evaluation", autoescape=True)
    page.filters |= {"number": report_text.number, "value": report_text.value_text}
    page.filters |= {"listed": report_text.listed, "breakable": breakable}
    return page


def _markdown() -> Environment:
    """Templates of Markdown: whatever they print is escaped for Markdown."""
    markdown = templates("ganzoo.evaluation", autoescape=False, finalize=escape_markdown)
    markdown.filters |= {"value": report_text.value_text, "code": code_block}
    return markdown


def escape_markdown(value: Any) -> str:
    """A text in one line that Markdown shows as it is, with no markup, HTML or table bar."""
    if isinstance(value, Markup):
        return str(value)
    text = " ".join(str(value).split()).replace("&", "&amp;")
    text = re.sub(r"([\\`*_\[\]|])", r"\\\1", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def breakable(key: str) -> Markup:
    """A dotted key as HTML that may be broken after its dots."""
    return Markup(".<wbr>").join(key.split("."))


def code_block(text: str) -> Markup:
    """A text as an indented block of code, in which nothing needs escaping."""
    return Markup("\n".join(f"    {line}" for line in text.splitlines()))


def _source(name: str) -> str:
    """A file beside the templates."""
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
