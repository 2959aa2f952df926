"""The processes of a run that spans several devices, started by `torchrun`.

Every rank holds all networks, computes on its share of each batch and averages gradients with
the others before every step. Latents and data order come from the same streams on all ranks, so
the number of ranks changes a run only by rounding, by dropout (whose noise is each rank's own)
and by batch norm (whose batch statistics are taken over a rank's share; the running ones that
are saved are those of rank 0).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
