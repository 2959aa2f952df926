"""Checks of probes."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import nn

from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Wrong, check
from ganzoo.testing.effects import streams_at

GROUP = ("discriminator", "generator")
STEP = 0.01
"""How far the weights are moved between the two measurements, as by a step of an optimizer."""


def _state(networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What a probe might change of the networks."""
    state: dict[str, Any] = {}
    for slot, network in networks.items():
        for name, value in network.state_dict().items():
            state[f"the value of {slot}.{name}"] = value.clone()
        for name, weight in network.named_parameters():
            state[f"requires_grad of {slot}.{name}"] = weight.requires_grad
            state[f"the gradient of {slot}.{name}"] = copy.deepcopy(weight.grad)
        for name, module in network.named_modules():
            where = f"{slot}.{name}" if name else slot
            state[f"the mode (train or eval) of {where}"] = module.training
    return state


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


@check("probe", on=first)
def probe_values(bench: Bench) -> None:
    """Values go into a curve by name; one that is no number at the start of a run has none."""
    probe, step = bench.component, bench.step()
    probe.before(GROUP, step)
    with torch.no_grad():
        for network in bench.parts.networks.values():
            for weight in network.parameters():
                weight.add_(STEP)
    probe.after(GROUP, step)
    values = probe.compute()
    if not isinstance(values, Mapping):
        raise Wrong(f"compute() returns a {type(values).__name__}; return values by name")
    for name, value in values.items():
        if not isinstance(name, str) or not name:
            raise Wrong(f"compute() names a value {name!r}; take a word")
        if not isinstance(value, numbers.Real):
            raise Wrong(f"'{name}' is a {type(value).__name__}; return a float")
        if not math.isfinite(value):
            raise Wrong(f"'{name}' is {value}; return a finite number, or leave the value out")
    picture = probe.draw()
    if picture is not None and not isinstance(picture, Image.Image):
        raise Wrong(f"draw() returns a {type(picture).__name__}; return a PIL image or None")


@check("probe", on=first)
def probe_side_effects(bench: Bench) -> None:
    """A run that is measured must train the same weights as one that is not."""
    probe, step, networks = bench.component, bench.step(), bench.parts.networks
    for network in networks.values():
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
    for call, what in (
        (lambda: probe.before(GROUP, step), "before()"),
        (lambda: probe.after(GROUP, step), "after()"),
        (probe.compute, "compute()"),
        (probe.draw, "draw()"),
    ):
        before = _state(networks)
        with streams_at(1) as moved:
            call()
            if stream := moved():
                raise Wrong(f"{what} draws from {stream}; draw from a torch.Generator of its own")
        for name, value in _state(networks).items():
            if not _same(before[name], value):
                raise Wrong(f"{what} changes {name}; put it back as it was, and train nothing")
