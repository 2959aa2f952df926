"""Checkpoints, snapshots and weights: written completely or not at all, and read back."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ganzoo.data import DataDescription
from ganzoo.engine.networks import clean_state
from ganzoo.errors import RunError
from ganzoo.protocols import Prior
from ganzoo.runs import RunFolder, read_json, whole_file


def save_checkpoint(folder: RunFolder, state: Mapping[str, Any], keep: int) -> Path:
    """Write the state as a checkpoint and remove all but the newest `keep`."""
    path = folder.checkpoint(state["counters"]["iteration"])
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
            reason = str(error).partition("\n")[0] or type(error).__name__
            warn(f"{path} cannot be read and is passed over: {reason}")
            continue
        return state
    return None


def save_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors by name as safetensors."""
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as file:
        file.write(safetensors.torch.save(dict(state)))


def save_weights(folder: RunFolder, name: str, network: nn.Module) -> None:
    """Write a network's weights and buffers as `<name>.safetensors`."""
    save_tensors(folder.weights(name), clean_state(network))


def save_snapshot(folder: RunFolder, iteration: int, modules: Mapping[str, nn.Module]) -> None:
    """Write the weights of all modules to one file, keys as `<name>.<weight>`."""
    state = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in clean_state(module).items()
    }
    save_tensors(folder.snapshot(iteration), state)


def load_weights(folder: RunFolder, networks: Mapping[str, nn.Module]) -> None:
    """Put a run's weights into freshly built networks, averaged ones where there is an average.

    A run that is not done yet is read from its newest checkpoint. Raises `RunError` where there
    is neither, and where the weights do not fit.
    """
    with _fitting(folder):
        if all(folder.weights(name).exists() for name in networks):
            for name, network in networks.items():
                network.load_state_dict(safetensors.torch.load(folder.weights(name).read_bytes()))
            return
        state = newest_checkpoint(folder, lambda text: None)
        if state is None:
            raise RunError(
                f"{folder.path} has no weights yet",
                hint=f"`ganzoo resume {folder.path}` trains it; a checkpoint is enough",
            )
        averages = state["average"] or {}
        for name, network in networks.items():
            network.load_state_dict(averages.get(name, state["networks"][name]))


def load_snapshot(folder: RunFolder, iteration: int, networks: Mapping[str, nn.Module]) -> None:
    """Put the weights of one iteration into networks. Raises `RunError` where they do not fit."""
    with _fitting(folder):
        state = safetensors.torch.load(folder.snapshot(iteration).read_bytes())
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {
                    key.removeprefix(prefix): value
                    for key, value in state.items()
                    if key.startswith(prefix)
                }
            )


def save_prior(folder: RunFolder, name: str, prior: Prior) -> None:
    """Write the state of a fitted prior as `priors/<name>.safetensors`."""
    state: Mapping[str, Tensor] = prior.state_dict()  # type: ignore[attr-defined]
    save_tensors(folder.prior(name), {key: value.contiguous() for key, value in state.items()})


def load_prior(folder: RunFolder, name: str, prior: Prior) -> None:
    """Put its state into a prior. Raises `RunError` where it was not fitted yet."""
    path = folder.prior(name)
    if not path.exists():
        raise RunError(
            f"{folder.path} has no fitted prior '{name}'",
            hint="it is fitted at the end of a run whose loss knows the codes of real samples",
        )
    with _fitting(folder):
        prior.load_state_dict(safetensors.torch.load(path.read_bytes()))  # type: ignore[attr-defined]


def read_description(folder: RunFolder) -> DataDescription:
    """What a run's folder says of the data, so that they need not be opened to draw samples.

    Raises `RunError` for a run that has not begun.
    """
    kept = read_json(folder.environment).get("data")
    if not kept:
        raise RunError(
            f"{folder.path} has no weights yet", hint=f"`ganzoo resume {folder.path}` trains it"
        )
    shares = kept["class_shares"]
    return DataDescription(**{**kept, "class_shares": None if shares is None else tuple(shares)})


def check_same_data(folder: RunFolder, now: DataDescription) -> None:
    """Raise `RunError` where a run was begun with other data than those of its recipe now."""
    if read_json(folder.environment) and (text := other_data(read_description(folder), now)):
        raise RunError(
            f"{folder.path} cannot be resumed: {text}",
            hint=f"put the data back as they were, or begin anew: `ganzoo run {folder.recipe}`",
        )


def other_data(then: DataDescription, now: DataDescription) -> str | None:
    """How the data of a run differ from those there are now, in words; None where they do not."""
    if then.digest == now.digest:
        return None
    old, new = (
        f"{each.training_samples} samples and {each.held_out_samples} held out"
        + (f" from {each.source}" if each.source else "")
        for each in (then, now)
    )
    change = f"they were {old}, and are {new}" if old != new else f"{new} of other content"
    return f"the data are no longer those that it was trained on ({change})"


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
