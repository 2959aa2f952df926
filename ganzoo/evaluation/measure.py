"""Computes the metrics of a run at each of its snapshots."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.data import Data, describe_data, real_samples, take
from ganzoo.engine.checkpoints import kept_snapshots
from ganzoo.engine.environment import other_data, read_description
from ganzoo.engine.random import generator_for
from ganzoo.errors import UserError, describe
from ganzoo.evaluation.document import (
    Best,
    Bounds,
    Direction,
    ExtractorEntry,
    Measures,
    Snapshot,
)
from ganzoo.evaluation.extractors import Extraction
from ganzoo.evaluation.features import Features
from ganzoo.protocols import Metric
from ganzoo.recipe import Component, Recipe
from ganzoo.recipe.model import shortages
from ganzoo.recipe.settings import Evaluate
from ganzoo.records import write_text
from ganzoo.runs import RunFolder
from ganzoo.sampling import Sampler
from ganzoo.specs import ExtractorSpec, MetricSpec, value_name

CHUNK = 1000
"""Samples that a metric is given at once."""
LEAST_BEST = 0.1
"""A value of which more is better must have been at least this for its fall to be a collapse."""

Metrics = Sequence[Component[MetricSpec]]


def measure(
    recipe: Recipe,
    folder: RunFolder,
    metrics: Metrics,
    *,
    evaluate: Evaluate | None = None,
    extractor: Component[ExtractorSpec] | None = None,
    at: int | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Measures:
    """Measure a trained run at each of its snapshots, or at its end where its recipe wants none.

    Each metric sees `evaluate.samples` generated samples and as many held-out real ones (fewer
    where the data set holds out fewer; training samples where it holds out none). One that has too
    few samples, or fails, is left out, with the reason in `left_out`. `evaluate` and
    `extractor` are the recipe's own by default; a comparison measures all runs with the same ones.
    `at` is the iteration of a snapshot that is measured alone, of a run that may be in training.
    `warn` is called with a sentence where the data are others than the run was trained on. Raises
    `RunError` where a snapshot is missing: the last one is the headline.
    """
    evaluate = evaluate or recipe.evaluate
    kept = kept_snapshots(folder) if at is None else [at]
    evaluation = _Evaluation(recipe, folder, metrics, evaluate, extractor)
    if text := other_data(read_description(folder), describe_data(recipe, evaluation.data)):
        warn(f"{folder.path}: {text}; it is measured on them all the same")
    # All snapshots with the recipe's own prior, and the last one with each of its other priors.
    own, *others = recipe.all_priors
    others = others if at is None else []  # they are fitted at the end
    iterations = kept or [recipe.train.iterations]
    moments = [(iteration, own) for iteration in iterations]
    moments += [(iterations[-1], prior) for prior in others]
    values: list[dict[str, float]] = []
    for iteration, prior in moments:
        if kept:
            evaluation.sampler.load(iteration)
        values.append(evaluation.values(prior))
    history: list[Snapshot] = [
        {"iteration": iteration, "values": each}
        for iteration, each in zip(iterations, values, strict=False)
    ]
    end, data = history[-1], evaluation.data
    other_priors = {
        prior: {**end["values"], **each}
        for prior, each in zip(others, values[len(iterations) :], strict=True)
    }
    best = best_of(history, evaluation.better)
    return {
        "extractor": evaluation.extractor_entry(),
        "data": {
            "train": len(data.train),
            "held_out": 0 if data.held_out is None else len(data.held_out),
        },
        "generated": evaluate.samples,
        "real": min(evaluate.samples, len(real_samples(data))),
        "real_from": "train" if data.held_out is None else "held out",
        "prior": recipe.prior.spec.type,
        "iteration": end["iteration"],
        "values": end["values"],
        "history": history,
        "best": best,
        "better": evaluation.better,
        "bounds": evaluation.bounds,
        "collapse": collapse(end["values"], best, evaluation.better, evaluation.limits),
        "other_priors": other_priors,
        "left_out": evaluation.left_out,
    }


class _Evaluation:
    """What is built once to measure all snapshots of a run."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        metrics: Metrics,
        evaluate: Evaluate,
        extractor: Component[ExtractorSpec] | None,
    ) -> None:
        self.recipe, self.folder, self.evaluate = recipe, folder, evaluate
        self.sampler = Sampler(recipe, folder)
        # Built before any snapshot is loaded, which then puts weights into it too.
        self.loss = self.sampler.loss
        self.data: Data = self.sampler.parts.data
        self.features: Features | None = None
        if any(metric.spec.reads != "samples" for metric in metrics):
            self.features = Features(self.sampler.parts, extractor)
            if self.features.held_out.probabilities is None:
                metrics = [each for each in metrics if each.spec.reads != "probabilities"]
        self.real = self._real()
        self.left_out = shortages(metrics, evaluate.samples, len(self.real.samples))
        metrics = [each for each in metrics if each.spec.type not in self.left_out]
        self.metrics = metrics
        self.better: dict[str, Direction] = {}
        self.bounds: dict[str, Bounds] = {}
        self.limits: dict[str, float] = {}
        """By value, the factor by which the end must be worse than the best to be a collapse."""
        for metric in metrics:
            for name, direction in metric.spec.better.items():
                self.better[self.name(metric.spec, name)] = direction
            for name, bounds in metric.spec.bounds.items():
                self.bounds[self.name(metric.spec, name)] = bounds
            for name, factor in metric.spec.collapse.items():
                self.limits[self.name(metric.spec, name)] = factor

    def extractor_entry(self) -> ExtractorEntry | None:
        """What is recorded of the extractor, or None where no metric reads features."""
        if self.features is None:
            return None
        extractor = self.features.extractor
        return {
            "name": extractor.name,
            "type": extractor.type,
            "digest": extractor.digest,
            "note": extractor.note,
            "table": self.features.component.table(qualified=True),
        }

    def name(self, spec: MetricSpec, value: str) -> str:
        """The full name of a value: `fid[classifier@3f2a]`, `modes/kl`."""
        name = value_name(spec.type, value)
        if spec.reads == "samples" or self.features is None:
            return name
        return f"{name}[{self.features.extractor.name}]"

    def values(self, prior: str) -> dict[str, float]:
        """All values of the generator as the sampler has it, with latents from a prior.

        With a prior other than the recipe's own, only those that depend on it.
        """
        count, seed = self.evaluate.samples, self.recipe.train.seed
        x = self.sampler.sample(count, seed=seed, prior=prior).cpu()
        labels = self.sampler.labels(count, seed=seed)
        generated = Readings(
            x, labels, None if self.features is None else self.features.extractor(x)
        )
        parts = self.sampler.parts
        values: dict[str, float] = {}
        for spec in (component.spec for component in self.metrics):
            if prior != self.recipe.prior.spec.type and not spec.judges_samples:
                continue
            context = parts.context_for("metrics", spec, features=self.features, step=parts.step)
            try:
                computed = self._compute(spec.build(context), spec, generated)
            except UserError as error:
                self.left_out[spec.type] = error.message
            except Exception as error:
                self.left_out[spec.type] = f"it failed: {describe(error)}"
                write_text(self.folder.traceback, traceback.format_exc())
            else:
                values |= computed
        return values

    def _compute(self, metric: Metric, spec: MetricSpec, generated: Readings) -> dict[str, float]:
        """The values of a metric by their full names."""
        for readings in (self.real, generated):
            for samples, classes in readings.chunks(spec):
                metric.update(samples, real=readings is self.real, labels=classes)
        return {self.name(spec, name): float(value) for name, value in metric.compute().items()}

    def _real(self) -> Readings:
        """At most `evaluate.samples` real samples.

        Of more they are a random choice that is always the same: a file may be sorted by class.
        """
        real = real_samples(self.data)
        permutation = torch.randperm(len(real), generator=generator_for(0, "measured"))
        indices = permutation[: self.evaluate.samples].sort().values
        x, labels = take(real, indices)
        extraction = None
        if self.features is not None:
            features, probabilities = self.features.held_out
            shares = None if probabilities is None else probabilities[indices]
            extraction = Extraction(features[indices], shares)
        labelled = self.recipe.data.spec.num_classes is not None
        return Readings(x, labels if labelled else None, extraction)


