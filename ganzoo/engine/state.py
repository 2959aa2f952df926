"""All that a run has become, as a checkpoint holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ganzoo.engine.networks import misfit
from ganzoo.engine.random import stream_seed
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
        "fingerprint": session.fingerprint,
        "earlier": session.earlier,
        "counters": asdict(session.counters) | {"steps": dict(session.counters.steps)},
        "batches": session.batches.state_dict(),
        "networks": {name: module.state_dict() for name, module in parts.modules.items()},
        "average": None if session.average is None else session.average.state_dict(),
        "optimizers": session.optimizers.state_dict(),
        "processes": session.group.gather(own),
    }


def load_state_dict(session: Session, state: Mapping[str, Any]) -> None:
    """Restore a state, which another kind of device may have written.

    Raises `RunError` if it was made by another number of processes or with other networks.
    """
    if len(state["processes"]) != session.group.size:
        raise RunError(
            f"the checkpoint was written by {len(state['processes'])} processes, "
            f"not by {session.group.size}",
            hint="resume with as many as before",
        )
    parts, own = session.parts, state["processes"][session.group.rank]
    for name, module in parts.modules.items():
        _load(name, module, {**state["networks"].get(name, {}), **own["buffers"].get(name, {})})
    for place, part in parts.with_memory().items():
        part.load_state_dict(own["parts"][place])
    averages = {} if session.average is None else session.average.networks
    for name, network in averages.items():
        _load(name, network, (state["average"] or {}).get(name, {}))
    session.optimizers.load_state_dict(state["optimizers"])
    session.earlier = session.earlier or [*state.get("earlier", [])]
    counters = state["counters"]
    session.counters = Counters(**{**counters, "steps": Counter(counters["steps"])})
    session.batches.load_state_dict(state["batches"])
    session.statistics.load_state_dict(own["statistics"])
    session.signs.load_state_dict(own["signs"])
    session.observation.load_state_dict(own["observation"])
    _restore_noise(session, own["noise"])


def _load(name: str, module: nn.Module, saved: Mapping[str, Any]) -> None:
    if reason := misfit(module, saved):
        raise RunError(
            f"the checkpoint does not fit the {name} of the recipe: {reason}",
            hint="a plugin has changed it since the run began",
        )
    module.load_state_dict(saved)


def _without_weights(module: nn.Module) -> dict[str, Any]:
    """A module's state but for the weights, which all processes share."""
    weights = dict(module.named_parameters())
    return {name: value for name, value in module.state_dict().items() if name not in weights}


def _noise(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's default random streams, by kind of device."""
    noise = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        noise[device.type] = torch.get_device_module(device).get_rng_state()
    return noise


def _restore_noise(session: Session, noise: Mapping[str, torch.Tensor]) -> None:
    """Go on with torch's default streams; on another kind of device, with a stream of its own."""
    kind, rank = session.backend.device.type, session.group.rank
    torch.manual_seed(
        stream_seed(session.parts.seed, "noise", rank, "from", session.counters.iteration)
    )
    torch.set_rng_state(noise["cpu"])
    if kind != "cpu" and kind in noise:
        torch.get_device_module(session.backend.device).set_rng_state(noise[kind])
