"""Inference from few seeds: means, confidence intervals, paired differences.

Intervals are 95 % percentile bootstrap intervals of the mean over seeds. For few values these are
much too narrow, so they are widened around the mean by the factor by which the interval of
Student's t is wider than that of the bootstrap:
sqrt(n / (n - 1)) t(n - 1) / t(infinity), which is 9.2 for two seeds, 2.7 for three and 1.6 for
five (Hesterberg 2015, doi:10.1080/00031305.2015.1089789, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.stats import norm, t

from ganzoo.evaluation.document import Bounds, Direction, Paired, Summary

LEVEL = 0.95
RESAMPLES = 10_000


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Bounds of the 95 % interval of the mean, or None for fewer than two values.

    The bounds do not depend on the order of the values.
    """
    sample = np.sort(np.asarray(values, dtype=np.float64))
    count = len(sample)
    if count < 2:
        return None
    resamples = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    means = sample[resamples].mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = sample.mean()
    widening = math.sqrt(count / (count - 1)) * t.ppf(1 - tail, count - 1) / norm.ppf(1 - tail)
    return float(mean + widening * (low - mean)), float(mean + widening * (high - mean))


def summary(values: Sequence[float], within: Bounds = (None, None)) -> Summary:
    """Mean, standard deviation and interval of a value over seeds, at least one.

    The interval is cut off at `within`, the least and the most that the value can be. Values that
    are not finite make the mean NaN or infinite, and leave deviation and interval unknown.
    """
    finite = all(math.isfinite(value) for value in values)
    bounds = interval(values) if finite else None
    least, most = (
        unbounded if bound is None else bound
        for bound, unbounded in zip(within, (-math.inf, math.inf), strict=True)
    )
    # fsum gives the same sum in whatever order.
    total = math.fsum(values) if finite else sum(values)
    return {
        "mean": total / len(values),
        "std": float(np.std(np.sort(values), ddof=1)) if finite and len(values) > 1 else None,
        "low": max(bounds[0], least) if bounds else None,
        "high": min(bounds[1], most) if bounds else None,
        "seeds": len(values),
    }


def paired(
    model: Mapping[int, float], reference: Mapping[int, float], better: Direction | None
) -> Paired | None:
    """The difference of a model from the reference at equal seeds, or None without common seeds.

    Both are values by seed. The verdict is `better` or `worse` where the interval of the mean
    difference excludes zero, else, as for one seed, `no significant difference`. It is None for
    values of which no direction is better.
    """
    seeds = sorted(set(model) & set(reference))
    if not seeds:
        return None
    difference = summary([model[seed] - reference[seed] for seed in seeds])
    low, high = difference["low"], difference["high"]
    verdict: Literal["better", "worse", "no significant difference"] | None = None
    if better is not None:
        verdict = "no significant difference"
        if low is not None and high is not None and (low > 0 or high < 0):
            verdict = "better" if (high < 0) == (better == "lower") else "worse"
    return {
        "difference": difference["mean"],
        "low": low,
        "high": high,
        "verdict": verdict,
        "seeds": len(seeds),
    }


def separate(one: Summary, other: Summary, better: Direction) -> bool:
    """Whether the interval of one mean lies wholly on the better side of another's."""
    if one["low"] is None or one["high"] is None or other["low"] is None or other["high"] is None:
        return False
    return one["high"] < other["low"] if better == "lower" else other["high"] < one["low"]


def winner(summaries: Mapping[str, Summary], better: Direction) -> str | None:
    """The name whose interval is separate from all others on the better side, or None."""
    if len(summaries) < 2:
        return None
    for name, each in summaries.items():
        others = (other for label, other in summaries.items() if label != name)
        if all(separate(each, other, better) for other in others):
            return name
    return None
