"""From the outcomes of all runs to the models and the columns of comparison.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganzoo import records, registry
from ganzoo.comparison.entrants import Entrant
from ganzoo.comparison.jobs import Outcome
from ganzoo.comparison.statistics import paired, separate, summary, winner
from ganzoo.errors import RunError
from ganzoo.evaluation.document import (
    ColumnEntry,
    Cost,
    DifferenceEntry,
    HeadlineEntry,
    ModelEntry,
    RunEntry,
    RunMeasures,
    StatisticsEntry,
    headline_column,
)
from ganzoo.runs import RunFolder
from ganzoo.specs import in_words
from ganzoo.status import Status, read_status


def model_entries(entrants: Sequence[Entrant]) -> list[ModelEntry]:
    """The models: each recipe with its prior and with each of its other priors.

    The first is the reference of the paired differences.
    """
    models = [model for entrant in entrants for model in _models_of(entrant)]
    labels: dict[str, int] = {}
    for model in models:
        # Two recipes may have one name, such as a recipe and a changed copy of it.
        labels[model["label"]] = labels.get(model["label"], 0) + 1
        if labels[model["label"]] > 1:
            model["label"] += f" ({labels[model['label']]})"
    better, bounds = declared(entrants, "better"), declared(entrants, "bounds")
    for model in models:
        names = dict.fromkeys(name for run in model["runs"] for name in run["values"])
        model["summaries"] = {
            name: summary(list(by_seed(model, name).values()), bounds.get(name, (None, None)))
            for name in names
        }
        model["cost"] = mean_cost([run["cost"] for run in model["runs"] if run["cost"]])
    for model in models[1:]:
        differences = {
            name: paired(by_seed(model, name), by_seed(models[0], name), better.get(name))
            for name in model["summaries"]
        }
        model["paired"] = {name: each for name, each in differences.items() if each is not None}
    return models


def _models_of(entrant: Entrant) -> Iterator[ModelEntry]:
    """The entries of one recipe, a prior each, still without summaries."""
    recipe = entrant.recipe
    tables = recipe.tables()
    del tables["train"]["seed"]
    measures = [each.measures for each in entrant.outcomes.values() if each.measures is not None]
    own = recipe.prior.spec.type
    others = dict.fromkeys(prior for each in measures for prior in each["other_priors"])
    for prior in (own, *others):
        yield {
            "name": recipe.name,
            "label": f"{entrant.name} (prior {prior})" if others else entrant.name,
            "prior": prior,
            "summary": recipe.summary,
            "recipe": tables,
            "parameters": measures[0]["parameters"] if measures else {},
            "runs": [
                _run(seed, outcome, None if prior == own else prior)
                for seed, outcome in sorted(entrant.outcomes.items())
            ],
            "summaries": {},
            "cost": mean_cost([]),
        }


def _run(seed: int, outcome: Outcome, other_prior: str | None) -> RunEntry:
    """One run, with its values for the recipe's prior or for another one."""
    folder, measures = RunFolder(Path(outcome.folder)), outcome.measures
    status, statistics = _kept(folder, outcome)
    entry: RunEntry = {
        "path": outcome.folder,
        "seed": seed,
        "state": "failed" if outcome.message else "done",
        "message": outcome.message,
        "iterations": status.get("iteration", 0),
        "values": {},
        "history": [],
        "best": {},
        "collapse": [],
        "left_out": {} if measures is None else measures["left_out"],
        "warnings": [] if other_prior else records.read_rows(folder.warnings, records.WarningRow),
        "cost": None if measures is None else _cost(status, measures),
        "statistics": statistics,
    }
    if measures is not None and other_prior is None:
        entry["values"], entry["history"] = measures["values"], measures["history"]
        entry["best"], entry["collapse"] = measures["best"], measures["collapse"]
    elif measures is not None and other_prior is not None:
        # Snapshots are measured with the recipe's own prior only.
        entry["values"] = measures["other_priors"].get(other_prior, {})
    return entry


def _kept(folder: RunFolder, outcome: Outcome) -> tuple[Status, list[StatisticsEntry]]:
    """What a run says of itself; of one that failed, nothing where that is damaged."""
    try:
        status = read_status(folder)
        timing = records.read_rows(folder.timing, records.TimingRow)
        seconds = {row["iteration"]: row["seconds"] for row in timing}
        rows: list[StatisticsEntry] = [
            {
                "iteration": row["iteration"],
                "images": row["images"],
                "seconds": seconds.get(row["iteration"]),
                "statistics": row["statistics"],
            }
            for row in records.read_rows(folder.statistics, records.StatisticsRow)
        ]
        return status, rows
    except RunError:
        if outcome.message is None:
            raise
        return {"state": "failed"}, []


