"""What a handful of seeds can tell: means, intervals, paired differences.

Intervals are 95 % bootstrap intervals of the mean over seeds, from the quantiles of resampled
means. From few values such intervals are much too narrow, so they are widened around the mean by
the factor by which an interval of Student's t is wider than one of the plain bootstrap:
sqrt(n / (n - 1)) t(n - 1) / t(infinity), which is 9.2 for two seeds, 2.7 for three and 1.6 for
five (Hesterberg 2015, doi:10.1080/00031305.2015.1089789, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm, t

LEVEL = 0.95
RESAMPLES = 10_000


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Bounds of the 95 % interval of the mean, or None for fewer than two values.

    The same values give the same bounds, in whatever order.
    """
    sample = np.sort(np.asarray(values, dtype=np.float64))
    count = len(sample)
    if count < 2:
        return None
    chosen = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    means = sample[chosen].mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = sample.mean()
    widening = math.sqrt(count / (count - 1)) * t.ppf(1 - tail, count - 1) / norm.ppf(1 - tail)
    return float(mean + widening * (low - mean)), float(mean + widening * (high - mean))


def summary(
    values: Sequence[float], within: Sequence[float | None] = (None, None)
) -> dict[str, Any]:
    """`mean`, `std` (of the sample), `low`, `high` and the number of `seeds`; None where unknown.

    The interval ends where `within`, the least and the most that the figure can be, ends. Values
    that are not finite make the mean what it is and the interval unknown.
    """
    finite = all(math.isfinite(value) for value in values)
    found = interval(values) if finite else None
    least, most = (
        unbounded if bound is None else bound
        for bound, unbounded in zip(within, (-math.inf, math.inf), strict=True)
    )
    # fsum gives the same sum in whatever order.
    total = math.fsum(values) if finite else sum(values)
    return {
        "mean": total / len(values),
        "std": float(np.std(np.sort(values), ddof=1)) if finite and len(values) > 1 else None,
        "low": max(found[0], least) if found else None,
        "high": min(found[1], most) if found else None,
        "seeds": len(values),
    }


def paired(
    model: Mapping[int, float], reference: Mapping[int, float], better: str | None
) -> dict[str, Any] | None:
    """How a model differs from the reference at the same seeds, or None where they share none.

    `difference` is the mean of model - reference with its interval; `verdict` is `better` or
    `worse` where the interval lies on one side of zero, else `no difference shown`, which is
    also the verdict for one seed and None for figures that have no better.
    """
    seeds = sorted(set(model) & set(reference))
    if not seeds:
        return None
    found = summary([model[seed] - reference[seed] for seed in seeds])
    verdict = None
    if better is not None:
        verdict = "no difference shown"
        if found["low"] is not None and (found["low"] > 0 or found["high"] < 0):
            verdict = "better" if (found["high"] < 0) == (better == "lower") else "worse"
    return {
        "difference": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "verdict": verdict,
        "seeds": len(seeds),
    }


def winner(summaries: Mapping[str, Mapping[str, Any]], better: str) -> str | None:
    """The name whose interval lies clear of all others on the better side, or None."""
    if len(summaries) < 2 or any(each["low"] is None for each in summaries.values()):
        return None
    sign = 1 if better == "lower" else -1
    best = min(summaries, key=lambda name: sign * summaries[name]["mean"])
    edge = sign * summaries[best]["high" if better == "lower" else "low"]
    clear = all(
        edge < sign * each["low" if better == "lower" else "high"]
        for name, each in summaries.items()
        if name != best
    )
    return best if clear else None
