"""A comparison in files for other programs: its table, its values and its plots.

exports/table.tex   the metrics that judge, for LaTeX with booktabs
exports/values.csv  a row for each run and value, at the end of training
exports/NAME.svg    each plot; `NAME.pdf` the same
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

from ganzoo.errors import UserError
from ganzoo.evaluation import report_tables
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.figures import PAPER, save_figure
from ganzoo.evaluation.plots import all_plots
from ganzoo.evaluation.report_text import summary
from ganzoo.records import write_text
from ganzoo.templates import templates

FORMATS = ("tex", "csv", "svg", "pdf")
FOLDER = "exports"
"""Folder beside the report."""
HEAD = (
    "model",
    "recipe",
    "prior",
    "seed",
    "run",
    "iteration",
    "metric",
    "label",
    "better",
    "value",
)
"""Columns of values.csv."""
HEAD_WIDTH = 15
"""Letters of a line of a model's name above its column."""
TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--",
    "∞": r"$\infty$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    **{sign: f"$^{{{place}}}$" for place, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    "⁻": "$^{-}$",
}
"""What LaTeX has to be told of a text."""


def check_formats(formats: Sequence[str]) -> None:
    """Raise `UserError` for a format that a comparison is not exported in."""
    for each in formats:
        if each not in FORMATS:
            raise UserError(
                f"a comparison is not exported as '{each}'", hint=f"--export {','.join(FORMATS)}"
            )


def renew_exports(
    comparison: ComparisonDocument, out: Path, formats: Sequence[str], *, replace: bool = False
) -> list[Path]:
    """Write the exports of a comparison into `out/exports`, and return the files.

    Besides `formats`, those are written of which there are files from before, so that none is left
    of an earlier state; with `replace` these are removed. Raises `RunError` where a file cannot be
    written.
    """
    folder = out / FOLDER
    old = [file for each in FORMATS for file in folder.glob(f"*.{each}") if file.is_file()]
    if replace:
        for file in old:
            file.unlink()
        old = []
    wanted = {*formats, *(file.suffix.removeprefix(".") for file in old)}
    if not wanted:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, kind, text in (("table.tex", "tex", tex_table), ("values.csv", "csv", values_csv)):
        if kind in wanted:
            written.append(folder / name)
            write_text(written[-1], text(comparison))
    kinds = [kind for kind in ("svg", "pdf") if kind in wanted]
    for plot in all_plots(comparison) if kinds else ():
        for kind in kinds:
            written.append(folder / f"{plot.name}.{kind}")
            save_figure(plot.alone(PAPER), written[-1])
    return written


def values_csv(comparison: ComparisonDocument) -> str:
    """A row for each run and value, with the columns `HEAD`; values in full precision.

    A value that is not finite is `nan`; runs that failed have no row.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEAD)
    for model in comparison["models"]:
        for run in model["runs"]:
            what = (model["label"], model["name"], model["prior"], run["seed"], run["path"])
            for column in comparison["columns"]:
                name, better = column["name"], column["better"] or ""
                if name in run["values"]:
                    value = run["values"][name]
                    row = (*what, run["iterations"], name, column["label"], better, value)
                    writer.writerow(row)
    return buffer.getvalue()


def tex_table(comparison: ComparisonDocument) -> str:
    """The metrics that judge as a table for LaTeX, with a model in each column.

    It needs the package booktabs. A mean is bold where its interval overlaps no other model's.
    """
    return (
        _tex()
        .get_template("table.tex.j2")
        .render(
            comparison=comparison,
            heads=[textwrap.wrap(model["label"], HEAD_WIDTH) for model in comparison["models"]],
            columns=report_tables.metric_columns(comparison),
            rows=report_tables.metric_rows(comparison),
            seeds=report_tables.most_seeds(comparison),
            summary=summary(comparison),
        )
    )


def _tex() -> Environment:
    """Templates of LaTeX: whatever they print is escaped for it, and braces are LaTeX's own."""
    return templates(
        "ganzoo.evaluation",
        finalize=escape_tex,
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        block_start_string="<%",
        block_end_string="%>",
        keep_trailing_newline=True,
    )


def escape_tex(value: object) -> str:
    """A text in one line that LaTeX shows as it is."""
    return "".join(TEX.get(sign, sign) for sign in " ".join(str(value).split()))
