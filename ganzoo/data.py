"""What a data set is, and what is known of it without opening it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ganzoo.errors import RunError, UserError
from ganzoo.protocols import Density
from ganzoo.recipe import Recipe

PROBED = 256
"""Samples by which a stream is known that does not say what it holds."""


class Stream(Protocol):
    """A data set that is read from disk sample by sample.

    It may have an attribute `labels`, the classes of all samples as int64 `(M,)`; without one,
    the shares of the classes are counted by reading every sample once. It should have an attribute
    `digest`, a text that changes with any sample and with their order; without one, changes are
    noticed only in some of the samples.
    """

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Sample `index`, uint8 `(C, H, W)` or float32 `(D,)`, and its class or -1."""
        ...


@dataclass(frozen=True)
class Samples:
    """A data set in memory."""

    values: Tensor
    """Images uint8 `(M, C, H, W)` in [0, 255], or points float32 `(M, D)`."""
    labels: Tensor | None = None
    """Classes, int64 `(M,)`."""

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def digest(self) -> str:
        """Hash of all samples and labels, in their order."""
        digest = hashlib.sha256(f"{self.values.dtype} {tuple(self.values.shape)}".encode())
        for tensor in (self.values, self.labels):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Data:
    """What `DatasetSpec.build` returns."""

    train: Samples | Stream
    held_out: Samples | Stream | None = None
    """Samples of the same distribution that are never trained on, or None without any."""
    density: Density | None = None
    """The distribution itself, where it is known."""
    source: str = ""
    """Where the samples were read from, an absolute path; nothing where they were computed."""
    class_names: tuple[str, ...] = ()
    """Names of the classes in the order of their numbers, where they have any."""
    mirror: bool = False
    """Whether images are mirrored, left to right, in half of all places of a training batch."""


def to_unit(values: Tensor) -> Tensor:
    """Images from uint8 [0, 255] to float32 [-1, 1]; points, being float32, as they are."""
    return values.float().div_(127.5).sub_(1) if values.dtype == torch.uint8 else values


def to_bytes(images: Tensor) -> Tensor:
    """Images from float [-1, 1] (clipped) to uint8 [0, 255], the inverse of `to_unit`."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


@dataclass(frozen=True)
class DataDescription:
    """What has to be known of the data without opening them; kept in a run's folder."""

    training_samples: int
    held_out_samples: int
    class_shares: tuple[float, ...] | None = None
    """Share of each class in the training samples, for conditional runs."""
    digest: str = ""
    """Hash of all samples, training and held-out ones, in their order, and of what classes are
    called."""
    source: str = ""
    """See `Data.source`."""
    class_names: tuple[str, ...] = ()
    """See `Data.class_names`."""

    @property
    def real_samples(self) -> int:
        """How many samples models are measured against: held out, or for training without any."""
        return self.held_out_samples or self.training_samples


def describe_data(recipe: Recipe, data: Data) -> DataDescription:
    """The description of a recipe's data set; classes are counted where it is conditional.

    Raises `UserError` for a data set without samples or with a value that is not finite, and
    `RunError` for one that is not what its declaration says.
    """
    name, spec = recipe.data.name, recipe.data.spec
    if not len(data.train):
        raise UserError(f"dataset '{name}' has no training samples")
    declared = spec.sample_shape
    shape = data.train.values.shape[1:] if isinstance(data.train, Samples) else declared
    if tuple(shape) != declared:
        raise RunError(
            f"dataset '{name}' declares samples of shape {declared}, but holds {tuple(shape)}",
            hint="this is a fault of the plugin that offers it",
        )
    parts = {"training": data.train, "held-out": data.held_out}
    for part_name, part in parts.items():
        if isinstance(part, Samples):
            check_finite(f"dataset '{name}', {part_name}", part.values)
    shares = None
    if recipe.condition is not None and spec.num_classes is not None:
        counts = labels_of(data.train).bincount(minlength=spec.num_classes)
        shares = tuple((counts / counts.sum()).tolist())
    held_out = 0 if data.held_out is None else len(data.held_out)
    digests = "".join(digest_of(part) for part in parts.values() if part is not None)
    names = json.dumps(data.class_names) if data.class_names else ""
    digest = hashlib.sha256((digests + names).encode()).hexdigest()[:16]
    return DataDescription(len(data.train), held_out, shares, digest, data.source, data.class_names)


def check_finite(where: str, values: Tensor, first: int = 0) -> None:
    """Raise `UserError` for samples `(M, ...)` with an infinite value or one that is no number.

    `first` is the number of the first of them, and `where` says what they are.
    """
    if values.is_floating_point() and not bool(values.isfinite().all()):
        rows = values.flatten(1).isfinite().all(1).logical_not().nonzero().flatten()
        raise UserError(
            f"{where} sample {first + int(rows[0])} holds a value that is not finite",
            hint="leave such samples out: one of them spoils every weight and every figure",
        )


def digest_of(part: Samples | Stream) -> str:
    """A hash of the samples of a part, 16 hexadecimal digits; see `Stream` for what is on disk."""
    text: str | None = getattr(part, "digest", None)
    if text is None:
        places = torch.linspace(0, len(part) - 1, min(len(part), PROBED)).long()
        text = f"{len(part)} {Samples(*take(part, places)).digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def labels_of(part: Samples | Stream) -> Tensor:
    """The classes of all samples, int64 `(M,)`."""
    labels: Tensor | None = getattr(part, "labels", None)
    if labels is None and not isinstance(part, Samples):
        labels = torch.tensor([part[index][1] for index in range(len(part))])
    if labels is None:
        raise RunError("the data set declares classes, but has no labels")
    return labels


def take(part: Samples | Stream, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Samples `(N, *sample_shape)`, images in [-1, 1], and their labels `(N,)`, -1 without any."""
    if isinstance(part, Samples):
        labels = part.labels[indices] if part.labels is not None else torch.full_like(indices, -1)
        return to_unit(part.values[indices]), labels
    values, labels = read(part, indices.tolist())
    return to_unit(values), labels


def read(stream: Stream, indices: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Samples of a stream as they are, `(N, *sample_shape)`, and their labels `(N,)`."""
    values, labels = zip(*(stream[index] for index in indices), strict=True)
    return torch.stack(values), torch.tensor(labels)


def class_rows(num_classes: int, count: int) -> Tensor:
    """Classes int64 `(M,)` of a picture of about `count` samples in rows of one class.

    There are as many samples of each class as `count` allows, at least one; of more classes than
    `count` only the first are shown.
    """
    columns = max(1, count // num_classes)
    return torch.arange(num_classes).repeat_interleave(columns)[:count]


def real_samples(data: Data) -> Samples | Stream:
    """The samples that models are measured against: held out, or for training without any."""
    return data.train if data.held_out is None else data.held_out
