"""Puts sweep.json together from the outcomes of all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ganzoo.comparison.assembly import assemble
from ganzoo.comparison.comparing import Protocol
from ganzoo.comparison.entrants import Entrant
from ganzoo.comparison.models import by_seed, declared
from ganzoo.comparison.request import Request
from ganzoo.errors import RunError
from ganzoo.evaluation.document import ComparisonDocument, ModelEntry
from ganzoo.runs import RunFolder
from ganzoo.sweeps.document import (
    FORMAT,
    BestEntry,
    Identity,
    KeyEntry,
    PointEntry,
    SearchEntry,
    SweepDocument,
)
from ganzoo.sweeps.effects import (
    Measured,
    Metric,
    is_separate,
    main_effects,
    ranked,
    surfaces,
)
from ganzoo.sweeps.headline import Headline
from ganzoo.sweeps.points import Tried
from ganzoo.sweeps.space import Axis, Space, short_names


def assemble_sweep(
    tried: Sequence[Tried],
    space: Space,
    headline: Headline,
    protocol: Protocol,
    identity: Identity,
    request: Request,
    command: str,
    search: SearchEntry | None,
) -> SweepDocument:
    """All that was measured, ranked, and what follows from it; without the best recipe's file.

    Raises `RunError` where no point was measured, or none by the headline.
    """
    ended = [each for each in tried if each.iteration is None]
    entrants = [each.entrant for each in ended]
    comparison = assemble(entrants, protocol.components, request, command)
    names = [column["name"] for column in comparison["columns"]]
    name = headline.full_name(names)
    if name is None:
        raise RunError(
            f"no point was measured by '{headline.name}'",
            hint=f"--metric ranks by another: {', '.join(names)}",
        )
    bounds = declared(entrants, "bounds").get(name, (None, None))
    metric = Metric(name, headline.better, bounds)
    places = _places(entrants, comparison)
    values = {
        each.point.label: by_seed(comparison["models"][place], name)
        for each, place in zip(ended, places, strict=True)
    }
    points = [
        *(
            _ended(each, comparison["models"][place], place, name)
            for each, place in zip(ended, places, strict=True)
        ),
        *(_pruned(each, headline.name) for each in tried if each.iteration is not None),
    ]
    ranked(points, values, metric)
    states = ("done", "failed", "pruned")
    points.sort(key=lambda point: (states.index(point["state"]), point["rank"] or 0))
    axes: Sequence[Axis] = () if search else space.varied
    measured = [
        Measured(point["values"], values[point["label"]])
        for point in points
        if point["state"] == "done"
    ]
    column = comparison["columns"][names.index(name)]
    return {
        "format": FORMAT,
        "title": f"{entrants[0].recipe.name} by {' and '.join(_names(space).values())}",
        "identity": identity,
        "command": command,
        "keys": [_key(axis, space) for axis in space.varied],
        "metric": name,
        "label": column["label"],
        "better": headline.better,
        "meaning": column["meaning"],
        "seeds": comparison["seeds"],
        "points": points,
        "best": _best(points[: len(measured)]),
        "effects": list(main_effects(axes, measured, metric)),
        "surfaces": list(surfaces(axes, measured, metric)),
        "search": search,
        "comparison": comparison,
    }


def _best(done: Sequence[PointEntry]) -> BestEntry | None:
    """The first of the points that are done, still without its recipe."""
    if not done:
        return None
    return {
        "point": 0,
        "separate": len(done) > 1 and is_separate(done[1]["paired"]),
        "recipe": "",
    }


def _places(entrants: Sequence[Entrant], comparison: ComparisonDocument) -> list[int]:
    """For each entrant the place of its model, the one with the recipe's own prior."""
    firsts: dict[str, int] = {}
    for place, model in enumerate(comparison["models"]):
        firsts.setdefault(model["runs"][0]["path"], place)
    return [firsts[each.outcomes[min(each.outcomes)].folder] for each in entrants]


def _ended(tried: Tried, model: ModelEntry, place: int, name: str) -> PointEntry:
    """A point that was trained to its end, still without a rank."""
    summary = model["summaries"].get(name)
    failed = [f"seed {run['seed']}: {run['message']}" for run in model["runs"] if run["message"]]
    if not failed and (summary is None or not math.isfinite(summary["mean"])):
        failed = [f"no finite value of {name}"]
    elif not failed and summary is not None and summary["seeds"] < len(model["runs"]):
        failed = [f"only {summary['seeds']} of {len(model['runs'])} seeds have a value of {name}"]
    return {
        **_entry(tried),
        "state": "failed" if failed else "done",
        "message": "; ".join(failed) or None,
        "summary": summary,
        "model": place,
    }


def _pruned(tried: Tried, name: str) -> PointEntry:
    return {
        **_entry(tried),
        "state": "pruned",
        "message": f"{name} was worse than the median of the others at iteration {tried.iteration}",
        "iteration": tried.iteration,
        "value": tried.value,
    }


def _entry(tried: Tried) -> PointEntry:
    """What is known of any point."""
    return {
        "label": tried.point.label,
        "values": tried.point.settings,
        "state": "done",
        "message": None,
        "rank": None,
        "summary": None,
        "paired": None,
        "model": None,
        "iteration": None,
        "value": None,
        "picture": _newest_picture(tried.entrant),
    }


def _newest_picture(entrant: Entrant) -> str | None:
    """The newest picture of samples of the first seed's run."""
    if not entrant.folders:
        return None
    folder = RunFolder(Path(entrant.folders[min(entrant.folders)])).samples(0).parent
    found = [path for path in folder.glob("*.png") if path.stem.isdecimal()]
    return str(max(found, key=lambda path: int(path.stem))) if found else None


def _names(space: Space) -> dict[str, str]:
    return short_names(space.keys)


def _key(axis: Axis, space: Space) -> KeyEntry:
    span = axis.span
    return {
        "key": axis.key,
        "name": _names(space)[axis.key],
        "values": list(axis.values),
        "low": None if span is None else span.low,
        "high": None if span is None else span.high,
        "log": span is not None and span.log,
    }
