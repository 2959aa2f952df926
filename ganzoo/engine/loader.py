"""How batches of a data set reach the networks.

The order of the data is a pure function of the seed and the batch number, so a resumed run
continues in the middle of an epoch without any state but a counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ganzoo.data import Samples, Stream
from ganzoo.engine.random import generator_for
from ganzoo.engine.reader import Reader


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
            order = _permutation(self.length, self.seed, epoch)
            parts.append(order[offset : offset + stop - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def mirrored(self, number: int) -> Tensor:
        """Which places of batch `number` are mirrored, where the data are: bool `(batch_size,)`,
        on the CPU, each with probability 1/2."""
        stream = generator_for(self.seed, "mirror", number)
        return torch.rand(self.batch_size, generator=stream) < 0.5


@lru_cache(maxsize=2)
def _permutation(length: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(length, generator=generator_for(seed, "order", epoch))


class BatchLoader:
    """Writes batches into static buffers.

    In-memory data live on the device (images as uint8) and are gathered and normalised there;
    a stream is read by a `Reader`. Of several ranks, each reads its
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
        mirror: bool = False,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        share = batch_size // world_size
        self.order = BatchOrder(len(data), batch_size, seed)
        self._share = slice(rank * share, (rank + 1) * share)
        self._device, self._data, self._mirror = device, data, mirror
        self.x = torch.zeros(share, *sample_shape, device=device)
        if len(sample_shape) == 3:
            self.x = self.x.to(memory_format=memory_format)
        self.indices = torch.zeros(share, dtype=torch.int64, device=device)
        self.labels = torch.zeros_like(self.indices) if labelled else None
        if isinstance(data, Samples):
            labels = data.labels.to(device) if labelled and data.labels is not None else None
            self._data = Samples(data.values.to(device), labels)
            self._gathered = torch.zeros_like(self.x, dtype=data.values.dtype)
        else:
            self._reader = Reader(
                data,
                lambda number: self.order.batch(number)[self._share].tolist(),
                pin_memory=device.type == "cuda",
            )
        self.warn: Callable[[str], None] = lambda text: None
        """Called with a sentence when a process that reads a stream had to be replaced."""

    def fill(self, number: int) -> None:
        """Put batch `number` into `x`, `indices` and `labels`."""
        indices = self.order.batch(number)[self._share]
        self.indices.copy_(self._on_device(indices), non_blocking=True)
        if isinstance(self._data, Samples):
            # Gathered straight into the layout of `x`, then converted in place.
            torch.index_select(self._data.values, 0, self.indices, out=self._gathered)
            values = self._gathered
            if self.labels is not None and self._data.labels is not None:
                torch.index_select(self._data.labels, 0, self.indices, out=self.labels)
        else:
            values, labels = self._reader.read(number, self.warn)
            if self.labels is not None:
                self.labels.copy_(labels, non_blocking=True)
        self.x.copy_(values, non_blocking=True)
        if values.dtype == torch.uint8:
            self.x.div_(127.5).sub_(1)
        if self._mirror:
            flipped = self._on_device(self.order.mirrored(number)[self._share])
            self.x.copy_(torch.where(flipped[:, None, None, None], self.x.flip(-1), self.x))

    def _on_device(self, small: Tensor) -> Tensor:
        """A tensor of the CPU on the device."""
        # pin_memory makes the copy asynchronous: the host does not wait for the device.
        pinned = small.pin_memory() if self._device.type == "cuda" else small
        return pinned.to(self._device, non_blocking=True)

    def close(self) -> None:
        """End the processes that read a stream, if there are any."""
        if not isinstance(self._data, Samples):
            self._reader.close()
