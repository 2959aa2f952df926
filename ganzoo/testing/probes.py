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

from ganzoo.protocols import Probe
from ganzoo.testing.building import ready, streams_at
from ganzoo.testing.checks import Subject, Wrong, check
from ganzoo.testing.surroundings import Surroundings, worlds

GAME = frozenset({"generator", "discriminator"})
GROUP = ("discriminator", "generator")
STEP = 0.01
"""How far the weights are moved between the two looks, as by a step of an optimizer."""


def _look(world: Surroundings, probe: Probe) -> Any:
    """One iteration that the probe looks at; both networks move. What it computes."""
    batch = world.batch()
    probe.before(GROUP, world.view, batch)
    with torch.no_grad():
        for network in world.networks.values():
            for weight in network.parameters():
                weight.add_(STEP)
    probe.after(GROUP, world.view, batch)
    return probe.compute()


def _state(networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    """What a probe might change of the networks."""
    found: dict[str, Any] = {}
    for slot, network in networks.items():
        for name, value in network.state_dict().items():
            found[f"the value of {slot}.{name}"] = value.clone()
        for name, weight in network.named_parameters():
            found[f"requires_grad of {slot}.{name}"] = weight.requires_grad
            found[f"the gradient of {slot}.{name}"] = copy.deepcopy(weight.grad)
        for name, module in network.named_modules():
            where = f"{slot}.{name}" if name else slot
            found[f"the mode (train or eval) of {where}"] = module.training
    return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


@check("probe")
def probe_figures(subject: Subject) -> None:
    """Figures go into a curve by name; one that is no number at the start of a run has none."""
    ready(subject)
    world = worlds(subject, GAME)[0]
    probe: Probe = world.build()
    figures = _look(world, probe)
    if not isinstance(figures, Mapping):
        raise Wrong(f"compute() returns a {type(figures).__name__}; return figures by name")
    for name, value in figures.items():
        if not isinstance(name, str) or not name:
            raise Wrong(f"compute() names a figure {name!r}; take a word")
        if not isinstance(value, numbers.Real):
            raise Wrong(f"'{name}' is a {type(value).__name__}; return a float")
        if not math.isfinite(value):
            raise Wrong(f"'{name}' is {value}; return a finite number, or leave the figure out")
    picture = probe.draw()
    if picture is not None and not isinstance(picture, Image.Image):
        raise Wrong(f"draw() returns a {type(picture).__name__}; return a PIL image or None")


@check("probe")
def probe_side_effects(subject: Subject) -> None:
    """A run that is looked at must train the same weights as one that is not."""
    ready(subject)
    world = worlds(subject, GAME)[0]
    probe: Probe = world.build()
    batch = world.batch()
    networks = world.networks
    for network in networks.values():
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
    for call, what in (
        (lambda: probe.before(GROUP, world.view, batch), "before()"),
        (lambda: probe.after(GROUP, world.view, batch), "after()"),
        (probe.compute, "compute()"),
        (probe.draw, "draw()"),
    ):
        known = _state(networks)
        with streams_at(1) as moved:
            call()
            if stream := moved():
                raise Wrong(f"{what} draws from {stream}; draw from a torch.Generator of its own")
        for name, value in _state(networks).items():
            if not _same(known[name], value):
                raise Wrong(f"{what} changes {name}; put it back as it was, and train nothing")
