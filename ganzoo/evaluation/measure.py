"""Figures of a finished run by the metrics that its recipe names."""

from __future__ import annotations

from typing import Any

import torch

from ganzoo.engine.context import build_context, context_for
from ganzoo.engine.data import Data, Samples, to_unit
from ganzoo.engine.sampling import Sampler
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder, write_json

CHUNK = 1000


def evaluate(recipe: Recipe, folder: RunFolder) -> dict[str, Any]:
    """Measure the run's generator and write `evaluation.json`.

    Each metric sees `evaluate.samples` generated samples and as many held-out real ones (fewer
    where the data set holds out fewer; training samples where it holds out none). The result
    says how many and which.
    """
    context = build_context(recipe)
    data: Data = recipe.data.spec.build(context)
    real = data.held_out if data.held_out is not None else data.train
    count = recipe.evaluate.samples
    sampler = Sampler(recipe, folder)
    fake = sampler.sample(count, seed=recipe.train.seed).cpu()
    figures: dict[str, float] = {}
    for component in recipe.metrics:
        told = context_for(component.spec, context, data=data, networks=sampler.networks)
        metric = component.spec.build(told)
        for start in range(0, min(count, len(real)), CHUNK):
            metric.update(_slice(real, start, min(start + CHUNK, count)), real=True)
        for part in fake.split(CHUNK):
            metric.update(part, real=False)
        for name, value in metric.compute().items():
            figures[f"{component.spec.type}/{name}"] = float(value)
    result = {
        "figures": figures,
        "generated": count,
        "real": min(count, len(real)),
        "real_from": "train" if data.held_out is None else "held out",
    }
    write_json(folder.evaluation, result)
    return result


def _slice(samples: Any, start: int, stop: int) -> torch.Tensor:
    """Real samples in [-1, 1], from memory or from a stream."""
    stop = min(stop, len(samples))
    if isinstance(samples, Samples):
        return to_unit(samples.values[start:stop])
    return to_unit(torch.stack([samples[index][0] for index in range(start, stop)]))
