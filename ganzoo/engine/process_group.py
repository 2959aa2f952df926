"""The processes of a run that spans several devices, started by `torchrun`.

Every rank holds all networks, computes on its share of each batch and averages gradients with
the others before every step. Latents and data order come from the same streams on all ranks, so
the number of ranks changes a run only by rounding, by dropout (whose noise is each rank's own)
and by batch norm (whose batch statistics are taken over a rank's share; the running ones that
are saved are those of rank 0).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ganzoo.interruption import Interruption

AGREE_SECONDS = 2.0
"""About how often the ranks ask each other whether one was asked to stop."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of the run, and this one's place among them."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that writes files and shows progress."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, with a single all-reduce."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat.div_(self.size)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the body on rank 0 first, and on the others when that is done."""
        if self.size > 1 and not self.first:
            dist.barrier()
        yield
        if self.size > 1 and self.first:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The plain value of every rank, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


class Agreement:
    """The ranks of a run stop together, after the same iteration, when one is asked to.

    They ask each other about every two seconds, so that a stop is agreed on long before the grace
    ends that `torchrun` gives (30 seconds). In which iterations they do follows from what all of
    them know: the times that each of them took.
    """

    def __init__(self, group: ProcessGroup, interruption: Interruption, iteration: int) -> None:
        self._group, self._interruption = group, interruption
        self._last, self._due, self._since = iteration, iteration + 1, time.monotonic()

    @property
    def number(self) -> int:
        """The signal that asked."""
        return self._interruption.number or signal.SIGINT

    def reached(self, iteration: int, *, now: bool = False) -> bool:
        """Whether all ranks stop after `iteration`; they agree at once where `now` is true."""
        if self._group.size == 1:
            return self._interruption.requested
        if iteration < self._due and not now:
            return False
        seconds = time.monotonic() - self._since
        answers = self._group.gather((self._interruption.number or 0, seconds))
        slowest = max(seconds for _, seconds in answers)
        done = iteration - self._last
        # At most twice as many as before: the first iterations say little of the later ones.
        ahead = min(int(done * AGREE_SECONDS / max(slowest, 1e-9)), 2 * done)
        self._last, self._due, self._since = iteration, iteration + max(1, ahead), time.monotonic()
        number = max(number for number, _ in answers)
        if number:
            self._interruption.note(number)
        return bool(number)


def group_from_environment() -> ProcessGroup:
    """The group that `torchrun` announces in the environment; one process where it does not."""
    return ProcessGroup(
        int(os.environ.get("RANK", "0")),
        int(os.environ.get("WORLD_SIZE", "1")),
        int(os.environ.get("LOCAL_RANK", "0")),
    )


@contextmanager
def joined(group: ProcessGroup, device: torch.device) -> Iterator[None]:
    """Connect to the other processes: nccl between CUDA devices, gloo otherwise."""
    if group.size == 1:
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
