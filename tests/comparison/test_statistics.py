"""Closed forms of the statistics, and how often their intervals hold what they should."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from ganzoo.comparison.statistics import interval, paired, summary, winner
from ganzoo.evaluation.document import Summary

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6)


def factor(count: int) -> float:
    """By how much an interval is widened, written down independently of the code."""
    return math.sqrt(count / (count - 1)) * t(count - 1).ppf(0.975) / norm.ppf(0.975)


def bounds(low: float, high: float, mean: float) -> Summary:
    return {"mean": mean, "std": 1.0, "low": low, "high": high, "seeds": 2}


def test_widening_is_what_the_docstring_says() -> None:
    assert [round(factor(count), 1) for count in (2, 3, 5)] == [9.2, 2.7, 1.6]


def test_two_values_have_the_ends_of_the_bootstrap_widened() -> None:
    # Means of resampled pairs are 1, 2 and 3 with probabilities 1/4, 1/2 and 1/4.
    assert interval([3.0, 1.0]) == pytest.approx((2 - factor(2), 2 + factor(2)))


def test_three_values_reach_to_either_side_by_their_own_distance() -> None:
    # The smallest mean is that of three times the smallest value, with 1/27 > 2.5 %.
    assert interval([0.0, 1.0, 5.0]) == pytest.approx((2 - 2 * factor(3), 2 + 3 * factor(3)))


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_interval(values: list[float]) -> None:
    assert interval(values) is None


def test_one_seed_has_a_mean_and_nothing_else() -> None:
    assert summary([4.0]) == {"mean": 4.0, "std": None, "low": None, "high": None, "seeds": 1}


def test_summary_in_closed_form() -> None:
    result = summary([1.0, 3.0])
    assert (result["mean"], result["std"], result["seeds"]) == (2.0, math.sqrt(2), 2)
    assert (result["low"], result["high"]) == interval([1.0, 3.0])


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_count(values: list[float], shuffle: random.Random) -> None:
    others = list(values)
    shuffle.shuffle(others)
    assert summary(others) == summary(values)


@given(VALUES)
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    result = summary(values)
    assert result["low"] <= result["mean"] + 1e-6
    assert result["high"] >= result["mean"] - 1e-6


@given(VALUES, st.sampled_from([0.25, 2.0, 8.0]), st.integers(-100, 100))
def test_the_interval_follows_a_change_of_units(
    values: list[float], scale: float, shift: int
) -> None:
    result = interval(values)
    moved = interval([scale * value + shift for value in values])
    assert result is not None
    assert moved == pytest.approx([scale * bound + shift for bound in result], rel=1e-6, abs=1e-5)


def test_an_interval_ends_at_the_bounds_of_the_value() -> None:
    free = summary([0.2, 0.8])
    assert (free["low"] < 0, free["high"] > 1) == (True, True)
    assert summary([0.2, 0.8], (0, 1)) == free | {"low": 0, "high": 1}
    assert summary([0.2, 0.8], (0, None)) == free | {"low": 0}
    assert summary([0.2, 0.8], (None, 1)) == free | {"high": 1}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_intervals_of_normal_seeds_hold_the_true_mean_about_as_often_as_they_say(
    count: int,
) -> None:
    draws = np.random.default_rng(count).normal(7.0, 3.0, (500, count))
    result = [interval(values) for values in draws]
    share = sum(low <= 7.0 <= high for low, high in filter(None, result)) / len(draws)
    assert 0.90 < share < 0.99


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_leave_the_interval_unknown(wrong: float) -> None:
    result = summary([1.0, wrong, 2.0])
    assert result["mean"] == pytest.approx(wrong, nan_ok=True)
    assert (result["std"], result["low"], result["high"], result["seeds"]) == (None, None, None, 3)


def test_infinities_of_both_signs_have_no_mean_and_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    assert math.isnan(summary([math.inf, -math.inf])["mean"])
    assert not recwarn.list


# Differences at equal seeds.


def test_a_difference_is_taken_at_equal_seeds() -> None:
    model, reference = {0: 11.0, 1: 22.0, 2: 33.0, 7: 1.0}, {2: 30.0, 1: 20.0, 0: 10.0, 8: 5.0}
    result = paired(model, reference, "lower")
    assert result is not None
    assert (result["difference"], result["seeds"]) == (2.0, 3)
    assert (result["low"], result["high"]) == interval([1.0, 2.0, 3.0])


def test_seeds_that_vary_much_do_not_hide_a_steady_difference() -> None:
    model, reference = {0: 1.0, 1: 100.9, 2: 51.1}, {0: 2.0, 1: 102.0, 2: 52.0}
    assert paired(model, reference, "lower")["verdict"] == "better"  # type: ignore[index]
    assert paired(model, reference, "higher")["verdict"] == "worse"  # type: ignore[index]
    assert paired(reference, model, "lower")["verdict"] == "worse"  # type: ignore[index]
    assert paired(reference, model, "higher")["verdict"] == "better"  # type: ignore[index]


def test_two_seeds_with_different_winners_show_no_difference() -> None:
    result = paired({0: 1.0, 1: 9.0}, {0: 2.0, 1: 8.0}, "lower")
    assert result is not None
    assert result["difference"] == 0
    assert result["verdict"] == "no significant difference"


def test_two_seeds_with_one_winner_by_unsteady_margins_show_no_difference() -> None:
    result = paired({0: 1.0, 1: 5.0}, {0: 2.0, 1: 8.0}, "lower")
    assert result is not None
    assert result["verdict"] == "no significant difference"


def test_one_seed_shows_no_difference() -> None:
    assert paired({0: 1.0}, {0: 100.0}, "lower") == {
        "difference": -99.0,
        "low": None,
        "high": None,
        "verdict": "no significant difference",
        "seeds": 1,
    }


def test_a_value_without_a_better_direction_has_no_verdict() -> None:
    result = paired({0: 1.0, 1: 1.1, 2: 1.2}, {0: 9.0, 1: 9.1, 2: 9.2}, None)
    assert result is not None
    assert result["verdict"] is None
    assert result["high"] < 0


def test_models_without_a_seed_in_common_are_not_paired() -> None:
    assert paired({0: 1.0}, {1: 1.0}, "lower") is None
    assert paired({}, {0: 1.0}, "lower") is None


def test_a_difference_that_is_no_number_shows_nothing() -> None:
    result = paired({0: math.nan, 1: 1.0}, {0: 1.0, 1: 2.0}, "lower")
    assert result is not None
    assert result["verdict"] == "no significant difference"
    assert result["low"] is None


# Winners.


def test_the_winner_lies_clear_of_all_others() -> None:
    models = {"a": bounds(1, 2, 1.5), "b": bounds(3, 4, 3.5), "c": bounds(5, 9, 7)}
    assert winner(models, "lower") == "a"
    assert winner(models, "higher") == "c"


def test_there_is_no_winner_where_intervals_overlap_or_touch() -> None:
    assert winner({"a": bounds(1, 3.5, 2), "b": bounds(3, 4, 3.6)}, "lower") is None
    assert winner({"a": bounds(1, 3, 2), "b": bounds(3, 4, 3.6)}, "lower") is None
    assert winner({"a": bounds(1, 3, 2), "b": bounds(3, 4, 3.6)}, "higher") is None


def test_the_best_mean_wins_nothing_beside_a_wide_interval() -> None:
    models = {"a": bounds(1, 2, 1.5), "b": bounds(3, 4, 3.5), "c": bounds(0, 20, 10)}
    assert winner(models, "lower") is None


def test_the_others_need_not_be_clear_of_each_other() -> None:
    models = {"a": bounds(1, 2, 1.5), "b": bounds(3, 8, 5), "c": bounds(4, 9, 6)}
    assert winner(models, "lower") == "a"


def test_there_is_no_winner_without_intervals_or_without_rivals() -> None:
    one_seed = summary([1.0])
    assert winner({"a": one_seed, "b": bounds(3, 4, 3.5)}, "lower") is None
    assert winner({"a": bounds(1, 2, 1.5)}, "lower") is None
    assert winner({}, "lower") is None
