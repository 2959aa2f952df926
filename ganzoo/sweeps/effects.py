"""From the values of points to ranks, main effects and surfaces over two keys."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ganzoo.comparison.statistics import paired, summary
from ganzoo.evaluation.document import Bounds, Direction, Paired
from ganzoo.sweeps.document import EffectEntry, LevelEntry, PointEntry, SurfaceEntry
from ganzoo.sweeps.space import Axis


@dataclass(frozen=True)
class Metric:
    """The value by which points are ranked."""

    name: str
    """Full name: `fid[classifier@3f2a]`."""
    better: Direction
    bounds: Bounds = (None, None)


Values = Mapping[int, float]
"""A value by seed."""


@dataclass(frozen=True)
class Measured:
    """A point all of whose runs were measured."""

    settings: Mapping[str, str]
    """The varied keys and their values."""
    values: Values


def ranked(points: Sequence[PointEntry], values: Mapping[str, Values], metric: Metric) -> None:
    """Give the points that are done their ranks and their differences from the best one.

    `values` are those of each point, by label. Of equal means the earlier point is the better.
    """
    sign = 1 if metric.better == "lower" else -1
    done = [
        (sign * point["summary"]["mean"], place)
        for place, point in enumerate(points)
        if point["state"] == "done" and point["summary"]
    ]
    order = [points[place] for _, place in sorted(done)]
    for rank, point in enumerate(order, start=1):
        point["rank"] = rank
        if rank > 1:
            own, best = values[point["label"]], values[order[0]["label"]]
            point["paired"] = paired(own, best, metric.better)


def is_separate(difference: Paired | None) -> bool:
    """Whether a point is worse than the best at equal seeds."""
    return difference is not None and difference["verdict"] == "worse"


def main_effects(
    axes: Sequence[Axis], points: Sequence[Measured], metric: Metric
) -> Iterator[EffectEntry]:
    """The main effect of each key of a grid.

    A value of the key is averaged over those settings of the other keys at which all values of the
    key are done, so that no value has easier company than another. The mean is taken for each seed,
    and its interval over the seeds.
    """
    for axis in axes:
        table = _table([axis.key], points)
        matched = _matched(table)
        levels: list[LevelEntry] = []
        first: Values = {}
        for value in axis.values:
            if (value,) not in table or not matched:
                continue
            by_seed = _mean(table[value,], matched)
            first = first or by_seed
            levels.append(
                {
                    "value": value,
                    "summary": summary(list(by_seed.values()), metric.bounds),
                    "paired": paired(by_seed, first, metric.better) if levels else None,
                }
            )
        if len(levels) > 1:
            yield {
                "key": axis.key,
                "points": len(matched),
                "left_out": len(points) - len(matched) * len(levels),
                "levels": levels,
            }


def surfaces(
    axes: Sequence[Axis], points: Sequence[Measured], metric: Metric
) -> Iterator[SurfaceEntry]:
    """The metric over each two keys of a grid, averaged over the others as in `main_effects`."""
    for first, second in itertools.combinations(axes, 2):
        # The longer one down the page, which is narrow.
        rows, columns = sorted((first, second), key=lambda axis: -len(axis.values))
        table = _table([rows.key, columns.key], points)
        if not (matched := _matched(table)):
            continue
        yield {
            "rows": rows.key,
            "columns": columns.key,
            "row_values": list(rows.values),
            "column_values": list(columns.values),
            "points": len(matched),
            "cells": [
                [
                    summary(list(_mean(table[pair], matched).values()), metric.bounds)
                    if (pair := (row, column)) in table
                    else None
                    for column in columns.values
                ]
                for row in rows.values
            ],
        }


Others = tuple[tuple[str, str], ...]
"""The other keys and their values."""


def _table(
    keys: Sequence[str], points: Sequence[Measured]
) -> dict[tuple[str, ...], dict[Others, Values]]:
    """The points by their values of some keys, and then by those of the others."""
    table: dict[tuple[str, ...], dict[Others, Values]] = {}
    for point in points:
        here = tuple(point.settings[key] for key in keys)
        others = tuple((key, value) for key, value in point.settings.items() if key not in keys)
        table.setdefault(here, {})[others] = point.values
    return table


def _matched(table: Mapping[tuple[str, ...], Mapping[Others, Values]]) -> list[Others]:
    """The settings of the other keys that are there everywhere."""
    rows = list(table.values())
    return [others for others in rows[0] if all(others in row for row in rows)] if rows else []


def _mean(row: Mapping[Others, Values], matched: Sequence[Others]) -> dict[int, float]:
    """For each seed, the mean over settings of the other keys."""
    seeds = row[matched[0]]
    return {seed: math.fsum(row[each][seed] for each in matched) / len(matched) for seed in seeds}
