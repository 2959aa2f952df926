"""The report of a comparison: one self-contained page, and its tables as Markdown.

comparison ──► report_text, report_tables
           ──► gallery (pictures from the runs)  ──► report.html, comparison.md
           ──► plots (dots and curves)
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from ganzoo.evaluation import report_headline, report_tables, report_text
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.figures import DASHES, MARKERS, PAGE, SERIES, page_svg
from ganzoo.evaluation.gallery import Gallery, strip_pitch
from ganzoo.evaluation.plots import PROGRESS, Plot, all_plots
from ganzoo.records import write_text
from ganzoo.templates import templates

STRIPS = 3
"""Models whose samples are on the first screen, beside real ones."""
TELLING = 5
"""Differences of the recipes on the first screen."""


class Chart(NamedTuple):
    """A plot as the page shows it."""

    plot: Plot
    column: report_tables.Column | None
    """None for a statistic of training."""
    drawings: Mapping[str, Markup]
    """SVG elements by horizontal axis, as in `Plot`."""


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
        "headline": report_headline.sentence(comparison),
        "evidence": report_headline.evidence(comparison),
        "setting": report_text.setting(comparison),
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
        "seeds": report_tables.most_seeds(comparison),
    }


def _pictures(comparison: ComparisonDocument) -> dict[str, Any]:
    """Further variables of the page's template."""
    gallery = Gallery(comparison)
    charts = [draw(plot) for plot in all_plots(comparison)]
    headline = comparison["headline"]
    dots = [chart for chart in charts if "" in chart.drawings]
    curves = [chart for chart in charts if "" not in chart.drawings]
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
        "pitch": strip_pitch,
        "strips": list(gallery.strips(report_headline.leading(comparison, STRIPS))),
        "dots": dots,
        "first": next(
            (c for c in dots if headline and c.column and c.column.source == headline["name"]), None
        ),
        "telling": report_tables.telling_differences(comparison, TELLING),
        "value_charts": [chart for chart in curves if chart.column],
        "training_charts": [chart for chart in curves if not chart.column],
        "progress": PROGRESS,
        "style": Markup(_source("report.css")),
        "script": Markup(script),
        "script_digest": digest,
        "colours": SERIES,
        "markers": len(MARKERS),
        "dashes": len(DASHES),
    }


def draw(plot: Plot) -> Chart:
    """A plot as the page shows it."""
    column = None if plot.column is None else report_tables.column(plot.column)
    drawings = {
        axis: Markup(page_svg(drawing(PAGE, False), f"{plot.name}-{axis}"))
        for axis, drawing in plot.drawings.items()
    }
    return Chart(plot, column, drawings)


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
