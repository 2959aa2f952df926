"""The report of a sweep: one self-contained page, and its tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from ganzoo.errors import RunError, UserError
from ganzoo.evaluation import report_tables, report_text
from ganzoo.evaluation.curves import Line, curve_chart
from ganzoo.evaluation.document import Paired, Summary
from ganzoo.evaluation.panels import Picture, picture
from ganzoo.evaluation.report import code_block, escape_markdown
from ganzoo.evaluation.report_text import counted, interval, number
from ganzoo.pictures import open_png
from ganzoo.records import write_text
from ganzoo.sweeps.document import EffectEntry, KeyEntry, PointEntry, SurfaceEntry, SweepDocument
from ganzoo.sweeps.sentences import mean_text, sentences, summary, warnings
from ganzoo.templates import templates

DEEPEST = 45
"""Share of the accent colour in the best cell of a heat map, in percent: ink stays readable on it
in a light page and in a dark one."""
WIDE = 50.0
"""Positive values of a greater ratio are coloured by their logarithms."""
SHOWN = 12
"""Pictures of points that are shown at once; the others are folded away."""


class Row(NamedTuple):
    """A point in the ranking."""

    point: PointEntry
    value: str
    interval: str
    difference: str
    """The difference from the best point, and its interval."""
    verdict: str


class Level(NamedTuple):
    """A value of a key, with its place on an axis that all keys share."""

    value: str
    mean: str
    interval: str
    verdict: str
    """What the value changes, compared with the first one."""
    at: float
    """The mean, from 0 to 100."""
    low: float | None
    high: float | None


class Effect(NamedTuple):
    """The main effect of a key."""

    entry: EffectEntry
    note: str
    levels: Sequence[Level]


class Cell(NamedTuple):
    """A cell of a heat map."""

    text: str
    interval: str
    depth: int
    """Share of the accent colour, in percent."""
    best: bool


class HeatMap(NamedTuple):
    """The metric over two keys."""

    entry: SurfaceEntry
    note: str
    rows: Sequence[tuple[str, Sequence[Cell]]]


class Scatter(NamedTuple):
    """The metric of all points over a key that was searched."""

    key: str
    svg: Markup
    alt: str


class Choice(NamedTuple):
    """A value of a key that was searched."""

    key: str
    value: str
    points: int
    pruned: int
    best: str


class Shown(NamedTuple):
    """The last picture of a point."""

    label: str
    note: str
    picture: Picture


def write_report(sweep: SweepDocument, out: Path) -> Path:
    """Write `report.html` and `sweep.md` into a folder, and return the page's path.

    Raises `RunError` where a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts = _texts(sweep)
    markdown = templates("ganzoo.evaluation", autoescape=False, finalize=escape_markdown)
    markdown.filters["code"] = code_block
    write_text(out / "sweep.md", markdown.get_template("sweep.md.j2").render(texts))
    page = templates("ganzoo.evaluation", autoescape=True)
    more = {
        "scatters": list(scatters(sweep)),
        "pictures": list(pictures(sweep)),
        "shown": SHOWN,
        "all_columns": report_tables.metric_columns(sweep["comparison"]),
        "all_rows": report_tables.metric_rows(sweep["comparison"]),
    }
    path = out / "report.html"
    write_text(path, page.get_template("sweep.html.j2").render(texts | more))
    return path


def _texts(sweep: SweepDocument) -> dict[str, Any]:
    """Variables of both templates."""
    return {
        "sweep": sweep,
        "comparison": sweep["comparison"],
        "summary": summary(sweep),
        "sentences": sentences(sweep),
        "warnings": warnings(sweep),
        "metric": sweep["label"],
        "arrow": {"higher": "↑", "lower": "↓"}[sweep["better"]],
        "rows": list(rows(sweep)),
        "effects": effects(sweep),
        "heat_maps": [heat_map(each, sweep) for each in sweep["surfaces"]],
        "choices": list(choices(sweep)),
    }


def rows(sweep: SweepDocument) -> Iterator[Row]:
    """The ranking; points without a rank come last."""
    for point in sweep["points"]:
        entry, difference = point["summary"], point["paired"]
        value = number(entry["mean"]) if entry else report_text.NOTHING
        within = interval(entry["low"], entry["high"]) if entry else ""
        if point["state"] == "pruned":
            value, within = number(point["value"]), f"at iteration {point['iteration']:,}"
        verdict = difference["verdict"] if difference else None
        if point["rank"] == 1:
            verdict_text = "best"
        elif verdict is None:
            verdict_text = point["state"]
        else:
            verdict_text = "worse" if verdict == "worse" else "not separate"
        shown = "" if difference is None else number(difference["difference"], 3)
        if difference and (span := interval(difference["low"], difference["high"])):
            shown += f" ({span})"
        yield Row(point, value, within, shown, verdict_text)


