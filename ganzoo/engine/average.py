"""The moving average of the networks that are sampled from."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo.protocols import Networks
from ganzoo.ramps import Ramp, Ramps, value_at

SAMPLED = 1000
"""Numbers of each weight whose start is remembered."""


class MovingAverage:
    """Exponential moving average of the weights of networks; their buffers are copied.

    The networks are the generator and those that it uses, so that the average of a generator which
    looks at the discriminator looks at the average of the discriminator. The decay rises from 0.1
    to its full value over the first iterations, as (1 + n) / (10 + n), so that the random initial
    weights are soon forgotten.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], decay: float | Ramp | Ramps, iterations: int
    ) -> None:
        # Copied together, so that references among them lead to the copies.
        copies = copy.deepcopy(dict(networks))
        for network in copies.values():
            network.requires_grad_(False).eval()
        self.networks = Networks(copies)
        self.decay, self.iterations = decay, iterations
        self._averages = _tensors(copies, nn.Module.parameters)
        self._weights = _tensors(networks, nn.Module.parameters)
        self._start = [_some(each).clone() for each in self._averages]
        self._copies = _tensors(copies, nn.Module.buffers)
        self._buffers = _tensors(networks, nn.Module.buffers)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move the average towards the weights, after iteration number `iteration` (from 0)."""
        full = value_at(self.decay, iteration, self.iterations)
        decay = min(full, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        if self._copies:
            torch._foreach_copy_(self._copies, self._buffers)

    @torch.no_grad()
    def followed(self) -> float:
        """How much of the way of the weights from their start the average has gone: 1 where it
        has caught up or nothing has moved, 0 where it never left. From some numbers of each weight.
        """
        with_start = zip(self._averages, self._weights, self._start, strict=True)
        ways = [
            (_some(average) - start, _some(weight) - start) for average, weight, start in with_start
        ]
        along, whole = (
            torch.stack([torch.stack([(a * w).sum(), w.square().sum()]) for a, w in ways])
            .sum(0)
            .tolist()
        )  # host sync: once a logging interval
        return along / whole if whole else 1.0

    def state_dict(self) -> dict[str, Any]:
        """State of each network by name."""
        return {name: network.state_dict() for name, network in self.networks.items()}


def _some(weight: Tensor) -> Tensor:
    return weight.detach().flatten()[:SAMPLED]


def _tensors(networks: Mapping[str, nn.Module], which: Any) -> list[Tensor]:
    return [tensor for network in networks.values() for tensor in which(network)]


@torch.no_grad()
def refresh_batch_norm(network: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Take the statistics of batch normalisation anew, where there are any, over batches of inputs.

    Averaged weights have other activations than the weights whose statistics they were copied
    with (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).
    """
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    for each in inputs:
        network(*each)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
