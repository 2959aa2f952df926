"""Situations at the border of what a loss meets in a run.

Each changes a trial and gives what to call the situation in a message, and what helps; or None
where the trial has no network that the situation is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ganzoo.testing.trials import Trial

Situation = tuple[str, str]


def sure(tried: Trial) -> Situation | None:
    """Logits of 1e4, of either sign for real samples and for fakes."""
    network, calls = tried.modules.get("discriminator"), [0]
    if network is None:
        return None

    def hook(module: nn.Module, inputs: object, logits: Tensor) -> Tensor:
        # One call has the signs - + - +, the next - - + +: all four pairs of signs are there.
        period = 1 + calls[0] % 2
        calls[0] += 1
        signs = torch.arange(len(logits)) // period % 2 * 2 - 1
        return logits + (1e4 * signs - logits).detach()

    network.register_forward_hook(hook)
    return "logits are 1e4 or -1e4", "write -log sigmoid(l) as `softplus(-l)`, bound exponentials"


def flat(tried: Trial) -> Situation | None:
    """A discriminator that says nothing, and has no slope."""
    network = tried.modules.get("discriminator")
    if network is None:
        return None
    network.register_forward_hook(lambda module, inputs, logits: 0 * logits)
    return (
        "the discriminator gives 0 for every sample",
        "a root of 0 has no gradient: take `torch.linalg.vector_norm`, or add a small number",
    )


def far(tried: Trial) -> Situation:
    """Images of nothing but black and white, or points 100 times as far out."""
    images = len(tried.world.sample_shape) == 3

    def extreme(x: Tensor) -> Tensor:
        return x + ((x >= 0).to(x) * 2 - 1 - x).detach() if images else 100 * x

    network = tried.modules.get("generator")
    if network is not None:
        network.register_forward_hook(lambda module, inputs, x: extreme(x))
    tried.batch = replace(tried.batch, x=extreme(tried.batch.x))
    seen = "every pixel is -1 or 1" if images else "points are a hundred times as far out"
    return seen, "keep logarithms and roots away from 0, and bound exponentials"


SITUATIONS: Sequence[Callable[[Trial], Situation | None]] = (sure, flat, far)
"""All of them."""
