"""A network in its world, and how it is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganzoo.engine.random import generator_for, seeded
from ganzoo.testing.checks import Subject, Wrong
from ganzoo.testing.surroundings import CPU, Surroundings, smallest

READS = {"generator": "latents", "discriminator": "samples", "encoder": "samples"}
GIVES = {"generator": "samples", "discriminator": "logits", "encoder": "codes"}
"""What networks read and give, by kind, for messages."""


@dataclass
class Attempt:
    """A network just built, and the world in which it is tried."""

    world: Surroundings
    network: nn.Module
    asked: frozenset[str]
    """Capabilities that the network was asked for."""

    @property
    def kind(self) -> str:
        """`generator`, `discriminator` or `encoder`."""
        return self.world.spec.kind

    @property
    def here(self) -> str:
        """For which samples this is, for messages."""
        return f"with samples of shape {self.world.sample_shape}"

    def inputs(self, count: int, seed: int = 0) -> Tensor:
        """Latents or real samples `(count, ...)`."""
        if self.kind == "generator":
            return self.world.latents(count, seed)
        return self.world.batch(count).x

    def expected(self, count: int) -> list[tuple[int, ...]]:
        """Shapes that a batch of `count` should give."""
        if self.kind == "generator":
            return [(count, *self.world.sample_shape)]
        if self.kind == "discriminator":
            return [(count,)]
        return [(count, self.world.latent_dim)] * (1 + ("variance" in self.asked))

    def outputs(
        self, inputs: Tensor, *, training: bool = False, seed: int | None = 0
    ) -> tuple[Tensor, ...]:
        """What the network makes of a batch, an encoder perhaps two tensors.

        What is random in it follows `seed`; without one, it goes on. Raises `Wrong` where
        something else than tensors comes back.
        """
        self.network.train(training)
        if seed is None:
            made = self.network(inputs)
        else:
            with seeded(seed, "noise", device=CPU):
                made = self.network(inputs)
        found: Sequence[object] = made if isinstance(made, tuple) else (made,)
        tensors = tuple(each for each in found if isinstance(each, Tensor))
        if len(tensors) != len(found):
            names = ", ".join(type(each).__name__ for each in found)
            raise Wrong(f"`forward` returns {names}; return {GIVES[self.kind]} as a tensor")
        return tensors


def attempt(world: Surroundings, *, seed: int = 0, asked: frozenset[str] | None = None) -> Attempt:
    """The network of a world, built from a random stream of its own.

    It is asked for all that it provides unless `asked` says what for. Raises `Wrong` for
    something that is no module.
    """
    if asked is None:
        asked = world.spec.provides
    network = world.build(seed, asked=asked)
    if not isinstance(network, nn.Module):
        raise Wrong(f"`build` returns {type(network).__name__}; return a torch.nn.Module")
    return Attempt(world, network, asked)


def attempts(subject: Subject) -> Iterator[Attempt]:
    """The network in the smallest of its worlds."""
    for world in smallest(subject):
        yield attempt(world)


def check_shapes(tried: Attempt, advice: str) -> None:
    """Raise `Wrong` unless batches of 1, 2 and 3 give float32 of the expected shapes."""
    for count in (1, 2, 3):
        # Normalisation over a batch has nothing to go by in one sample.
        for training in (False, True) if count > 1 else (False,):
            made = tried.outputs(tried.inputs(count), training=training)
            shapes, expected = [tuple(each.shape) for each in made], tried.expected(count)
            gives, reads = GIVES[tried.kind], READS[tried.kind]
            if shapes != expected:
                raise Wrong(
                    f"{count} {reads} give {gives} of shape {_list(shapes)}, not "
                    f"{_list(expected)}, {tried.here}; {advice}"
                )
            for each in made:
                if each.dtype != torch.float32:
                    raise Wrong(
                        f"gives {gives} in {each.dtype}; compute in the precision of what comes "
                        "in, float32"
                    )


def pushed(made: Sequence[Tensor]) -> Tensor:
    """A number that depends on every value of some tensors, each in its own way."""
    stream = generator_for(0, "cotangents")
    return torch.stack(
        [(each * torch.randn(each.shape, generator=stream)).sum() for each in made]
    ).sum()


def not_finite(values: Tensor) -> bool:
    """Whether some value is infinite or not a number."""
    return not bool(values.isfinite().all())


def _list(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))