@dataclass(frozen=True)
class Readings:
    """Samples as metrics read them, on the CPU."""

    samples: Tensor
    """`(N, *sample_shape)`."""
    labels: Tensor | None
    """Their classes `(N,)`, or None."""
    extraction: Extraction | None
    """Their features, or None where no metric reads features."""

    def chunks(self, spec: MetricSpec) -> Iterator[tuple[Tensor, Tensor | None]]:
        """What a metric reads, and the classes, `CHUNK` samples at a time."""
        values: Tensor | None = self.samples
        if self.extraction is not None and spec.reads != "samples":
            values = getattr(self.extraction, spec.reads)
        assert values is not None
        for start in range(0, len(values), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield values[chunk], None if self.labels is None else self.labels[chunk]


def best_of(history: Sequence[Snapshot], better: Mapping[str, Direction]) -> dict[str, Best]:
    """The best of each value in a history and its iteration, the first of several equal ones.

    Snapshots at which a value is not finite are left out.
    """
    best: dict[str, Best] = {}
    for name, direction in better.items():
        sign = 1 if direction == "lower" else -1
        finite = [
            (sign * row["values"][name], row["iteration"])
            for row in history
            if math.isfinite(row["values"].get(name, math.nan))
        ]
        if finite:
            value, iteration = min(finite)
            best[name] = {"value": sign * value, "iteration": iteration}
    return best


def collapse(
    final: Mapping[str, float],
    best: Mapping[str, Best],
    better: Mapping[str, Direction],
    limits: Mapping[str, float],
) -> list[str]:
    """A sentence for each value whose end is worse than its best by more than its limit.

    A value of which more is better, and that never reached `LEAST_BEST`, cannot collapse.
    """
    sentences = []
    for name, factor in limits.items():
        if name not in best or name not in final:
            continue
        top, end = best[name]["value"], final[name]
        if better[name] == "lower":
            worse = end > factor * top
        else:
            worse = top >= LEAST_BEST and end * factor < top
        if worse or not math.isfinite(end):
            sentences.append(
                f"{name} was {top:.4g} after {best[name]['iteration']} iterations "
                f"and is {end:.4g} at the end"
            )
    return sentences