def _cost(status: Status, measures: RunMeasures) -> Cost:
    seconds = status["seconds"]
    return {
        "seconds": seconds,
        "steps": dict(status["steps"]),
        "images": status["images"],
        "images_per_second": status["images"] / max(seconds, 1e-9),
        "peak_memory_mb": status.get("peak_memory_mb"),
        "sampling_seconds": measures["sampling_seconds"],
    }


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """Means over runs; None where no run has the number."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    phases = dict.fromkeys(phase for cost in costs for phase in cost["steps"])
    return {
        "seconds": mean([cost["seconds"] for cost in costs]),
        "steps": {
            phase: sum(cost["steps"].get(phase, 0) for cost in costs) / len(costs)
            for phase in phases
        },
        "images": mean([cost["images"] for cost in costs]),
        "images_per_second": mean([cost["images_per_second"] for cost in costs]),
        "peak_memory_mb": mean([cost["peak_memory_mb"] for cost in costs]),
        "sampling_seconds": mean([cost["sampling_seconds"] for cost in costs]),
    }


def by_seed(model: ModelEntry, name: str) -> dict[int, float]:
    """One value of a model's runs."""
    return {run["seed"]: run["values"][name] for run in model["runs"] if name in run["values"]}


def declared(entrants: Sequence[Entrant], key: str) -> dict[str, Any]:
    """What the metrics declare of their values: `better` or `bounds`, by name of value."""
    declarations: dict[str, Any] = {}
    for entrant in entrants:
        for outcome in entrant.outcomes.values():
            if outcome.measures is not None:
                declarations |= outcome.measures[key]  # type: ignore[literal-required]
    return declarations


def value_columns(entrants: Sequence[Entrant], models: Sequence[ModelEntry]) -> list[ColumnEntry]:
    """A column for each value: first those that judge, of these first those of all models."""
    better = declared(entrants, "better")
    metrics = {entry.spec.type: entry.spec for entry in registry.installed().entries("metric")}
    names = dict.fromkeys(name for model in models for name in model["summaries"])
    columns: list[ColumnEntry] = []
    for name in names:
        plain = name.partition("[")[0]
        kind, _, value = plain.partition("/")
        metric: Any = metrics.get(kind)
        columns.append(
            {
                "name": name,
                "label": metric.label(value or kind) if metric else in_words(plain),
                "better": better.get(name),
                "meaning": metric.summary() if metric else "",
                "headline": name in better,
            }
        )
    measured = [model["summaries"] for model in models if model["summaries"]]
    everywhere = {name for name in names if all(name in each for each in measured)}
    return sorted(
        columns, key=lambda column: (not column["headline"], column["name"] not in everywhere)
    )


def winners(models: Sequence[ModelEntry], columns: Sequence[ColumnEntry]) -> dict[str, str | None]:
    """By name of value, the label of the model whose interval is separate from all others."""
    labels: dict[str, str | None] = {}
    for column in columns:
        name, better = column["name"], column["better"]
        if better is not None:
            summaries = {
                model["label"]: model["summaries"][name]
                for model in models
                if name in model["summaries"]
            }
            labels[name] = winner(summaries, better)
    return labels


def headline_entry(
    models: Sequence[ModelEntry], columns: Sequence[ColumnEntry]
) -> HeadlineEntry | None:
    """What the value shows that stands for the comparison; None where no value judges all."""
    column = headline_column(columns, models)
    if column is None or column["better"] is None:
        return None
    name, better = column["name"], column["better"]
    finite = [
        model
        for model in models
        if name in model["summaries"] and math.isfinite(model["summaries"][name]["mean"])
    ]
    sign = 1 if better == "lower" else -1
    ranking = sorted(finite, key=lambda model: sign * model["summaries"][name]["mean"])
    best, others = ranking[:1], ranking[1:]
    beaten = [
        other["label"]
        for first in best
        for other in others
        if separate(first["summaries"][name], other["summaries"][name], better)
        or (
            (difference := paired(by_seed(first, name), by_seed(other, name), better))
            and difference["verdict"] == "better"
        )
    ]
    return {"name": name, "ranking": [model["label"] for model in ranking], "beaten": beaten}


def differences(entrants: Sequence[Entrant]) -> list[DifferenceEntry]:
    """The keys of the recipes whose values are not the same in all, but for name and seed."""
    flat = [dict(_flat(entrant.recipe.tables())) for entrant in entrants]
    for each in flat:
        for key in ("name", "summary", "train.seed"):
            each.pop(key, None)
    keys = dict.fromkeys(key for each in flat for key in each)
    return [
        {"key": key, "values": [each.get(key) for each in flat]}
        for key in keys
        if len({repr(each.get(key)) for each in flat}) > 1
    ]


def _flat(table: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested tables under its dotted key; arrays of tables by their index."""
    if isinstance(table, dict):
        for key, value in table.items():
            yield from _flat(value, f"{place}.{key}" if place else key)
    elif isinstance(table, list) and any(isinstance(each, dict) for each in table):
        for index, value in enumerate(table):
            yield from _flat(value, f"{place}.{index}")
    else:
        yield place, table
