"""Separate random streams, all fixed by the one seed of a recipe.

Data order, latents, initialisation, noise inside the networks (dropout, reparametrisation) and
the fixed latents of pictures come from streams of their own, so that changing how much one of
them consumes changes none of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganzoo.recipe.settings import Latent

BLOCK = 256
"""Random rows that are drawn together: row i is the same however many are wanted."""


def stream_seed(seed: int, *stream: str | int) -> int:
    """Seed of a named stream, in [0, 2^63): a hash, so that neighbours are unrelated."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def generator_for(
    seed: int, *stream: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator on `device` at the start of a named stream."""
    return torch.Generator(device).manual_seed(stream_seed(seed, *stream))


def stream_state(stream: torch.Generator) -> dict[str, Any]:
    """The state of a generator, and the kind of device that it is for."""
    return {"device": stream.device.type, "state": stream.get_state()}


def load_stream(
    stream: torch.Generator, state: Mapping[str, Any], seed: int, *name: str | int
) -> None:
    """Restore what `stream_state` gave. One of another kind of device means nothing here: then the
    stream goes on as another one, called `name`."""
    if state["device"] == stream.device.type:
        stream.set_state(state["state"])
    else:
        stream.manual_seed(stream_seed(seed, *name))


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


def fill_latents(latent: Latent, z: Tensor, generator: torch.Generator) -> Tensor:
    """Fresh latents of the recipe's distribution into `z` `(N, dim)`, in place."""
    if latent.distribution == "uniform":
        return z.uniform_(-1, 1, generator=generator)
    return z.normal_(generator=generator)


def rows(
    count: int, draw: Callable[[int, torch.Generator], Tensor], seed: int, *stream: str | int
) -> Tensor:
    """The first `count` rows of an endless random table, on the CPU.

    `draw(n, generator)` gives n rows. They are drawn in whole blocks, each from a stream of its
    own, so that a row does not depend on how many are wanted.
    """
    blocks = [
        draw(BLOCK, generator_for(seed, *stream, block)) for block in range(-(-count // BLOCK))
    ]
    return torch.cat(blocks)[:count]


def draw_latents(latent: Latent, count: int, seed: int, *stream: str | int) -> Tensor:
    """Latents `(count, dim)` of the recipe's distribution, on the CPU; row i is always the same."""

    def draw(size: int, generator: torch.Generator) -> Tensor:
        return fill_latents(latent, torch.empty(size, latent.dim), generator)

    return rows(count, draw, seed, *stream)


def draw_labels(shares: tuple[float, ...], count: int, seed: int, *stream: str | int) -> Tensor:
    """Classes int64 `(count,)` with given shares, on the CPU; row i is always the same."""

    def draw(size: int, generator: torch.Generator) -> Tensor:
        return torch.tensor(shares).multinomial(size, replacement=True, generator=generator)

    return rows(count, draw, seed, *stream, "labels")
