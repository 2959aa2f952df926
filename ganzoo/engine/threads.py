"""How many threads compute: as many as the work of a step keeps busy, by a rule.

A thread that waits for the others costs more than it brings where there is little to compute, and
far more where another process wants its core. A rule, unlike a measurement, makes the same choice
every time, and with it the same bytes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.engine.parts import Parts

ENOUGH = 2e9
"""Floating-point operations of a forward pass that keep a thread busy: docs/performance.md."""


def choose_threads(wanted: Literal["auto"] | int, parts: Parts) -> int:
    """The number of threads for a run: what the recipe says, or one for each `ENOUGH` operations
    of a forward pass of a batch through all networks; never more than torch would take here."""
    most = torch.get_num_threads()
    if wanted != "auto":
        return wanted
    if most == 1 or at_most(parts) < ENOUGH:
        return 1
    return max(1, min(most, int(operations(parts) // ENOUGH)))


def at_most(parts: Parts) -> float:
    """A bound on `operations`, for no layer works on more places than a sample has; it takes no
    time, where counting takes half a second."""
    weights = sum(
        weight.numel() for network in parts.networks.values() for weight in network.parameters()
    )
    places = math.prod(parts.context.sample_shape[1:])
    return 2.0 * parts.recipe.train.batch_size * places * weights


def operations(parts: Parts) -> int:
    """Floating-point operations of one forward pass of a batch through each of the networks.

    They are counted on tensors without values. A network that cannot be called so counts nothing.
    """
    recipe, total = parts.recipe, 0
    for name, component in recipe.networks.items():
        context = parts.network_context(name, component.spec)
        count = recipe.train.batch_size // getattr(component.spec, "pack", 1)
        generates = component.spec.kind == "generator"
        shape = (context.latent_dim,) if generates else context.sample_shape
        inputs = [torch.empty(count, *shape, device="meta")]
        if context.conditional:
            inputs.append(torch.empty(count, dtype=torch.int64, device="meta"))
        total += _counted(parts.networks[name], tuple(inputs))
    return total


def _counted(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    weights = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), counter:
            functional_call(network, weights, inputs)
    except Exception:  # such as of a network that looks at values
        return 0
    return int(counter.get_total_flops())
