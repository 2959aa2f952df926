"""Separate random streams, all fixed by the one seed of a recipe.

Data order, latents, initialisation, noise inside the networks (dropout, reparametrisation) and
the fixed latents of pictures come from streams of their own, so that changing how much one of
them consumes changes none of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, *stream: str | int) -> int:
    """Seed of a named stream, in [0, 2^63): a hash, so that neighbours are unrelated."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def generator_for(
    seed: int, *stream: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator on `device` at the start of a named stream."""
    return torch.Generator(device).manual_seed(stream_seed(seed, *stream))


@contextmanager
def seeded(seed: int, *stream: str | int, device: torch.device) -> Iterator[None]:
    """Let torch's default generators follow a named stream, and put them back afterwards."""
    devices = [device] if device.type != "cpu" else []
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        if devices:
            torch.manual_seed(stream_seed(seed, *stream))
        else:
            # torch.manual_seed would set the streams of all GPUs, which nobody puts back.
            torch.default_generator.manual_seed(stream_seed(seed, *stream))
        yield
