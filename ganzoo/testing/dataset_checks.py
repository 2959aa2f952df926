"""Checks of data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ganzoo.engine.data import Data, Samples, Stream
from ganzoo.specs import DatasetSpec
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Skip, Wrong, check

READ = 16
"""Samples of a stream that are read, spread over it."""
SHORT = 2000
"""Samples of a stream that can be read as a whole."""
REPEATED = 0.01
"""Share of held-out samples that may be training samples as well: collections of photographs
have a few duplicates."""
FIXED = (
    "list files in sorted order, and draw from a generator with a seed of its own, such as "
    "ganzoo.engine.generator_for(0, ...), not from the default streams"
)


def _built(bench: Bench, seed: int = 0) -> tuple[DatasetSpec, Data]:
    data = bench.build(seed)
    assert isinstance(bench.spec, DatasetSpec)
    if not isinstance(data, Data):
        raise Wrong(f"build() returns a {type(data).__name__}; return a ganzoo.engine.Data")
    return bench.spec, data


def _parts(data: Data) -> Iterator[tuple[str, Samples | Stream]]:
    """The parts with their names; the held-out one where it is there."""
    yield "train", data.train
    if data.held_out is not None:
        yield "held_out", data.held_out


def _places(length: int) -> list[int]:
    """At most `READ` places of a stream, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, length - 1, READ)})


def _values(part: Samples | Stream) -> Tensor:
    """All samples in memory, or some of a stream."""
    if isinstance(part, Samples):
        return part.values
    return torch.stack([part[place][0] for place in _places(len(part))])


def _labels(part: Samples | Stream) -> Tensor | None:
    """Labels of all samples in memory, or of some of a stream; None where there are none."""
    if isinstance(part, Samples):
        return part.labels
    labels = torch.tensor([part[place][1] for place in _places(len(part))])
    return None if bool((labels == -1).all()) else labels


@check("dataset", on=first)
def declared_data(bench: Bench) -> None:
    """Networks are built for the declared shape before anything is read, and a picture whose
    values are in another range is white or black to them."""
    spec, data = _built(bench)
    shape = spec.sample_shape
    sizes = shape if isinstance(shape, tuple) and len(shape) in (1, 3) else (0,)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise Wrong(f"sample_shape is {shape!r}; give (C, H, W) of images or (D,) of points")
    for name, part in _parts(data):
        if not len(part):
            raise Wrong(f"{name} has no samples; leave held_out None, and train on what there is")
        values = _values(part)
        if tuple(values.shape[1:]) != shape:
            raise Wrong(
                f"{name} holds samples of shape {tuple(values.shape[1:])}, and sample_shape says "
                f"{shape}; make the two agree"
            )
        if values.dtype != (torch.uint8 if len(shape) == 3 else torch.float32):
            raise Wrong(f"{name} holds {values.dtype}; give images as uint8, points as float32")
        if values.dtype == torch.uint8 and int(values.max()) <= 1:
            raise Wrong(
                f"the pixels of {name} are between 0 and {int(values.max())}; spread them over 0 "
                "to 255"
            )
        if not bool(values.isfinite().all()):
            raise Wrong(f"{name} holds values that are not finite; leave those samples out")


@check("dataset", on=first)
def data_capabilities(bench: Bench) -> None:
    """Components that need what `provides` promises fail in the middle of a run without it, and
    those that are not promised what is there cannot be used."""
    spec, data = _built(bench)
    there = {
        "images": len(spec.sample_shape) == 3,
        "points": len(spec.sample_shape) == 1,
        "labels": spec.num_classes is not None,
        "density": data.density is not None,
    }
    for capability, is_there in there.items():
        if is_there and capability not in spec.provides:
            raise Wrong(f"it has {capability} and does not say so; add it to `provides`")
        if not is_there and capability in spec.provides:
            raise Wrong(f"it provides '{capability}', and has none; take it out of `provides`")
    if data.density is not None:
        points = _values(data.train)[:READ]
        log_prob = data.density.log_prob(points)
        if tuple(log_prob.shape) != (len(points),) or not bool(log_prob.isfinite().all()):
            raise Wrong(
                f"density.log_prob of points {tuple(points.shape)} has the shape "
                f"{tuple(log_prob.shape)} or values that are not finite; return the logarithm of "
                f"the density of each point, ({len(points)},)"
            )


@check("dataset", on=first)
def label_range(bench: Bench) -> None:
    """A label outside the declared classes reads memory of others on a GPU."""
    spec, data = _built(bench)
    classes = spec.num_classes
    for name, part in _parts(data):
        labels = _labels(part)
        if (labels is None) != (classes is None):
            has = "no labels" if labels is None else "labels"
            raise Wrong(f"{name} has {has}, and num_classes is {classes}; make the two agree")
        if labels is None or classes is None:
            continue
        if labels.dtype != torch.int64 or tuple(labels.shape) != (len(_values(part)),):
            raise Wrong(
                f"labels of {name} are {labels.dtype} {tuple(labels.shape)}; give one int64 for "
                "each sample"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise Wrong(
                f"labels of {name} go from {low} to {high}; count the {classes} classes of "
                "num_classes from 0"
            )


@check("dataset", on=first)
def same_samples(bench: Bench) -> None:
    """A resumed run builds its data anew: where they are others or in another order, it goes on
    with something that it did not begin with."""
    (_, data), (_, again) = _built(bench), _built(bench, seed=1)
    for (name, part), (_, other) in zip(_parts(data), _parts(again), strict=True):
        if len(part) != len(other):
            raise Wrong(f"{name} has {len(part)} samples, then {len(other)}; {FIXED}")
        if not torch.equal(_values(part), _values(other)):
            raise Wrong(f"two builds have other samples in {name}; {FIXED}")
        labels, others = _labels(part), _labels(other)
        if labels is not None and others is not None and not torch.equal(labels, others):
            raise Wrong(f"two builds have other labels in {name}; {FIXED}")


@check("dataset", on=first)
def held_out_samples(bench: Bench) -> None:
    """Every value of a model that learns its training samples by heart would be flattering."""
    _, data = _built(bench)
    if data.held_out is None:
        raise Skip("nothing is held out")
    for _, part in _parts(data):
        if not isinstance(part, Samples) and len(part) > SHORT:
            raise Skip(f"a stream of {len(part)} samples takes too long to compare")
    train, held_out = _rows(data.train), _rows(data.held_out)
    times = Counter(train)
    share = sum(row in times for row in held_out) / len(held_out)
    # Where training samples repeat each other, held-out ones of their distribution repeat them too.
    usual = sum(times[row] > 1 for row in train) / len(train)
    if share > REPEATED + usual:
        raise Wrong(
            f"{share:.1%} of the held-out samples are training samples too; split the samples "
            "before anything else is done with them"
        )


def _rows(part: Samples | Stream) -> list[bytes]:
    """Every sample in a form that can be compared."""
    if isinstance(part, Samples):
        return [row.tobytes() for row in part.values.numpy()]
    return [part[place][0].numpy().tobytes() for place in range(len(part))]
