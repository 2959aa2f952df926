"""Figures of a run by metrics: at the end, on the way there, and where each was best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ganzoo.engine.context import build_context, context_for
from ganzoo.engine.data import Data
from ganzoo.engine.random import generator_for
from ganzoo.engine.sampling import Sampler
from ganzoo.evaluation.classifier import take
from ganzoo.evaluation.extractors import Seen
from ganzoo.evaluation.features import Features, real_samples
from ganzoo.protocols import Metric
from ganzoo.recipe import Component, Recipe
from ganzoo.recipe.settings import Evaluate
from ganzoo.runs import RunFolder
from ganzoo.specs import MetricSpec

CHUNK = 1000
"""Samples that a metric is given at once."""
LEAST_HELD = 0.1
"""The least that a figure of which more is better must have been for its fall to be a collapse."""

Metrics = Sequence[Component[MetricSpec]]


def measure(
    recipe: Recipe,
    folder: RunFolder,
    metrics: Metrics,
    *,
    evaluate: Evaluate | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a trained run at each of its snapshots.

    Each metric sees `evaluate.samples` generated samples and as many held-out real ones (fewer
    where the data set holds out fewer; training samples where it holds out none). `evaluate` is
    the recipe's own by default; a comparison measures all runs with one. Plain data:

        extractor   name, kind, digest and note of the features
        data        how many samples there are to train on and held out
        generated, real, real_from   how many samples, and which real ones
        prior, iteration, figures    of the end: the headline
        course      [{iteration, figures}] at the snapshots, the end among them
        best        by figure: {value, iteration}
        better      by figure: higher or lower
        bounds      by figure: (least, most), None where there is none
        collapse    [sentences]: what was much better on the way than at the end
        other_prior {prior, figures} where the run has a mixture fitted to codes
    """
    evaluate = evaluate or recipe.evaluate
    measuring = _Measuring(recipe, folder, metrics, evaluate)
    course = []
    for iteration in folder.snapshots() or [recipe.train.iterations]:
        tell(f"measuring {folder.path} after {iteration} iterations")
        course.append({"iteration": iteration, "figures": measuring.figures(iteration)})
    final: dict[str, float] = course[-1]["figures"]  # type: ignore[assignment]
    best = best_of(course, measuring.better)
    features = measuring.features
    result: dict[str, Any] = {
        "extractor": None
        if features is None
        else {
            "name": features.extractor.name,
            "kind": features.extractor.kind,
            "digest": features.extractor.digest,
            "note": features.extractor.note,
        },
        "data": {
            "train": len(measuring.data.train),
            "held_out": 0 if measuring.data.held_out is None else len(measuring.data.held_out),
        },
        "generated": evaluate.samples,
        "real": min(evaluate.samples, len(real_samples(measuring.data))),
        "real_from": "train" if measuring.data.held_out is None else "held out",
        "prior": recipe.prior.distribution,
        "iteration": course[-1]["iteration"],
        "figures": final,
        "course": course,
        "best": best,
        "better": measuring.better,
        "bounds": measuring.bounds,
        "collapse": collapse(final, best, measuring.better, measuring.limits),
    }
    if folder.weights("prior").exists():
        prior = "mixture" if recipe.prior.distribution == "latent" else "latent"
        tell(f"measuring {folder.path} with latents from the prior '{prior}'")
        figures = measuring.figures(recipe.train.iterations, prior)
        result["other_prior"] = {"prior": prior, "figures": {**final, **figures}}
    return result


