"""Checks of metrics.

A metric is shown held-out samples as the real ones, and as generated ones some sets that are
known to be as good or worse:

    equal     the real samples themselves
    training  as many other samples of the same law
    noise     the real samples, more and more of them spoilt
    repeated  one real sample, as often

Samples and features are spoilt by noise that pushes them all to one side, so that they leave
the place where the real ones are, and do not only spread. Probabilities are mixed with the
certainty that all samples are of one class, as they are when a generator collapses.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.random import generator_for
from ganzoo.protocols import Metric
from ganzoo.specs import MetricSpec
from ganzoo.testing.building import Making, ready, streams_at
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.stand_in import give, real, training

NOISE: Mapping[str, float] = {"little noise": 0.1, "more noise": 0.4, "much noise": 1.0}
"""How much is spoilt: noise of so many times `STRENGTH` deviations, or a share that is mixed in."""
STRENGTH = 4
SLACK = 0.05
"""Part of a figure's range over all sets within which it may go the wrong way. Figures of copied
samples start at their floor and reach it again, and figures over random subsets vary a little."""
ROUNDING = 1e-3
"""Part of a figure's range that sums in another order may change."""
CHUNK = 100


@dataclass(frozen=True)
class Trial:
    """The figures of a metric for each of the sets."""

    spec: MetricSpec
    figures: Mapping[str, Mapping[str, float]]
    """By set, by figure."""

    def range(self, figure: str) -> float:
        """Between the least and the largest value over all sets."""
        found = [self.value(figure, name) for name in self.figures]
        found = [value for value in found if math.isfinite(value)]
        return max(found) - min(found) if found else 0.0

    def slack(self, figure: str) -> float:
        """How far a figure may go the wrong way."""
        return SLACK * self.range(figure)

    def value(self, figure: str, name: str) -> float:
        """A figure of a set, not a number where it is left out."""
        return self.figures[name].get(figure, math.nan)

    def loss(self, figure: str, name: str) -> float:
        """A figure of a set with its sign so that more is worse."""
        return self.value(figure, name) * (1 if self.spec.better[figure] == "lower" else -1)


def spoilt(spec: MetricSpec, values: Tensor, level: float) -> Tensor:
    """What the metric reads, `(N, ...)`, worse by a level in [0, 1]."""
    if spec.reads == "probabilities":
        certain = torch.zeros_like(values)
        certain[:, 0] = 1
        return torch.lerp(values, certain, level)
    noise = torch.randn(values.shape, generator=generator_for(0, "kit", "noise")).abs()
    noisy = values + level * STRENGTH * values.std() * noise
    return noisy.clamp(-1, 1) if values.ndim == 4 else noisy


def _spec(made: Making) -> MetricSpec:
    assert isinstance(made.spec, MetricSpec)
    return made.spec


def _readings(made: Making) -> tuple[Tensor, Tensor]:
    """Real samples, and others of the same law, as the metric reads them."""
    return real(_spec(made), made.context), training(_spec(made), made.context)


def _figures(made: Making, real: Tensor, generated: Tensor, *, chunk: int = 1000) -> Any:
    """What a fresh metric computes of samples that are its own."""
    metric: Metric = made.build()
    give(metric, real.clone(), generated.clone(), chunk=chunk)
    return metric.compute()


@functools.lru_cache(maxsize=1)
def trial(subject: Subject) -> Trial:
    """The figures for each of the sets; raises `Skip` where they are not to be had."""
    made = ready(subject)
    spec = _spec(made)
    values, others = _readings(made)
    sets = {"equal": values, "training": others, "repeated": values[:1].expand_as(values)}
    sets |= {name: spoilt(spec, values, level) for name, level in NOISE.items()}
    if not spec.judges_samples:
        # Such metrics may take long, and three sets are enough to see that none of them counts.
        sets = {name: sets[name] for name in ("equal", "training", "much noise")}
    found = {}
    for name, generated in sets.items():
        figures = _figures(made, values, generated)
        try:
            found[name] = {figure: float(value) for figure, value in figures.items()}
        except (AttributeError, TypeError) as error:
            raise Skip("its figures are no numbers; see `named-figures`") from error
    missing = spec.better.keys() - found["equal"].keys()
    if missing:
        raise Skip(f"'{min(missing)}' is missing; see `named-figures`")
    return Trial(spec, found)


