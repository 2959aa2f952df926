"""Checks of data sets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch

from ganzoo.data import Data, Samples, Stream
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Skip, Wrong, check
from ganzoo.testing.state_checks import difference
from ganzoo.testing.tensors import not_finite

READ = 16
"""Samples of a stream that are read, spread over it."""
SHORT = 2000
"""Samples of a stream that can be read as a whole."""
REPEATED = 0.01
"""Share of held-out samples that may be training samples as well: collections of photographs
have a few duplicates."""


def _built(bench: Bench, seed: int = 0) -> tuple[Data, dict[str, Samples | Stream]]:
    """The data, and those of their parts by name that are there."""
    data = bench.build(seed)
    if not isinstance(data, Data):
        raise Wrong(f"build() returns a {type(data).__name__}; return a ganzoo.engine.Data")
    held_out = {} if data.held_out is None else {"held_out": data.held_out}
    return data, {"train": data.train, **held_out}


def _read(part: Samples | Stream, most: int = READ) -> Samples:
    """All samples in memory, or at most so many of a stream, its first and last among them."""
    if isinstance(part, Samples):
        return part
    places = sorted({round(place) for place in np.linspace(0, len(part) - 1, most)})
    values, classes = zip(*(part[place] for place in places), strict=True)
    labels = torch.tensor(classes)
    return Samples(torch.stack(values), None if bool((labels == -1).all()) else labels)


@check("dataset", on=first)
def declared_data(bench: Bench) -> None:
    """Networks are built for what is declared; pixels between 0 and 1 are all black to them."""
    shape: Any = bench.spec.sample_shape  # type: ignore[attr-defined]
    _, parts = _built(bench)
    sizes = shape if isinstance(shape, tuple) and len(shape) in (1, 3) else (0,)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise Wrong(f"sample_shape is {shape!r}; give (C, H, W) of images or (D,) of points")
    for name, part in parts.items():
        if not len(part):
            raise Wrong(f"{name} has no samples; leave held_out None, and train on what there is")
        values = _read(part).values
        found = f"{values.dtype} {tuple(values.shape[1:])}"
        declared = f"{torch.uint8 if len(shape) == 3 else torch.float32} {shape}"
        if found != declared:
            raise Wrong(f"samples of {name} are {found}; sample_shape asks for {declared}")
        if values.dtype == torch.uint8 and values.max() <= 1:
            raise Wrong(f"the pixels of {name} are between 0 and 1; spread them over 0 to 255")
        if not_finite(values):
            raise Wrong(f"{name} holds values that are not finite; leave those samples out")


@check("dataset", on=first)
def data_capabilities(bench: Bench) -> None:
    """A run fails without what is promised and not there; what is not promised is not used."""
    spec: Any = bench.spec
    data, _ = _built(bench)
    there = {
        "images": len(spec.sample_shape) == 3,
        "points": len(spec.sample_shape) == 1,
        "labels": spec.num_classes is not None,
        "density": data.density is not None,
    }
    for capability, is_there in there.items():
        if is_there and capability not in spec.capabilities:
            raise Wrong(f"it has {capability} and does not say so; add it to `provides`")
        if not is_there and capability in spec.capabilities:
            raise Wrong(f"it provides '{capability}', and has none; take it out of `provides`")
    if data.density is not None:
        points = _read(data.train).values[:READ]
        log_prob = data.density.log_prob(points)
        if tuple(log_prob.shape) != (len(points),) or not_finite(log_prob):
            given = f"gives {tuple(log_prob.shape)}, or values that are not finite"
            remedy = f"give a logarithm for each of {len(points)} points"
            raise Wrong(f"density.log_prob of {tuple(points.shape)} {given}; {remedy}")


@check("dataset", on=first)
def label_range(bench: Bench) -> None:
    """A label outside the declared classes reads memory of others on a GPU."""
    classes: int | None = bench.spec.num_classes  # type: ignore[attr-defined]
    for name, part in _built(bench)[1].items():
        samples = _read(part)
        labels = samples.labels
        if (labels is None) != (classes is None):
            has = "no labels" if labels is None else "labels"
            raise Wrong(f"{name} has {has}, and num_classes is {classes}; make the two agree")
        if labels is None or classes is None:
            continue
        right = labels.dtype == torch.int64 and labels.shape == (len(samples),)
        low, high = labels.aminmax() if len(labels) else (0, 0)
        if not right or low < 0 or high >= classes:
            found = f"{labels.dtype} {tuple(labels.shape)} from {low} to {high}"
            remedy = f"give one int64 for each sample, from 0 to {classes - 1}"
            raise Wrong(f"labels of {name} are {found}; {remedy}")


@check("dataset", on=first)
def same_samples(bench: Bench) -> None:
    """A resumed run builds its data anew, and must not continue with others or in another order."""
    builds: list[dict[str, object]] = [{}, {}]
    for seed, build in enumerate(builds):
        for name, part in _built(bench, seed)[1].items():
            build[f"number of samples in {name}"] = len(part)
            build[f"samples in {name}"] = _read(part).values
            build[f"labels in {name}"] = _read(part).labels
    if place := difference(*builds):
        remedy = "sort lists of files, and draw from ganzoo.engine.generator_for(0, ...) alone"
        raise Wrong(f"two builds differ in the {place}; {remedy}")


@check("dataset", on=first)
def held_out_samples(bench: Bench) -> None:
    """Every value of a model that learns its training samples by heart would be flattering."""
    _, parts = _built(bench)
    if "held_out" not in parts:
        raise Skip("nothing is held out")
    for part in parts.values():
        if not isinstance(part, Samples) and len(part) > SHORT:
            raise Skip(f"a stream of {len(part)} samples takes too long to compare")
    samples = [_read(part, most=len(part)) for part in parts.values()]
    train, held_out = ([row.tobytes() for row in each.values.numpy()] for each in samples)
    times = Counter(train)
    share = sum(row in times for row in held_out) / len(held_out)
    # Where training samples repeat each other, held-out ones of their distribution repeat them too.
    usual = sum(times[row] > 1 for row in train) / len(train)
    if share > REPEATED + usual:
        remedy = "split the samples before anything else is done with them"
        raise Wrong(f"{share:.1%} of the held-out samples are training samples too; {remedy}")
