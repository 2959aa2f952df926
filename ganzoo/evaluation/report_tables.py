"""The tables of a report: figures, costs, paired comparisons, as columns, rows and cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ganzoo.evaluation.report_text import NOTHING, interval, number


@dataclass(frozen=True)
class Column:
    """A metric, or a cost."""

    name: str
    """As a reader sees it: without its metric and its extractor."""
    metric: str = ""
    """`density-coverage/`, where the name alone would not do."""
    extractor: str = ""
    better: str = ""
    """`"higher"`, `"lower"` or nothing."""
    meaning: str = ""

    @property
    def full_name(self) -> str:
        """With the metric: `density-coverage/density`."""
        return self.metric + self.name

    @property
    def arrow(self) -> str:
        """The way that is better."""
        return {"higher": "↑", "lower": "↓"}.get(self.better, "")


@dataclass(frozen=True)
class Cell:
    """A figure of a model."""

    value: float | None
    """By which rows are sorted; None where there is nothing."""
    text: str
    interval: str = ""
    best: str = ""
    """The best on the way and when, where the way that is better is known."""
    wins: bool = False


@dataclass(frozen=True)
class Row:
    """A model."""

    label: str
    series: int
    """Its place among the models, from 0."""
    cells: Sequence[Cell]


def column(metric: Mapping[str, Any]) -> Column:
    """The column of a figure."""
    name, _, extractor = metric["name"].partition("[")
    group, slash, own = name.rpartition("/")
    return Column(
        own,
        group + slash,
        extractor.removesuffix("]"),
        metric["better"] or "",
        metric["meaning"] or "",
    )


def metric_columns(comparison: Mapping[str, Any]) -> list[Column]:
    """All figures, headline first, otherwise in order."""
    return [column(metric) for metric in _metrics(comparison)]


def metric_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """The figures of each model."""
    return [
        Row(
            model["label"],
            series,
            [_cell(metric, model, comparison["winners"]) for metric in _metrics(comparison)],
        )
        for series, model in enumerate(comparison["models"])
    ]


def _metrics(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(comparison["metrics"], key=lambda metric: not metric["headline"])


def _cell(
    metric: Mapping[str, Any], model: Mapping[str, Any], winners: Mapping[str, str | None]
) -> Cell:
    figure = metric["name"]
    found = model["statistics"].get(figure)
    if found is None:
        return Cell(None, NOTHING)
    value = found["mean"]
    return Cell(
        value if value is not None and math.isfinite(value) else None,
        number(value),
        interval(found.get("low"), found.get("high")),
        _best(figure, model["runs"]) if metric["better"] else "",
        winners.get(figure) == model["label"],
    )


def _best(figure: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """`0.41 at 1,200`: the mean over seeds of the best on the way, and the iterations."""
    best = [run["best"][figure] for run in runs if figure in (run.get("best") or {})]
    if not best:
        return ""
    places = sorted({int(each["iteration"]) for each in best})
    value = sum(each["value"] for each in best) / len(best)
    when = "\N{EN DASH}".join(dict.fromkeys((f"{places[0]:,}", f"{places[-1]:,}")))
    return f"{number(value, 3)} at {when}"


def mean(value: Any) -> float | None:
    """The mean in an entry of a model's costs, which may be a number already."""
    return value.get("mean") if isinstance(value, Mapping) else value


COSTS = (
    ("seconds", "seconds to train"),
    ("steps", "steps"),
    ("images", "images seen"),
    ("images_per_second", "images/s"),
    ("parameters", "parameters"),
    ("peak_memory_mb", "peak memory, MB"),
    ("sampling_seconds", "seconds for 1,000 samples"),
)
"""Entries of a model's costs and what the table calls them; two are split up further."""
FIRST = ("discriminator", "generator")
"""Phases and networks that come before others."""


def cost_table(comparison: Mapping[str, Any]) -> tuple[list[Column], list[Row]]:
    """Means over seeds; a column for each phase's steps and for each network's parameters."""
    models = comparison["models"]
    keys = [key for name, _ in COSTS for key in _split(name, models)]
    rows = [
        Row(model["label"], series, [_cost(model, key) for key in keys])
        for series, model in enumerate(models)
    ]
    filled = [any(row.cells[place].value is not None for row in rows) for place in range(len(keys))]
    kept = [place for place, is_filled in enumerate(filled) if is_filled]
    names = dict(COSTS)
    columns = [
        Column(f"{part} {names[name]}" if part else names[name])
        for name, part in (keys[place] for place in kept)
    ]
    return columns, [
        Row(row.label, row.series, [row.cells[place] for place in kept]) for row in rows
    ]


def _split(name: str, models: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The columns of one entry: `(entry, part)`."""
    if name not in ("steps", "parameters"):
        return [(name, "")]
    parts = dict.fromkeys(chain.from_iterable(_cost_entry(model, name) for model in models))
    ordered = sorted(parts, key=lambda part: FIRST.index(part) if part in FIRST else len(FIRST))
    return [(name, part) for part in ordered]


def _cost_entry(model: Mapping[str, Any], name: str) -> Any:
    if name == "parameters":
        return model["parameters"] or {}
    return (model.get("cost") or {}).get(name) or ({} if name == "steps" else None)


def _cost(model: Mapping[str, Any], key: tuple[str, str]) -> Cell:
    name, part = key
    entry = _cost_entry(model, name)
    value = mean(entry.get(part) if part else entry)
    return Cell(value, number(value, 3))


@dataclass(frozen=True)
class Paired:
    """One paired comparison with the first model."""

    label: str
    figure: str
    difference: str
    interval: str
    verdict: str


def paired_rows(comparison: Mapping[str, Any]) -> Iterator[Paired]:
    """All paired comparisons: by model, then by figure."""
    for model in comparison["models"][1:]:
        for metric in _metrics(comparison):
            if paired := (model.get("paired") or {}).get(metric["name"]):
                yield Paired(
                    model["label"],
                    metric["name"],
                    number(paired["difference"], 3),
                    interval(paired["low"], paired["high"]) or NOTHING,
                    paired["verdict"] or NOTHING,
                )