@check("metric")
def named_figures(subject: Subject) -> None:
    """A figure that is not finite, or not there, is no mark in a report, and its curve has a hole
    where the model may have been at its best."""
    made = ready(subject)
    spec = _spec(made)
    values, others = _readings(made)
    for generated, which in ((values, "the real ones"), (others, "others of the same law")):
        figures = _figures(made, values, generated)
        if not isinstance(figures, Mapping):
            raise Wrong(f"compute() returns a {type(figures).__name__}; return figures by name")
        for name, value in figures.items():
            _check_figure(spec, name, value, f"where the generated samples are {which}")
        for attribute in ("better", "collapse", "bounds"):
            if missing := getattr(spec, attribute).keys() - figures.keys():
                raise Wrong(
                    f"`{attribute}` names '{min(missing)}', and compute() gives "
                    f"{', '.join(figures) or 'nothing'}; use the names of the figures"
                )
    if strangers := spec.collapse.keys() - spec.better.keys():
        raise Wrong(
            f"`collapse` names '{min(strangers)}', and `better` does not; say in `better` which "
            "way it gets worse"
        )


def _check_figure(spec: MetricSpec, name: Any, value: Any, where: str) -> None:
    if not isinstance(name, str) or not name or set(name) & set("[]\n"):
        raise Wrong(
            f"compute() names a figure {name!r}; take a word without brackets, in which the "
            "features of a figure stand"
        )
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise Wrong(f"'{name}' is a {type(value).__name__}; return a float")
    number = float(value)
    if not math.isfinite(number):
        raise Wrong(
            f"'{name}' is {number} {where}; return a finite number, or leave the figure out"
        )
    least, most = spec.bounds.get(name, (None, None))
    if (least is not None and number < least) or (most is not None and number > most):
        raise Wrong(
            f"'{name}' is {number:.6g} {where}, and its `bounds` are {least} and {most}; widen "
            "them to what it can be"
        )


@check("metric")
def equal_sets(subject: Subject) -> None:
    """A generator that gives samples of the data themselves must not be beaten by a worse one."""
    found = _judged(subject)
    for figure, way in found.spec.better.items():
        best = found.loss(figure, "equal")
        for name in NOISE:
            if found.loss(figure, name) < best - found.slack(figure):
                raise Wrong(
                    f"'{figure}' is {found.value(figure, 'equal'):.4g} for samples equal to the "
                    f"real ones, and {found.value(figure, name):.4g} with {name}, although {way} "
                    "is better; turn `better` round, or leave the figure out of it"
                )


@check("metric")
def noisy_sets(subject: Subject) -> None:
    """Models are ranked by figures that get worse as samples do; one that goes both ways ranks
    them by chance, and one that is said not to look at samples is not taken again for others."""
    if not _spec(ready(subject)).judges_samples:
        _check_that_samples_do_not_count(trial(subject))
        return
    found = _judged(subject)
    for figure, way in found.spec.better.items():
        course = [found.loss(figure, name) for name in NOISE]
        # Comparisons with what is not a number are false.
        if not all(later >= earlier - found.slack(figure) for earlier, later in pairwise(course)):
            values = ", ".join(f"{found.value(figure, name):.4g}" for name in NOISE)
            raise Wrong(
                f"'{figure}' is {values} with {', then '.join(NOISE)}, although {way} is better; "
                "turn `better` round, or leave the figure out of it where it does not say how "
                "good samples are"
            )
    if not any(found.range(figure) for figure in found.spec.better):
        raise Wrong(
            f"{', '.join(found.spec.better)} is the same whatever samples it is given; look at "
            "those with real=False, or write judges_samples: ClassVar[bool] = False"
        )