def effects(sweep: SweepDocument) -> list[Effect]:
    """The main effects of all keys, on one axis."""
    entries = [level["summary"] for each in sweep["effects"] for level in each["levels"]]
    ends = [
        end
        for entry in entries
        for end in (entry["mean"], entry["low"], entry["high"])
        if end is not None
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / ((high - low) or 1), 2)

    found = []
    for each in sweep["effects"]:
        levels = [
            Level(
                level["value"],
                number(level["summary"]["mean"]),
                interval(level["summary"]["low"], level["summary"]["high"]),
                _change(level["paired"]),
                place(level["summary"]["mean"]) or 0.0,
                place(level["summary"]["low"]),
                place(level["summary"]["high"]),
            )
            for level in each["levels"]
        ]
        note = "Each value is one point."
        if each["points"] > 1:
            note = f"Each value is the mean of {each['points']} points with the same other keys."
        if each["left_out"]:
            note += f" {counted(each['left_out'], 'point')} without a counterpart left out."
        found.append(Effect(each, note, levels))
    return found


def _change(difference: Paired | None) -> str:
    """`−3.1 (−4.0 to −2.2), better`."""
    if difference is None:
        return ""
    within = interval(difference["low"], difference["high"])
    text = number(difference["difference"], 3) + (f" ({within})" if within else "")
    return text if difference["verdict"] is None else f"{text}, {difference['verdict']}"


def heat_map(entry: SurfaceEntry, sweep: SweepDocument) -> HeatMap:
    """A table of two keys; the better a value, the deeper its cell, and the best one is marked."""
    cells = [each for row in entry["cells"] for each in row if each]
    means = [each["mean"] for each in cells if math.isfinite(each["mean"])]
    lower = sweep["better"] == "lower"
    best = (min if lower else max)(means)
    wide = min(means) > 0 and max(means) > WIDE * min(means)

    def depth(mean: float) -> int:
        scale = math.log if wide else float
        low, high = scale(min(means)), scale(max(means))
        share = (scale(mean) - low) / ((high - low) or 1)
        return round(DEEPEST * (1 - share if lower else share))

    def cell(each: Summary | None) -> Cell:
        if each is None:
            return Cell(report_text.NOTHING, "", 0, False)
        within = interval(each["low"], each["high"])
        return Cell(number(each["mean"]), within, depth(each["mean"]), each["mean"] == best)

    note = ""
    if entry["points"] > 1:
        note = f"Each cell is the mean of {entry['points']} points with the same other keys."
    rows = [
        (value, [cell(each) for each in row])
        for value, row in zip(entry["row_values"], entry["cells"], strict=True)
    ]
    return HeatMap(entry, note, rows)


def scatters(sweep: SweepDocument) -> Iterator[Scatter]:
    """The metric over each range that was searched: points that are done, and pruned ones."""
    for place, key in enumerate(sweep["keys"]):
        if key["low"] is None:
            continue
        lines = []
        for point in sweep["points"]:
            entry = point["summary"]
            value = entry["mean"] if entry else point["value"]
            if value is not None and math.isfinite(value) and point["state"] != "failed":
                series = 0 if point["state"] == "done" else 1
                lines.append(Line([float(point["values"][key["key"]])], [value], series))
        if lines:
            svg = curve_chart(f"key-{place}", lines, key["key"], markers=True, log_x=key["log"])
            done = sum(line.series == 0 for line in lines)
            alt = f"{sweep['label']} of {done} points over {key['key']}"
            yield Scatter(key["key"], Markup(svg), alt)


def choices(sweep: SweepDocument) -> Iterator[Choice]:
    """How the values of a key fared in a search."""
    for key in sweep["keys"] if sweep["search"] else ():
        for value in key["values"]:
            yield _choice(sweep, key, value)


def _choice(sweep: SweepDocument, key: KeyEntry, value: str) -> Choice:
    own = [point for point in sweep["points"] if point["values"][key["key"]] == value]
    done = [point for point in own if point["rank"] is not None]
    pruned = sum(point["state"] == "pruned" for point in own)
    return Choice(
        key["key"], value, len(own), pruned, mean_text(done[0]) if done else report_text.NOTHING
    )


def pictures(sweep: SweepDocument) -> Iterator[Shown]:
    """The newest picture of each point, in the order of the ranking."""
    for row in rows(sweep):
        point = row.point
        if point["picture"] is None:
            continue
        try:
            image = open_png(Path(point["picture"]))
        except (RunError, UserError):
            continue  # damaged or removed since; the values stand without it
        rank = f"{point['rank']}. " if point["rank"] else ""
        alt = f"Samples of {point['label']}"
        yield Shown(f"{rank}{point['label']}", f"{row.value}, {row.verdict}", picture(image, alt))
