"""What a data set is, and what is known of it without opening it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganzoo.errors import RunError, UserError
from ganzoo.protocols import Density
from ganzoo.recipe import Recipe


class Stream(Protocol):
    """A data set that is read from disk sample by sample.

    It may have an attribute `labels`, the classes of all samples as int64 `(M,)`; without one,
    the shares of the classes are counted by reading every sample once.
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


@dataclass(frozen=True)
class Data:
    """What `DatasetSpec.build` returns."""

    train: Samples | Stream
    held_out: Samples | Stream | None = None
    """Samples of the same distribution that are never trained on, or None without any."""
    density: Density | None = None
    """The distribution itself, where it is known."""


def to_unit(values: Tensor) -> Tensor:
    """Images from uint8 [0, 255] to float32 [-1, 1]; points, being float32, as they are."""
    return values.float().div_(127.5).sub_(1) if values.dtype == torch.uint8 else values


def to_bytes(images: Tensor) -> Tensor:
    """Images from float [-1, 1] (clipped) to uint8 [0, 255], the inverse of `to_unit`."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


@dataclass(frozen=True)
class DataDescription:
    """What networks and samplers have to know of the data; kept in a run's folder."""

    training_samples: int
    held_out_samples: int
    class_shares: tuple[float, ...] | None = None
    """Share of each class in the training samples, for conditional runs."""


def describe(recipe: Recipe, data: Data) -> DataDescription:
    """The description of a recipe's data set; classes are counted where it is conditional.

    Raises `UserError` for a data set without samples, and `RunError` for one that is not what its
    declaration says.
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
    shares = None
    if recipe.condition is not None and spec.num_classes is not None:
        counts = labels_of(data.train).bincount(minlength=spec.num_classes)
        shares = tuple((counts / counts.sum()).tolist())
    held_out = 0 if data.held_out is None else len(data.held_out)
    return DataDescription(len(data.train), held_out, shares)


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
