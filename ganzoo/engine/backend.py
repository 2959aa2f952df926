"""On which device and in which precision a run computes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ganzoo.errors import UserError
from ganzoo.recipe.settings import Engine


@dataclass(frozen=True)
class Backend:
    """The choices that a recipe may leave to `auto`, made."""

    device: torch.device
    precision: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which matrix products and convolutions use the chosen precision."""
        if self.precision == torch.float32:
            return nullcontext()
        context: AbstractContextManager[None] = torch.autocast(self.device.type, self.precision)
        return context

    def described(self) -> dict[str, str]:
        """The choices in words, for `environment.json`."""
        return {
            "device": str(self.device),
            "precision": str(self.precision).removeprefix("torch."),
            "memory_format": (
                "channels-last" if self.memory_format == torch.channels_last else "contiguous"
            ),
            "threads": str(torch.get_num_threads()),
        }


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """The device that `engine.device` means here. Raises `UserError` if it is not there.

    `auto` takes CUDA, then Apple's MPS, then the CPU; `cuda` takes one device per local rank.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            wanted = "cuda"
        else:
            wanted = "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = local_rank if device.index is None else device.index
        if index >= count:
            found = (
                f"has {count} CUDA device{'s' * (count != 1)}" if count else "has no CUDA device"
            )
            raise UserError(
                f"engine.device = '{wanted}' needs CUDA device {index}, but this machine {found}",
                hint=f"torch {torch.__version__}; engine.device=auto takes what there is",
            )
        device = torch.device("cuda", index)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "engine.device = 'mps', but this machine has no Apple GPU",
            hint="engine.device=auto takes what there is",
        )
    return device


def choose_backend(
    settings: Engine, device: torch.device, networks: Mapping[str, nn.Module]
) -> Backend:
    """Fill in what the recipe leaves to `auto`, by rules that depend on nothing measured.

    A rule, unlike a measurement at the start, makes the same choice every time.
    """
    convolutional = any(
        isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        for network in networks.values()
        for module in network.modules()
    )
    if settings.precision == "auto":
        bfloat16 = _bfloat16_pays(device)
    else:
        bfloat16 = settings.precision == "bfloat16"
    if settings.memory_format == "auto":
        # Tensor cores and oneDNN's bfloat16 convolutions read channels last.
        channels_last = convolutional and bfloat16 and device.type != "mps"
    else:
        channels_last = settings.memory_format == "channels-last"
    return Backend(
        device,
        torch.bfloat16 if bfloat16 else torch.float32,
        torch.channels_last if channels_last else torch.contiguous_format,
    )


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is the faster choice: on CUDA devices that have it.

    On one CPU with AVX-512 bfloat16 the perceptrons of `make bench` ran at 0.7 times the speed of
    float32, since the weights are converted anew in every phase; on another at 1.7
    (docs/performance.md).
    """
    return device.type == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))


@contextmanager
def arithmetic(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """TensorFloat-32 and, if asked for, deterministic kernels; the old settings come back after.

    On a CPU the kernels that ganzoo uses are deterministic as they are, for a fixed number of
    threads, which is put back too.
    """
    if device.type != "cuda":
        threads = torch.get_num_threads()
        try:
            yield
        finally:
            torch.set_num_threads(threads)
        return
    torch.cuda.set_device(device)
    # cuBLAS reads this when it is first used; without it, deterministic products are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision = torch.get_float32_matmul_precision()
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filling: Any = torch.utils.deterministic
    fill = filling.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    try:
        torch.set_float32_matmul_precision("high")
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        filling.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = not deterministic
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(was_deterministic, warn_only=warn_only)
        filling.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark


def peak_memory(device: torch.device) -> float | None:
    """Most memory that this process has held so far, in MiB: the device's, or its own on a CPU.

    None where the system does not say.
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
