"""Checkpoints: tensors and plain data, whole or absent, the newest few kept."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from ganzoo.engine.networks import clean_state
from ganzoo.errors import RunError
from ganzoo.runs import RunFolder, whole_file


def save_checkpoint(folder: RunFolder, state: Mapping[str, Any], keep: int) -> Path:
    """Write the state as a checkpoint and remove all but the newest `keep`."""
    path = folder.checkpoint(state["iteration"])
    with whole_file(path) as file:
        torch.save(dict(state), file)
    for old in folder.checkpoints()[keep:]:
        old.unlink()
    return path


def newest_checkpoint(folder: RunFolder, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None where there is none.

    One that is cut short or otherwise broken is passed over with a warning.
    """
    for path in folder.checkpoints():
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            warn(f"{path} cannot be read and is passed over: {reason}")
            continue
        return state
    return None


def save_weights(folder: RunFolder, slot: str, network: nn.Module) -> None:
    """Write a network's weights and buffers as `<slot>.safetensors`."""
    with whole_file(folder.weights(slot)) as file:
        file.write(safetensors.torch.save(clean_state(network)))


def save_snapshot(folder: RunFolder, iteration: int, modules: Mapping[str, nn.Module]) -> None:
    """Write the weights of all modules to one file, keys as `<slot>.<weight>`."""
    state = {
        f"{slot}.{name}": value
        for slot, module in modules.items()
        for name, value in clean_state(module).items()
    }
    folder.snapshot(iteration).parent.mkdir(exist_ok=True)
    with whole_file(folder.snapshot(iteration)) as file:
        file.write(safetensors.torch.save(state))


def load_weights(folder: RunFolder, networks: Mapping[str, nn.Module]) -> None:
    """Put a run's weights into freshly built networks, the moving average into the generator.

    A run that is not done yet is read from its newest checkpoint. Raises `RunError` where there
    is neither, and where the weights do not fit.
    """
    with _fitting(folder):
        _load_weights(folder, networks)


def load_snapshot(folder: RunFolder, iteration: int, networks: Mapping[str, nn.Module]) -> None:
    """Put the weights of one iteration into networks. Raises `RunError` where they do not fit."""
    with _fitting(folder):
        state = safetensors.torch.load(folder.snapshot(iteration).read_bytes())
        for slot, network in networks.items():
            prefix = f"{slot}."
            network.load_state_dict(
                {
                    key.removeprefix(prefix): value
                    for key, value in state.items()
                    if key.startswith(prefix)
                }
            )


@contextmanager
def _fitting(folder: RunFolder) -> Iterator[None]:
    """Weights that cannot be read into networks become a `RunError`."""
    try:
        yield
    except (RuntimeError, OSError, SafetensorError) as error:
        raise RunError(
            f"the weights in {folder.path} do not fit the networks of its recipe: "
            f"{str(error).partition(chr(10))[0]}",
            hint="the files were damaged, or a plugin has changed its networks since the run",
        ) from error


def _load_weights(folder: RunFolder, networks: Mapping[str, nn.Module]) -> None:
    if all(folder.weights(slot).exists() for slot in networks):
        for slot, network in networks.items():
            network.load_state_dict(safetensors.torch.load(folder.weights(slot).read_bytes()))
        return
    state = newest_checkpoint(folder, lambda text: None)
    if state is None:
        raise RunError(
            f"{folder.path} has no weights yet",
            hint=f"`ganzoo resume {folder.path}` trains it; a checkpoint is enough",
        )
    for slot, network in networks.items():
        network.load_state_dict(state["networks"][slot])
    if state["average"] is not None:
        networks["generator"].load_state_dict(state["average"])
