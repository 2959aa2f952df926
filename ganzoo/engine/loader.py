"""How batches of a data set reach the networks.

The order of the data is a pure function of the seed and the batch number, so a resumed run goes
on in the middle of an epoch without any state but a counter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganzoo.engine.data import Samples, Stream
from ganzoo.engine.random import generator_for
from ganzoo.errors import GanzooError


@dataclass(frozen=True)
class BatchOrder:
    """The endless order of the training samples: one fresh permutation after another.

    Batch b is made of the places b * batch_size and following, so batches straddle epochs and
    all have the same size.
    """

    length: int
    batch_size: int
    seed: int

    def batch(self, number: int) -> Tensor:
        """Indices of batch `number` (from 0), int64 `(batch_size,)`, on the CPU."""
        start = number * self.batch_size
        stop = start + self.batch_size
        parts: list[Tensor] = []
        while start < stop:
            epoch, offset = divmod(start, self.length)
            parts.append(self._permutation(epoch)[offset : offset + stop - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        cached: tuple[int, Tensor] | None = self.__dict__.get("_cached")
        if cached is None or cached[0] != epoch:
            generator = generator_for(self.seed, "order", epoch)
            cached = (epoch, torch.randperm(self.length, generator=generator))
            object.__setattr__(self, "_cached", cached)
        return cached[1]


class BatchLoader:
    """Writes batches into static buffers.

    In-memory data live on the device (images as uint8) and are gathered and normalised there;
    a stream is read by the worker processes of a DataLoader. Of several ranks, each reads its
    share of a batch.
    """

    def __init__(
        self,
        data: Samples | Stream,
        sample_shape: tuple[int, ...],
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        labelled: bool = False,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        share = batch_size // world_size
        self.order = BatchOrder(len(data), batch_size, seed)
        self._share = slice(rank * share, (rank + 1) * share)
        self._device = device
        self.x = torch.zeros(share, *sample_shape, device=device)
        if len(sample_shape) == 3:
            self.x = self.x.to(memory_format=memory_format)
        self.indices = torch.zeros(share, dtype=torch.int64, device=device)
        self.labels: Tensor | None = None
        self._samples: Samples | None = None
        if isinstance(data, Samples):
            labels = data.labels.to(device) if labelled and data.labels is not None else None
            self._samples = Samples(data.values.to(device), labels)
            self._gathered = torch.zeros_like(self.x, dtype=data.values.dtype)
        else:
            self._stream = data
            self._reader: Iterator[tuple[Tensor, Tensor] | GanzooError] | None = None
            self._next = -1
        if labelled:
            self.labels = torch.zeros(share, dtype=torch.int64, device=device)

    def fill(self, number: int) -> None:
        """Put batch `number` into `x`, `indices` and `labels`."""
        indices = self.order.batch(number)[self._share]
        # pin_memory makes the copy asynchronous: the host does not wait for the device.
        self.indices.copy_(
            indices.pin_memory() if self._device.type == "cuda" else indices, non_blocking=True
        )
        if self._samples is not None:
            # Gathered straight into the layout of `x`, then converted in place.
            torch.index_select(self._samples.values, 0, self.indices, out=self._gathered)
            values = self._gathered
            if self.labels is not None and self._samples.labels is not None:
                torch.index_select(self._samples.labels, 0, self.indices, out=self.labels)
        else:
            values, labels = self._read(number)
            if self.labels is not None:
                self.labels.copy_(labels, non_blocking=True)
        self.x.copy_(values, non_blocking=True)
        if values.dtype == torch.uint8:
            self.x.div_(127.5).sub_(1)

    def _read(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number` of a stream; the following ones are read in the background."""
        if self._reader is None or number != self._next:
            workers = min(8, max(1, (os.cpu_count() or 1) - 1))
            loader = DataLoader(
                _Dataset(self._stream),
                batch_sampler=_Batches(self.order, self._share, number),
                num_workers=workers,
                collate_fn=_collate,
                # Without one of its own, a loader draws a seed from the noise stream.
                generator=torch.Generator(),
                pin_memory=self._device.type == "cuda",
            )
            self._reader = iter(loader)
        self._next = number + 1
        batch = next(self._reader)
        if isinstance(batch, GanzooError):
            raise batch
        return batch


class _Dataset(Dataset["tuple[Tensor, int] | GanzooError"]):
    """A `Stream` under the type that DataLoader asks for.

    An error for the user is handed over as a value: a worker process would raise it as a text
    with its own traceback.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, index: int) -> tuple[Tensor, int] | GanzooError:
        try:
            return self.stream[index]
        except GanzooError as error:
            return error


def _collate(
    rows: list[tuple[Tensor, int] | GanzooError],
) -> tuple[Tensor, Tensor] | GanzooError:
    """Samples `(N, ...)` and labels `(N,)`, or the first error among them."""
    values, labels = [], []
    for row in rows:
        if isinstance(row, GanzooError):
            return row
        values.append(row[0])
        labels.append(row[1])
    return torch.stack(values), torch.tensor(labels)


@dataclass(frozen=True)
class _Batches:
    """Batch sampler of a DataLoader: this rank's share of each batch from `start` on."""

    order: BatchOrder
    share: slice
    start: int

    def __iter__(self) -> Iterator[list[int]]:
        number = self.start
        while True:
            yield self.order.batch(number)[self.share].tolist()
            number += 1
