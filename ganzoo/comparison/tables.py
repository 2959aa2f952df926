"""From the outcomes of all runs to the rows and columns of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import registry, runs
from ganzoo.comparison.jobs import Outcome
from ganzoo.comparison.statistics import paired, summary, winner
from ganzoo.runs import RunFolder

if TYPE_CHECKING:
    from ganzoo.comparison.comparing import Entrant

Row = dict[str, Any]


def model_rows(entrants: Sequence[Entrant]) -> list[Row]:
    """A row for each model, and one more for a model with a second prior; the first is the
    reference of the paired comparisons."""
    rows = [row for entrant in entrants for row in _rows_of(entrant)]
    labels: dict[str, int] = {}
    for row in rows:
        # Two recipes may have one name, such as a recipe and a changed copy of it.
        labels[row["label"]] = labels.get(row["label"], 0) + 1
        if labels[row["label"]] > 1:
            row["label"] += f" ({labels[row['label']]})"
    better, bounds = _told(entrants, "better"), _told(entrants, "bounds")
    for row in rows:
        figures = list(dict.fromkeys(name for run in row["runs"] for name in run["figures"]))
        values = {name: _by_seed(row, name) for name in figures}
        row["statistics"] = {
            name: summary(list(each.values()), bounds.get(name, (None, None)))
            for name, each in values.items()
        }
        row["cost"] = _mean_cost([run["cost"] for run in row["runs"] if run["cost"]])
    for row in rows[1:]:
        row["paired"] = {
            name: found
            for name in row["statistics"]
            if (found := paired(_by_seed(row, name), _by_seed(rows[0], name), better.get(name)))
        }
    return rows


def _rows_of(entrant: Entrant) -> Iterator[Row]:
    """The model with its recipe's prior, and with the other one where its runs have it."""
    recipe = entrant.recipe
    tables = recipe.tables()
    del tables["train"]["seed"]
    measured = [outcome.measures for outcome in entrant.outcomes.values() if outcome.measures]
    base = {
        "name": recipe.name,
        "summary": recipe.summary,
        "recipe": tables,
        "parameters": measured[0]["parameters"] if measured else {},
    }
    priors = [recipe.prior.distribution]
    if any("other_prior" in each for each in measured):
        priors.append("mixture" if priors[0] == "latent" else "latent")
    for prior in priors:
        own = prior == recipe.prior.distribution
        names = {"latent": "normal codes", "mixture": "mixture of codes"}
        label = recipe.name if len(priors) == 1 else f"{recipe.name}, {names[prior]}"
        yield {
            **base,
            "label": label,
            "prior": prior,
            "runs": [
                _run(seed, outcome, own=own) for seed, outcome in sorted(entrant.outcomes.items())
            ],
        }


def _run(seed: int, outcome: Outcome, *, own: bool) -> Row:
    """One run; `own` says whether its figures are those of the recipe's prior."""
    folder, measures = RunFolder(Path(outcome.folder)), outcome.measures
    status = runs.read_json(folder.status)
    figures = measures.get("figures" if own else "other_prior", {})
    return {
        "path": outcome.folder,
        "seed": seed,
        "state": "failed" if outcome.message else "done",
        "message": outcome.message,
        "iterations": status.get("iteration", 0),
        "figures": figures if own else figures.get("figures", {}),
        # Snapshots are measured with the recipe's own prior only.
        "course": measures.get("course", []) if own else [],
        "best": measures.get("best", {}) if own else {},
        "collapse": measures.get("collapse", []) if own else [],
        "cost": _cost(status, measures) if measures else None,
        "metrics_jsonl": runs.read_rows(folder.metrics),
    }


def _cost(status: Mapping[str, Any], measures: Mapping[str, Any]) -> Row:
    seconds = status["seconds"]
    return {
        "seconds": seconds,
        "steps": status["steps"],
        "images": status["images"],
        "images_per_second": status["images"] / max(seconds, 1e-9),
        "peak_memory_mb": status.get("peak_memory_mb"),
        "sampling_seconds": measures["sampling_seconds"],
    }


def _mean_cost(costs: Sequence[Row]) -> Row:
    """Means over the seeds; None where no seed has the figure."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    phases = dict.fromkeys(phase for cost in costs for phase in cost["steps"])
    found: Row = {
        key: mean([cost[key] for cost in costs])
        for key in ("seconds", "images", "images_per_second", "peak_memory_mb", "sampling_seconds")
    }
    found["steps"] = {
        phase: mean([cost["steps"].get(phase, 0) for cost in costs]) for phase in phases
    }
    return found


def _by_seed(row: Row, figure: str) -> dict[int, float]:
    return {run["seed"]: run["figures"][figure] for run in row["runs"] if figure in run["figures"]}


def _told(entrants: Sequence[Entrant], what: str) -> dict[str, Any]:
    """What the metrics declare of their figures: `better` or `bounds`, by figure."""
    told: dict[str, Any] = {}
    for entrant in entrants:
        for outcome in entrant.outcomes.values():
            told |= outcome.measures.get(what, {})
    return told


def metric_columns(entrants: Sequence[Entrant], rows: Sequence[Row]) -> list[Row]:
    """A column for each figure: first those with a better way, of these first what all have."""
    better = _told(entrants, "better")
    meanings = {
        entry.spec.type: entry.spec.summary() for entry in registry.installed().entries("metric")
    }
    figures = dict.fromkeys(name for row in rows for name in row["statistics"])
    columns = [
        {
            "name": name,
            "better": better.get(name),
            "meaning": meanings.get(name.partition("[")[0].partition("/")[0], ""),
            "headline": name in better,
        }
        for name in figures
    ]
    everywhere = {name for name in figures if all(name in row["statistics"] for row in rows)}
    return sorted(
        columns, key=lambda column: (not column["headline"], column["name"] not in everywhere)
    )


def winners(rows: Sequence[Row], columns: Sequence[Row]) -> dict[str, str | None]:
    """By figure, the model whose interval is clear of all others, or None."""
    return {
        column["name"]: winner(
            {
                row["label"]: row["statistics"][column["name"]]
                for row in rows
                if column["name"] in row["statistics"]
            },
            column["better"],
        )
        for column in columns
        if column["better"]
    }


def differences(entrants: Sequence[Entrant]) -> list[Row]:
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
