"""Puts comparison.json together from the outcomes of all runs."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version

from ganzoo.comparison.entrants import Entrant
from ganzoo.comparison.models import (
    differences,
    headline_entry,
    model_entries,
    value_columns,
    winners,
)
from ganzoo.comparison.request import Request
from ganzoo.engine.environment import versions
from ganzoo.errors import RunError
from ganzoo.evaluation.document import FORMAT, ComparisonDocument, ExtractorEntry, RunMeasures
from ganzoo.plugins import CORE
from ganzoo.recipe import Component
from ganzoo.records import read_json
from ganzoo.runs import Environment, RunFolder
from ganzoo.specs import ComponentSpec


def assemble(
    entrants: Sequence[Entrant],
    measuring: Sequence[Component[ComponentSpec]],
    request: Request,
    command: str,
) -> ComparisonDocument:
    """Everything that was measured, and what follows from it.

    `measuring` are the metrics and the extractor. Raises `RunError` as `shared_measures` does.
    """
    measures, extractor = shared_measures(entrants)
    models = model_entries(entrants)
    columns = value_columns(entrants, models)
    budget = request.budget
    first = entrants[0].recipe
    environments = list(_environments(entrants))
    if not environments:
        folders = ", ".join(str(path) for each in entrants for path in each.folders.values())
        raise RunError(
            f"no run says what it was made with: each environment.json is damaged or gone in "
            f"{folders}",
            hint="restore one from a copy, or delete it: `ganzoo resume RUN` makes it anew",
        )
    plugins = ChainMap(
        *(each["plugins"] for each in environments),
        versions(component.plugin for component in measuring),
    )
    return {
        "format": FORMAT,
        "title": ", ".join(entrant.recipe.name for entrant in entrants),
        "created": f"{datetime.now():%Y-%m-%dT%H:%M:%S}",
        "command": command,
        "request": request.entry(),
        "ganzoo": version(CORE),
        "device": environments[0]["choices"].get("device", "unknown"),
        "versions": {"torch": environments[0]["torch"], **dict(sorted(plugins.items()))},
        "budget": None
        if budget is None
        else {"kind": budget.kind, "amount": budget.amount, "text": str(budget)},
        "seeds": sorted({seed for entrant in entrants for seed in entrant.folders}),
        "data": {
            "name": first.data.name,
            "sample_shape": list(first.data.spec.sample_shape),
            "num_classes": first.data.spec.num_classes,
            **measures["data"],
        },
        "extractor": extractor,
        "generated": measures["generated"],
        "real": measures["real"],
        "real_from": measures["real_from"],
        "headline": headline_entry(models, columns),
        "columns": columns,
        "models": models,
        "differences": differences(entrants),
        "winners": winners(models, columns),
    }


def _environments(entrants: Sequence[Entrant]) -> Iterator[Environment]:
    """What the runs were made with, but for those that did not get so far or are damaged."""
    for entrant in entrants:
        for path in entrant.folders.values():
            with suppress(RunError):
                if environment := read_json(RunFolder(path).environment, Environment):
                    yield environment


def shared_measures(entrants: Sequence[Entrant]) -> tuple[RunMeasures, ExtractorEntry | None]:
    """The measures of one run, for what holds for all runs, and the extractor of all.

    Raises `RunError` where no run was measured, and where the features of two runs differ.
    """
    outcomes = [each for entrant in entrants for each in entrant.outcomes.values()]
    measures = [each.measures for each in outcomes if each.measures is not None]
    if not measures:
        reasons = sorted({str(each.message) for each in outcomes})
        raise RunError("every run failed: " + "; ".join(reasons))
    extractors = {
        each["extractor"]["name"]: each["extractor"] for each in measures if each["extractor"]
    }
    if len(extractors) > 1:
        raise RunError(
            f"runs were measured in different features: {', '.join(extractors)}",
            hint="a run without its folder measures/ is measured anew; "
            "several machines need one GANZOO_CACHE",
        )
    return measures[0], next(iter(extractors.values()), None)
