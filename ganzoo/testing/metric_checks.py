"""Checks of metrics.

A metric is given held-out samples as the real ones, and as generated ones some sets that are
known to be as good or worse:

    equal     the real samples themselves
    training  as many other samples of the same distribution
    noise     the real samples, with more and more noise
    repeated  one real sample, as often

The noise of samples and features pushes them all to one side, so that they leave the place where
the real ones are, and do not only spread. Probabilities are mixed with the certainty that all
samples are of one class, as they are when a generator collapses.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.random import generator_for
from ganzoo.specs import MetricSpec
from ganzoo.testing.bench import Bench, Reading
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.effects import streams_at

NOISE: Mapping[str, float] = {"little noise": 0.1, "more noise": 0.4, "much noise": 1.0}
"""Levels: noise of so many times `STRENGTH` deviations, or a share that is mixed in."""
STRENGTH = 4
SLACK = 0.05
"""Part of a value's range over all sets within which it may go the wrong way. Values of copied
samples start at their floor and reach it again, and values over random subsets vary a little."""
ROUNDING = 1e-3
"""Part of a value's range that sums in another order may change."""
CHUNK = 100
UNDIRECTED = "it says of no value which way is better"

Values = Mapping[str, float]


def noisy(spec: MetricSpec, values: Tensor, level: float) -> Tensor:
    """What the metric reads, `(N, ...)`, worse by a level in [0, 1]."""
    if spec.reads == "probabilities":
        certain = torch.zeros_like(values)
        certain[:, 0] = 1
        return torch.lerp(values, certain, level)
    noise = torch.randn(values.shape, generator=generator_for(0, "kit", "noise")).abs()
    worse = values + level * STRENGTH * values.std() * noise
    return worse.clamp(-1, 1) if values.ndim == 4 else worse


def _spec(bench: Bench) -> MetricSpec:
    assert isinstance(bench.spec, MetricSpec)
    return bench.spec


def at(reading: Reading, places: Tensor) -> Reading:
    """Some of the samples of a reading, in another order perhaps."""
    return Reading(reading.values[places], reading.labels[places])


