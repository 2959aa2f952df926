"""Situations at the border of what a loss meets in a run.

Each prepares the networks of a bench, and gives a batch, a name of the situation for messages and
what helps; or None where the bench has no network that the situation is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from ganzoo.engine.step import Batch
from ganzoo.testing.bench import Bench


class Situation(NamedTuple):
    """What a loss is computed on."""

    batch: Batch
    name: str
    remedy: str


def sure_discriminator(bench: Bench) -> Situation | None:
    """Logits of 1e4, of either sign for real samples and for fakes."""
    network, calls = bench.modules.get("discriminator"), [0]
    if network is None:
        return None

    def hook(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
        # One call has the signs - + - +, the next - - + +: all four pairs of signs are there.
        period = 1 + calls[0] % 2
        calls[0] += 1
        signs = logits.new_ones(len(logits)).cumsum(0).sub(1).div(period).floor() % 2 * 2 - 1
        return logits + (1e4 * signs - logits).detach()

    network.register_forward_hook(hook)
    remedy = "write -log sigmoid(l) as `softplus(-l)`, bound exponentials"
    return Situation(bench.batch(), "logits are 1e4 or -1e4", remedy)


def flat_discriminator(bench: Bench) -> Situation | None:
    """A discriminator that gives 0 everywhere, and has no slope."""
    network = bench.modules.get("discriminator")
    if network is None:
        return None
    network.register_forward_hook(lambda module, inputs, logits: 0 * logits)
    return Situation(
        bench.batch(),
        "the discriminator gives 0 for every sample",
        "a root of 0 has no gradient: take `torch.linalg.vector_norm`, or add a small number",
    )


def extreme_samples(bench: Bench) -> Situation:
    """Images of nothing but black and white, or points 100 times as far out."""
    images = len(bench.sample_shape) == 3

    def extreme(x: Tensor) -> Tensor:
        return x + ((x >= 0).to(x) * 2 - 1 - x).detach() if images else 100 * x

    if (network := bench.modules.get("generator")) is not None:
        network.register_forward_hook(lambda module, inputs, x: extreme(x))
    batch = bench.batch()
    name = "every pixel is -1 or 1" if images else "points are a hundred times as far out"
    remedy = "keep logarithms and roots away from 0, and bound exponentials"
    return Situation(replace(batch, x=extreme(batch.x)), name, remedy)


SITUATIONS: Sequence[Callable[[Bench], Situation | None]] = (
    sure_discriminator,
    flat_discriminator,
    extreme_samples,
)
"""All of them."""
