"""The tables of a report: metrics, costs, paired differences, as columns, rows and cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from ganzoo.evaluation.document import (
    ColumnEntry,
    ComparisonDocument,
    DifferenceEntry,
    ModelEntry,
    RunEntry,
)
from ganzoo.evaluation.report_text import NOTHING, interval, number


@dataclass(frozen=True)
class Column:
    """A value of a metric, or a cost."""

    label: str
    """What people call it."""
    key: str = ""
    """What recipes and commands call it, without its extractor: `density-coverage/density`."""
    extractor: str = ""
    better: str = ""
    """`"higher"`, `"lower"` or empty."""
    meaning: str = ""

    @property
    def source(self) -> str:
        """The key with its extractor, as files name the value; empty for a cost."""
        return f"{self.key}[{self.extractor}]" if self.extractor else self.key

    @property
    def arrow(self) -> str:
        """Points up where higher is better, down where lower is."""
        return {"higher": "↑", "lower": "↓"}.get(self.better, "")


@dataclass(frozen=True)
class Cell:
    """A value of a model."""

    value: float | None
    """By which rows are sorted; None without a finite value."""
    text: str
    interval: str = ""
    best: str = ""
    """The best value at any snapshot and its iteration, where a direction is better."""
    wins: bool = False
    """Whether the interval is separate from all others on the better side."""


@dataclass(frozen=True)
class Row:
    """A model."""

    label: str
    series: int
    """Its place among the models, from 0."""
    cells: Sequence[Cell]


def column(entry: ColumnEntry) -> Column:
    """The column of a value."""
    key, _, extractor = entry["name"].partition("[")
    return Column(
        entry["label"], key, extractor.removesuffix("]"), entry["better"] or "", entry["meaning"]
    )


def metric_columns(comparison: ComparisonDocument) -> list[Column]:
    """The columns of all values, first those that judge."""
    return [column(entry) for entry in _ordered(comparison)]


def metric_rows(comparison: ComparisonDocument) -> list[Row]:
    """The values of each model."""
    return [
        Row(
            model["label"],
            series,
            [_cell(entry, model, comparison["winners"]) for entry in _ordered(comparison)],
        )
        for series, model in enumerate(comparison["models"])
    ]


def most_seeds(comparison: ComparisonDocument) -> int:
    """The number of runs of the model that has most."""
    return max((len(model["runs"]) for model in comparison["models"]), default=0)


def _ordered(comparison: ComparisonDocument) -> list[ColumnEntry]:
    return sorted(comparison["columns"], key=lambda entry: not entry["headline"])


def _cell(entry: ColumnEntry, model: ModelEntry, winners: Mapping[str, str | None]) -> Cell:
    name = entry["name"]
    summary = model["summaries"].get(name)
    if summary is None:
        return Cell(None, NOTHING)
    return Cell(
        summary["mean"] if math.isfinite(summary["mean"]) else None,
        number(summary["mean"]),
        interval(summary["low"], summary["high"]),
        _best(name, model["runs"]) if entry["better"] else "",
        winners.get(name) == model["label"],
    )


def _best(name: str, runs: Sequence[RunEntry]) -> str:
    """`0.41 at 1,200`: the mean over seeds of the best value at any snapshot, and where it was."""
    best = [run["best"][name] for run in runs if name in run["best"]]
    if not best:
        return ""
    places = sorted({each["iteration"] for each in best})
    value = sum(each["value"] for each in best) / len(best)
    when = "\N{EN DASH}".join(dict.fromkeys((f"{places[0]:,}", f"{places[-1]:,}")))
    return f"{number(value, 3)} at {when}"


CostName = Literal["seconds", "images", "images_per_second", "peak_memory_mb", "sampling_seconds"]
COSTS: Mapping[CostName, str] = {
    "seconds": "seconds of training",
    "images": "real samples read",
    "images_per_second": "samples/s",
    "peak_memory_mb": "peak memory, MB",
    "sampling_seconds": "seconds for 1,000 samples",
}
"""Costs that are one number for each model, and what the table calls them."""
FIRST = ("discriminator", "generator")
"""Phases and networks that come before others."""


def cost_table(comparison: ComparisonDocument) -> tuple[list[Column], list[Row]]:
    """Means over runs; a column for each phase's steps and for each network's parameters.

    A cost that no model has is left out.
    """
    models = comparison["models"]
    costs = [model["cost"] for model in models]
    parameters = [model["parameters"] for model in models]
    columns: dict[str, list[float | None]] = {}

    def add(name: CostName) -> None:
        columns[COSTS[name]] = [cost[name] for cost in costs]

    add("seconds")
    for phase in _sorted(cost["steps"] for cost in costs):
        columns[f"{phase} steps"] = [cost["steps"].get(phase) for cost in costs]
    add("images")
    add("images_per_second")
    for network in _sorted(parameters):
        columns[f"{network} parameters"] = [counts.get(network) for counts in parameters]
    add("peak_memory_mb")
    add("sampling_seconds")
    kept = {
        name: values
        for name, values in columns.items()
        if any(value is not None for value in values)
    }
    rows = [
        Row(
            model["label"],
            series,
            [Cell(values[series], number(values[series], 3)) for values in kept.values()],
        )
        for series, model in enumerate(models)
    ]
    return [Column(name) for name in kept], rows


def _sorted(tables: Iterator[Mapping[str, float]] | Sequence[Mapping[str, float]]) -> list[str]:
    """The keys of all tables, the well-known ones first."""
    keys = dict.fromkeys(chain.from_iterable(tables))
    return sorted(keys, key=lambda key: FIRST.index(key) if key in FIRST else len(FIRST))


def telling_differences(comparison: ComparisonDocument, most: int) -> list[DifferenceEntry]:
    """At most so many keys in which the recipes differ, those that say most first.

    These are the types of components, then keys high up. Keys of a table whose type differs only
    follow from it.
    """
    differences = comparison["differences"]
    types = [row["key"] for row in differences if row["key"].endswith(".type")]
    tables = tuple(key.removesuffix("type") for key in types)
    own = [row for row in differences if row["key"] in types or not row["key"].startswith(tables)]
    return sorted(own, key=lambda row: (row["key"] not in types, row["key"].count(".")))[:most]


@dataclass(frozen=True)
class PairedRow:
    """One value of a model, compared with the first model at equal seeds."""

    label: str
    column: Column
    difference: str
    interval: str
    verdict: str


def paired_rows(comparison: ComparisonDocument) -> Iterator[PairedRow]:
    """All paired differences: by model, then by value."""
    for model in comparison["models"][1:]:
        for entry in _ordered(comparison):
            if paired := model.get("paired", {}).get(entry["name"]):
                yield PairedRow(
                    model["label"],
                    column(entry),
                    number(paired["difference"], 3),
                    interval(paired["low"], paired["high"]) or NOTHING,
                    paired["verdict"] or NOTHING,
                )