class Comparison:
    """The values of a metric for each of the sets; raises `Skip` where they are not to be had."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.spec, real = bench, _spec(bench), bench.reading()
        sets = {"equal": real, "training": bench.reading(training=True)}
        sets["repeated"] = at(real, torch.zeros(len(real.values), dtype=torch.int64))
        for name, level in NOISE.items():
            sets[name] = Reading(noisy(self.spec, real.values, level), real.labels)
        if not self.spec.judges_samples:
            # Such metrics may take long, and three sets are enough to see that none of them counts.
            sets = {name: sets[name] for name in ("equal", "training", "much noise")}
        self.values: dict[str, Values] = {}
        for name, generated in sets.items():
            values = bench.measure(generated)
            try:
                self.values[name] = {key: float(value) for key, value in values.items()}
            except (AttributeError, TypeError) as error:
                raise Skip("its values are no numbers; see `named-values`") from error
        if missing := self.spec.better.keys() - self.values["equal"].keys():
            raise Skip(f"'{min(missing)}' is missing; see `named-values`")

    def value(self, key: str, name: str) -> float:
        """A value of a set, not a number where it is left out."""
        return self.values[name].get(key, math.nan)

    def loss(self, key: str, name: str) -> float:
        """The same with its sign so that more is worse."""
        return self.value(key, name) * (1 if self.spec.better[key] == "lower" else -1)

    def range(self, key: str) -> float:
        """Between the least and the largest value over all sets."""
        values = [self.value(key, name) for name in self.values]
        values = [value for value in values if math.isfinite(value)]
        return max(values) - min(values) if values else 0.0


@functools.lru_cache(maxsize=1)
def compared(subject: Subject) -> list[Comparison]:
    """The values of a metric for each of the sets."""
    return [Comparison(first(subject)[0])]


@check("metric", on=first)
def named_values(bench: Bench) -> None:
    """A value that is not finite, or not there, is no mark in a report, and its curve has a hole
    where the model may have been at its best."""
    spec = _spec(bench)
    for training, which in ((False, "the real ones"), (True, "others of the same distribution")):
        values = bench.measure(bench.reading(training=training))
        if not isinstance(values, Mapping):
            raise Wrong(f"compute() returns a {type(values).__name__}; return values by name")
        for name, value in values.items():
            _check_value(spec, name, value, f"where the generated samples are {which}")
        for attribute in ("better", "collapse", "bounds"):
            if missing := getattr(spec, attribute).keys() - values.keys():
                raise Wrong(
                    f"`{attribute}` names '{min(missing)}', and compute() gives "
                    f"{', '.join(values) or 'nothing'}; use the names of the values"
                )
    if strangers := spec.collapse.keys() - spec.better.keys():
        raise Wrong(
            f"`collapse` names '{min(strangers)}', and `better` does not; say in `better` which "
            "way it gets worse"
        )


def _check_value(spec: MetricSpec, name: Any, value: Any, where: str) -> None:
    if not isinstance(name, str) or not name or set(name) & set("[]\n"):
        raise Wrong(
            f"compute() names a value {name!r}; take a word without brackets, in which the "
            "features of a value stand"
        )
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise Wrong(f"'{name}' is a {type(value).__name__}; return a float")
    number = float(value)
    if not math.isfinite(number):
        raise Wrong(f"'{name}' is {number} {where}; return a finite number, or leave the value out")
    least, most = spec.bounds.get(name, (None, None))
    if (least is not None and number < least) or (most is not None and number > most):
        raise Wrong(
            f"'{name}' is {number:.6g} {where}, and its `bounds` are {least} and {most}; widen "
            "them to what it can be"
        )


@check("metric", on=compared)
def equal_sets(sets: Comparison) -> None:
    """A generator that gives samples of the data themselves must not be beaten by a worse one."""
    if not sets.spec.judges_samples:
        raise Skip("its values do not depend on generated samples")
    if not sets.spec.better:
        raise Skip(UNDIRECTED)
    for key, way in sets.spec.better.items():
        for name in NOISE:
            if sets.loss(key, name) < sets.loss(key, "equal") - SLACK * sets.range(key):
                raise Wrong(
                    f"'{key}' is {sets.value(key, 'equal'):.4g} for samples equal to the real "
                    f"ones, and {sets.value(key, name):.4g} with {name}, although {way} is "
                    "better; turn `better` round, or leave the value out of it"
                )


@check("metric", on=compared)
def noisy_sets(sets: Comparison) -> None:
    """Models are ranked by values that get worse as samples do; one that goes both ways ranks
    them by chance, and one that is said not to look at samples is not taken again for others."""
    if not sets.spec.judges_samples:
        _check_that_samples_do_not_count(sets)
        return
    if not sets.spec.better:
        raise Skip(UNDIRECTED)
    for key, way in sets.spec.better.items():
        losses = [sets.loss(key, name) for name in NOISE]
        # Comparisons with what is not a number are false.
        if not all(b >= a - SLACK * sets.range(key) for a, b in pairwise(losses)):
            values = ", ".join(f"{sets.value(key, name):.4g}" for name in NOISE)
            raise Wrong(
                f"'{key}' is {values} with {', then '.join(NOISE)}, although {way} is better; "
                "turn `better` round, or leave the value out of it where it does not say how good "
                "samples are"
            )
    if not any(sets.range(key) for key in sets.spec.better):
        raise Wrong(
            f"{', '.join(sets.spec.better)} is the same whatever samples it is given; look at "
            "those with real=False, or write judges_samples: ClassVar[bool] = False"
        )


def _check_that_samples_do_not_count(sets: Comparison) -> None:
    for key, value in sets.values["equal"].items():
        for name in sets.values:
            other = sets.value(key, name)
            if not _alike(other, value, 0.0):
                raise Wrong(
                    f"'{key}' is {value:.4g} for samples equal to the real ones and {other:.4g} "
                    f"for others ({name}); take judges_samples = False out"
                )


@check("metric", on=compared)
def sample_order(sets: Comparison) -> None:
    """The order of samples means nothing; it must not decide which of two models is better."""
    real, stream = sets.bench.reading(), generator_for(0, "kit", "order")
    for training, name in ((False, "equal"), (True, "training")):
        generated = sets.bench.reading(training=training)
        mixed = [
            at(reading, torch.randperm(len(reading.values), generator=stream))
            for reading in (generated, real)
        ]
        values = sets.bench.measure(*mixed)
        for key, value in sets.values[name].items():
            if not _alike(float(values[key]), value, SLACK * sets.range(key)):
                raise Wrong(
                    f"'{key}' is {value:.4g}, and {float(values[key]):.4g} where the same samples "
                    "are given in another order; do not pair generated samples with real ones"
                )


@check("metric", on=compared)
def sample_chunks(sets: Comparison) -> None:
    """Samples come a thousand at a time, the last ones fewer: a value that depends on it changes
    with the number of samples for no reason."""
    values = sets.bench.measure(sets.bench.reading(training=True), chunk=CHUNK)
    for key, value in sets.values["training"].items():
        if not _alike(float(values[key]), value, ROUNDING * sets.range(key)):
            raise Wrong(
                f"'{key}' is {value:.6g}, and {float(values[key]):.6g} where the same samples are "
                f"given {CHUNK} at a time; take it over all samples, not over those of one update()"
            )


@check("metric", on=first)
def metric_input(bench: Bench) -> None:
    """All metrics of a run are given the same tensors: the next one would measure others."""
    for training in (False, True):
        kept = bench.reading(training=training)
        values, metric = kept.values.clone(), bench.build()
        for real in (True, False):
            labels = kept.labels if real or bench.conditional else None
            metric.update(values, real=real, labels=labels)
        metric.compute()
        if not torch.equal(values, kept.values):
            raise Wrong(
                "it changes the samples that it is given; take a copy, or operations without _"
            )


@check("metric", on=first)
def metric_seed(bench: Bench) -> None:
    """Measuring must not change what is trained or drawn next, nor depend on what was before."""
    generated, measured = bench.reading(training=True), []
    for seed in (1, 2):
        real, metric = bench.reading(), bench.build()
        with streams_at(seed) as moved:
            measured.append(bench.measure(generated, real, metric=metric))
            if stream := moved():
                raise Wrong(
                    f"it draws from {stream}; draw from a torch.Generator of its own, with a fixed "
                    "seed"
                )
    for key, value in measured[0].items():
        if not _alike(float(measured[1][key]), float(value), 0.0):
            raise Wrong(
                f"'{key}' is {float(value):.6g}, and {float(measured[1][key]):.6g} when the same "
                "is measured again; draw from a torch.Generator of its own, with a fixed seed"
            )


def _alike(one: float, other: float, slack: float) -> bool:
    """Whether two values are the same but for rounding and a slack."""
    same = one == other or (one != one and other != other)
    return same or abs(one - other) <= slack + 1e-6 + 1e-4 * abs(other)