class _Measuring:
    """What is built once to measure all snapshots of a run."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, metrics: Metrics, evaluate: Evaluate
    ) -> None:
        self.recipe, self.folder, self.evaluate = recipe, folder, evaluate
        self.context = build_context(recipe)
        self.data: Data = recipe.data.spec.build(self.context)
        self.sampler = Sampler(recipe, folder, data=self.data)
        # Built before any snapshot is loaded, which then puts weights into it too.
        self.loss = self.sampler.loss
        self.features: Features | None = None
        if any(metric.spec.reads != "samples" for metric in metrics):
            self.features = Features(recipe, self.data, evaluate, self.sampler.device)
            if self.features.held_out.probabilities is None:
                metrics = [each for each in metrics if each.spec.reads != "probabilities"]
        self.metrics = metrics
        self.better: dict[str, str] = {}
        """By figure: higher or lower."""
        self.bounds: dict[str, tuple[float | None, float | None]] = {}
        """By figure: the least and the most that it can be."""
        self.limits: dict[str, float] = {}
        """By figure: the factor by which an end worse than the best is a collapse."""
        for metric in metrics:
            for name, way in metric.spec.better.items():
                self.better[self.name(metric.spec, name)] = way
            for name, bounds in metric.spec.bounds.items():
                self.bounds[self.name(metric.spec, name)] = bounds
            for name, factor in metric.spec.collapse.items():
                self.limits[self.name(metric.spec, name)] = factor

    def name(self, spec: MetricSpec, figure: str) -> str:
        """The full name of a figure: `fid[classifier@3f2a]`, `modes/kl`."""
        name = spec.type if figure == spec.type else f"{spec.type}/{figure}"
        if spec.reads == "samples" or self.features is None:
            return name
        return f"{name}[{self.features.extractor.name}]"

    def figures(self, iteration: int, prior: str | None = None) -> dict[str, float]:
        """All figures of the generator as it was after `iteration`.

        With a `prior` other than the recipe's, only those that depend on it.
        """
        count = self.evaluate.samples
        self.sampler.load(iteration)
        x = self.sampler.sample(count, seed=self.recipe.train.seed, prior=prior).cpu()
        seen = None if self.features is None else self.features.extractor(x)
        figures: dict[str, float] = {}
        for component in self.metrics:
            spec = component.spec
            if prior is not None and not spec.judges_samples:
                continue
            told = context_for(
                spec,
                self.context,
                data=self.data,
                networks=self.sampler.networks,
                loss=self.loss,
                features=self.features,
            )
            metric: Metric = spec.build(told)
            for part in self._real(spec).split(CHUNK):
                metric.update(part, real=True)
            generated = x if seen is None or spec.reads == "samples" else _read(spec, seen)
            for part in generated.split(CHUNK):
                metric.update(part, real=False)
            for figure, value in metric.compute().items():
                figures[self.name(spec, figure)] = float(value)
        return figures

    def _real(self, spec: MetricSpec) -> torch.Tensor:
        """As many real samples as are measured, as the metric reads them.

        Where there are more they are a fixed random choice: a file may be sorted by class.
        """
        real = real_samples(self.data)
        chosen = torch.randperm(len(real), generator=generator_for(0, "measured"))
        indices = chosen[: self.evaluate.samples].sort().values
        if self.features is None or spec.reads == "samples":
            return take(real, indices)[0]
        return _read(spec, self.features.held_out)[indices]


def _read(spec: MetricSpec, seen: Seen) -> torch.Tensor:
    """What a metric reads of what the extractor saw."""
    if spec.reads == "features":
        return seen.features
    assert seen.probabilities is not None
    return seen.probabilities


def best_of(
    course: Sequence[Mapping[str, Any]], better: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """The best value of each figure on the way, and the iteration: the first where several are.

    It is chosen on the samples that it is taken on, so it flatters a little; a figure that was
    not a number at some snapshot is passed over there.
    """
    best: dict[str, dict[str, float]] = {}
    for figure, way in better.items():
        sign = 1 if way == "lower" else -1
        found = [
            (sign * row["figures"][figure], row["iteration"])
            for row in course
            if math.isfinite(row["figures"].get(figure, math.nan))
        ]
        if found:
            value, iteration = min(found)
            best[figure] = {"value": sign * value, "iteration": iteration}
    return best


def collapse(
    final: Mapping[str, float],
    best: Mapping[str, Mapping[str, float]],
    better: Mapping[str, str],
    limits: Mapping[str, float],
) -> list[str]:
    """A sentence for each figure whose end is worse than its best by more than its limit.

    What was never there cannot fall: a share or a count that was below `LEAST_HELD` at its best
    is passed over.
    """
    sentences = []
    for figure, factor in limits.items():
        if figure not in best or figure not in final:
            continue
        top, end = best[figure]["value"], final[figure]
        if better[figure] == "lower":
            worse = end > factor * top
        else:
            worse = top >= LEAST_HELD and end * factor < top
        if worse or not math.isfinite(end):
            sentences.append(
                f"{figure} was {top:.4g} after {best[figure]['iteration']:.0f} iterations "
                f"and is {end:.4g} at the end"
            )
    return sentences
