"""Ranks, main effects and surfaces of values that are known."""

from __future__ import annotations

import itertools

import pytest

from ganzoo.comparison.statistics import paired, summary
from ganzoo.sweeps.document import PointEntry
from ganzoo.sweeps.effects import Measured, Metric, is_separate, main_effects, ranked, surfaces
from ganzoo.sweeps.space import Axis

LOWER = Metric("fid", "lower")
HIGHER = Metric("recall", "higher", (0.0, 1.0))
AXES = (Axis("a", ("1", "2")), Axis("b", ("x", "y", "z")))


def value(a: str, b: str, seed: int) -> float:
    """Additive in the keys, with noise that is the same for all points of a seed."""
    return 10 * int(a) + 3 * "xyz".index(b) + 100 * seed


POINTS = [
    Measured({"a": a, "b": b}, {seed: value(a, b, seed) for seed in (0, 1, 2)})
    for a, b in itertools.product("12", "xyz")
]


def point(label: str, mean: float | None, state: str = "done") -> PointEntry:
    entry = None if mean is None else summary([mean - 1, mean + 1])
    return {  # type: ignore[return-value]
        **dict.fromkeys(PointEntry.__annotations__),
        "label": label,
        "values": {},
        "state": state,
        "summary": entry,
    }


@pytest.mark.parametrize("metric", [LOWER, HIGHER])
def test_ranks_follow_the_direction_of_the_metric(metric: Metric) -> None:
    points = [point("p", 2.0), point("q", 1.0), point("r", 0.5, "failed"), point("s", 3.0)]
    values = {
        each["label"]: {0: each["summary"]["mean"] - 1, 1: each["summary"]["mean"] + 1}
        for each in points
        if each["summary"]
    }
    ranked(points, values, metric)
    ranks = [each["rank"] for each in points]
    assert ranks == ([2, 1, None, 3] if metric.better == "lower" else [2, 3, None, 1])
    first = next(each for each in points if each["rank"] == 1)
    assert first["paired"] is None
    # Two seeds that differ alike: the difference is certain, however wide the intervals are.
    assert all(is_separate(each["paired"]) for each in points if each["rank"] in (2, 3))


def test_of_equal_means_the_first_is_better() -> None:
    points = [point("p", 1.0), point("q", 1.0)]
    ranked(points, {"p": {0: 1.0}, "q": {0: 1.0}}, LOWER)
    assert [each["rank"] for each in points] == [1, 2]
    assert not is_separate(points[1]["paired"])


def test_a_main_effect_is_the_mean_over_the_other_keys() -> None:
    a, b = main_effects(AXES, POINTS, LOWER)
    assert (a["key"], a["points"], a["left_out"]) == ("a", 3, 0)
    assert (b["key"], b["points"], b["left_out"]) == ("b", 2, 0)
    assert [level["summary"]["mean"] for level in a["levels"]] == [113, 123]
    assert [level["summary"]["mean"] for level in b["levels"]] == [115, 118, 121]
    assert a["levels"][0]["summary"] == summary([13.0, 113.0, 213.0])
    assert a["levels"][0]["paired"] is None
    # Seeds differ by hundreds, and the key by ten in each: the paired difference is sharp.
    assert a["levels"][1]["paired"] == paired({0: 10, 1: 10, 2: 10}, {0: 0, 1: 0, 2: 0}, "lower")
    assert b["levels"][2]["paired"]["verdict"] == "worse"  # type: ignore[index]


def test_points_without_a_counterpart_take_no_part() -> None:
    (a, b) = main_effects(AXES, POINTS[:-1], LOWER)  # without a=2, b=z, the worst
    assert (a["points"], a["left_out"]) == (2, 1)
    assert [level["summary"]["mean"] for level in a["levels"]] == [111.5, 121.5]
    assert (b["points"], b["left_out"]) == (1, 2)
    assert [level["summary"]["mean"] for level in b["levels"]] == [110, 113, 116]


def test_a_value_whose_points_all_failed_is_left_out() -> None:
    points = [each for each in POINTS if each.settings["b"] != "y"]
    _, b = main_effects(AXES, points, LOWER)
    assert [level["value"] for level in b["levels"]] == ["x", "z"]
    points = [each for each in POINTS if each.settings["a"] == "1"]
    assert [effect["key"] for effect in main_effects(AXES, points, LOWER)] == ["b"]


def test_intervals_stay_within_what_the_metric_can_be() -> None:
    points = [Measured({"a": a}, {0: 0.0, 1: 1.0}) for a in "12"]
    (effect,) = main_effects(AXES[:1], points, HIGHER)
    entry = effect["levels"][0]["summary"]
    assert (entry["low"], entry["high"]) == (0.0, 1.0)


def test_the_surface_of_two_keys_is_the_grid() -> None:
    (surface,) = surfaces(AXES, POINTS[:-1], LOWER)
    assert (surface["rows"], surface["columns"], surface["points"]) == ("b", "a", 1)
    means = [[cell and cell["mean"] for cell in row] for row in surface["cells"]]
    assert means == [[110, 120], [113, 123], [116, None]]


def test_with_more_keys_each_pair_is_averaged_over_the_others() -> None:
    axes = (*AXES, Axis("c", ("0", "1")))
    points = [
        Measured(
            {**each.settings, "c": c}, {seed: v + 1000 * int(c) for seed, v in each.values.items()}
        )
        for each in POINTS
        for c in "01"
    ]
    found = list(surfaces(axes, points, LOWER))
    assert [(each["rows"], each["columns"]) for each in found] == [
        ("b", "a"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert found[0]["points"] == 2
    cell = found[0]["cells"][0][0]
    assert cell is not None
    assert cell["mean"] == 610


def test_nothing_is_said_of_nothing() -> None:
    assert list(main_effects(AXES, [], LOWER)) == []
    assert list(surfaces(AXES, [], LOWER)) == []
