"""All that a run has become, as a checkpoint holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ganzoo.engine.session import Counters, Session
from ganzoo.errors import RunError


def state_dict(session: Session) -> dict[str, Any]:
    """The whole state as tensors and plain data; of several processes, all must call this.

    `shared` is the same on all processes; `processes` holds what each has of its own: buffers of
    networks, parts with a memory, statistics, noise.
    """
    parts = session.parts
    own = {
        "buffers": {name: _without_weights(each) for name, each in parts.modules.items()},
        "parts": {place: part.state_dict() for place, part in parts.with_memory().items()},
        "statistics": session.statistics.state_dict(),
        "signs": session.signs.state_dict(),
        "observation": session.observation.state_dict(),
        "noise": _noise(session.backend.device),
    }
    return {
        "fingerprint": session.recipe.fingerprint,
        "counters": asdict(session.counters) | {"steps": dict(session.counters.steps)},
        "batches": session.batches.state_dict(),
        "networks": {name: module.state_dict() for name, module in parts.modules.items()},
        "average": None if session.average is None else session.average.state_dict(),
        "optimizers": session.optimizers.state_dict(),
        "processes": session.group.gather(own),
    }


def load_state_dict(session: Session, state: Mapping[str, Any]) -> None:
    """Restore a state; raises `RunError` if it was made by another number of processes."""
    if len(state["processes"]) != session.group.size:
        raise RunError(
            f"the checkpoint was written by {len(state['processes'])} processes, "
            f"not by {session.group.size}",
            hint="resume with as many as before",
        )
    parts, own = session.parts, state["processes"][session.group.rank]
    for name, module in parts.modules.items():
        module.load_state_dict({**state["networks"][name], **own["buffers"][name]})
    for place, part in parts.with_memory().items():
        part.load_state_dict(own["parts"][place])
    if session.average is not None:
        session.average.load_state_dict(state["average"])
    session.optimizers.load_state_dict(state["optimizers"])
    counters = state["counters"]
    session.counters = Counters(**{**counters, "steps": Counter(counters["steps"])})
    session.batches.load_state_dict(state["batches"])
    session.statistics.load_state_dict(own["statistics"])
    session.signs.load_state_dict(own["signs"])
    session.observation.load_state_dict(own["observation"])
    _restore_noise(session.backend.device, own["noise"])


def _without_weights(module: nn.Module) -> dict[str, Any]:
    """A module's state but for the weights, which all processes share."""
    weights = dict(module.named_parameters())
    return {name: value for name, value in module.state_dict().items() if name not in weights}


def _noise(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's default random streams."""
    noise = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        noise["device"] = torch.get_device_module(device).get_rng_state()
    return noise


def _restore_noise(device: torch.device, noise: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(noise["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(noise["device"])