def _check_that_samples_do_not_count(found: Trial) -> None:
    for figure, value in found.figures["equal"].items():
        for name in found.figures:
            other = found.value(figure, name)
            if not _alike(other, value, 0.0):
                raise Wrong(
                    f"'{figure}' is {value:.4g} for samples equal to the real ones and "
                    f"{other:.4g} for others ({name}); take judges_samples = False out"
                )


def _judged(subject: Subject) -> Trial:
    """A trial of a metric whose figures say how good samples are; raises `Skip` for others."""
    spec = _spec(ready(subject))
    if not spec.judges_samples:
        raise Skip("its figures do not depend on generated samples")
    if not spec.better:
        raise Skip("it says of no figure which way is better")
    return trial(subject)


@check("metric")
def sample_order(subject: Subject) -> None:
    """The order of samples means nothing; it must not decide which of two models is better."""
    found = trial(subject)
    made = ready(subject)
    values, others = _readings(made)
    stream = generator_for(0, "kit", "order")
    for generated, name in ((values, "equal"), (others, "training")):
        mixed = [part[torch.randperm(len(part), generator=stream)] for part in (values, generated)]
        figures = _figures(made, *mixed)
        for figure, value in found.figures[name].items():
            again = float(figures[figure])
            if not _alike(again, value, found.slack(figure)):
                raise Wrong(
                    f"'{figure}' is {value:.4g}, and {again:.4g} where the same samples are given "
                    "in another order; do not pair generated samples with real ones"
                )


@check("metric")
def sample_chunks(subject: Subject) -> None:
    """Samples come a thousand at a time, the last ones fewer: a figure that depends on it changes
    with the number of samples for no reason."""
    found = trial(subject)
    made = ready(subject)
    figures = _figures(made, *_readings(made), chunk=CHUNK)
    for figure, value in found.figures["training"].items():
        again = float(figures[figure])
        if not _alike(again, value, ROUNDING * found.range(figure)):
            raise Wrong(
                f"'{figure}' is {value:.6g}, and {again:.6g} where the same samples are given "
                f"{CHUNK} at a time; take it over all samples, not over those of one update()"
            )


@check("metric")
def metric_input(subject: Subject) -> None:
    """All metrics of a run are given the same tensors: the next one would measure others."""
    made = ready(subject)
    for given in _readings(made):
        metric: Metric = made.build()
        real_ones, generated = given.clone(), given.clone()
        give(metric, real_ones, generated)
        metric.compute()
        if not (torch.equal(real_ones, given) and torch.equal(generated, given)):
            raise Wrong(
                "it changes the samples that it is given; take a copy, or operations without _"
            )


@check("metric")
def metric_seed(subject: Subject) -> None:
    """Measuring must not change what is trained or drawn next, nor depend on what was before."""
    made = ready(subject)
    values, others = _readings(made)
    figures = []
    for seed in (1, 2):
        metric: Metric = made.build()
        with streams_at(seed) as moved:
            give(metric, values.clone(), others.clone())
            figures.append(metric.compute())
            if stream := moved():
                raise Wrong(
                    f"it draws from {stream}; draw from a torch.Generator of its own, with a "
                    "fixed seed"
                )
    first, second = figures
    for figure, value in first.items():
        if not _alike(float(second[figure]), float(value), 0.0):
            raise Wrong(
                f"'{figure}' is {float(value):.6g}, and {float(second[figure]):.6g} when the same "
                "is measured again; draw from a torch.Generator of its own, with a fixed seed"
            )


def _alike(one: float, other: float, slack: float) -> bool:
    """Whether two values of a figure are the same but for rounding and a slack."""
    return (
        one == other
        or (one != one and other != other)
        or (abs(one - other) <= slack + 1e-6 + 1e-4 * abs(other))
    )
