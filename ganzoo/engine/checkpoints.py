"""Checkpoints, snapshots and weights: written completely or not at all, and read back.

Each file says of which run it is and which file of it; see `ganzoo.digests` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ganzoo.digests import (
    BrokenFile,
    pass_over,
    passed_over,
    read_state,
    read_tensors,
    write_state,
    write_tensors,
)
from ganzoo.engine.networks import clean_state, misfit
from ganzoo.errors import RunError, describe
from ganzoo.plans import (
    earlier_plans,
    is_of_run,
    planned_snapshots,
    written_iterations,
    written_tables,
)
from ganzoo.protocols import Prior
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder
from ganzoo.status import read_status

LOOKS = 100
"""How often the checkpoints of a run are looked for while another process removes them."""

Warn = Callable[[str], None]


def save_checkpoint(folder: RunFolder, state: Mapping[str, Any], keep: int) -> Path:
    """Write the state as a checkpoint and remove all before it but the newest `keep` - 1."""
    iteration = state["counters"]["iteration"]
    path = folder.checkpoint(iteration)
    write_state(path, state)
    before = [each for each in folder.checkpoints() if int(each.stem) < iteration]
    for old in before[keep - 1 :]:
        old.unlink(missing_ok=True)
    return path


def newest_checkpoint(
    folder: RunFolder, warn: Warn, *, aside: bool = False
) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, or None where the run has not written any.

    One that is broken is passed over with a warning, and with `aside` renamed, so that nothing
    reads it again. Raises `RunError` where there are checkpoints and none of them is whole.
    """
    warned = set[Path]()

    def pass_it_over(error: BrokenFile) -> None:
        if aside:
            pass_over(error, warn)
        elif error.path not in warned:
            warn(passed_over(error))
        warned.add(error.path)

    for _ in range(LOOKS):
        try:
            for path in folder.checkpoints():
                try:
                    return _read_checkpoint(folder, path)
                except BrokenFile as error:
                    pass_it_over(error)
        except FileNotFoundError:
            continue  # the process that trains the run has written a newer one meanwhile
        break
    if warned or any(folder.checkpoint(0).parent.glob("*.broken")):
        raise RunError(
            f"no checkpoint in {folder.path} is whole, so the run cannot go on",
            hint="put one back from a copy of the folder, "
            f"or `ganzoo run {folder.recipe}` makes the run anew",
        )
    return None


def _read_checkpoint(folder: RunFolder, path: Path) -> dict[str, Any]:
    """A checkpoint, if it is what its name says, and of the run. Raises `BrokenFile`."""
    state = read_state(path)
    try:
        iteration, recorded = state["counters"]["iteration"], state["fingerprint"]
        networks = [*state["networks"].values(), *(state["average"] or {}).values()]
        tensors = [each for network in networks for each in network.values()]
        finite = all(bool(each.isfinite().all()) for each in tensors)
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenFile(path, "it holds no state of a run") from error
    if not is_of_run(folder, recorded, iteration):
        raise BrokenFile(path, "it is of another run")
    if iteration != int(path.stem):
        raise BrokenFile(path, f"it is of iteration {iteration}")
    if not finite:
        raise BrokenFile(path, "it holds numbers that are not finite")
    return state


def save_weights(folder: RunFolder, name: str, network: nn.Module, fingerprint: str) -> None:
    """Write a network's weights and buffers as `<name>.safetensors`."""
    _save(folder, folder.weights(name), clean_state(network), fingerprint)


def save_snapshot(
    folder: RunFolder, iteration: int, modules: Mapping[str, nn.Module], fingerprint: str
) -> None:
    """Write the weights of all modules to one file, keys as `<name>.<weight>`."""
    state = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in clean_state(module).items()
    }
    _save(folder, folder.snapshot(iteration), state, fingerprint)


def load_weights(folder: RunFolder, networks: Mapping[str, nn.Module], warn: Warn) -> None:
    """Put a run's weights into freshly built networks, averaged ones where there is an average.

    A run that is not done yet is read from its newest checkpoint. Raises `RunError` where there
    is neither, where a file is broken, and where the weights do not fit.
    """
    # Asked first: a run that is done by now has had all its weights before.
    done = read_status(folder).get("state") == "done"
    paths = {name: folder.weights(name) for name in networks}
    missing = [path for path in paths.values() if not path.exists()]
    if not missing:
        for name, network in networks.items():
            _load(network, _read(folder, paths[name]), folder)
        return
    if done:
        raise RunError(f"{missing[0]} is not there, although the run is done", hint=_again(folder))
    state = newest_checkpoint(folder, warn)
    if state is None:
        raise RunError(
            f"{folder.path} has no weights yet",
            hint=f"`ganzoo resume {folder.path}` trains it; a checkpoint is enough",
        )
    averages = state["average"] or {}
    for name, network in networks.items():
        _load(network, averages.get(name) or state["networks"].get(name, {}), folder)


def saved_weights(
    folder: RunFolder, names: Iterable[str], iteration: int | None, warn: Warn
) -> tuple[dict[str, Tensor], int]:
    """Weights of a run as it is sampled from, keys as `<name>.<weight>`, and their iteration.

    They are those of a snapshot, or by default those of the end; of a run that is not done those
    of its newest checkpoint. `names` are of what has weights. Raises `RunError` as `load_weights`.
    """
    if iteration is not None:
        return _read(folder, folder.snapshot(iteration)), iteration
    status = read_status(folder)
    if status.get("state") == "done":
        states: dict[str, Any] = {name: _read(folder, folder.weights(name)) for name in names}
        last = status["iteration"]
    elif state := newest_checkpoint(folder, warn):
        states = {**state["networks"], **(state["average"] or {})}
        last = state["counters"]["iteration"]
    else:
        raise RunError(
            f"{folder.path} has no weights yet",
            hint=f"`ganzoo resume {folder.path}` trains it; a checkpoint is enough",
        )
    flat = {f"{name}.{key}": each for name in states for key, each in states[name].items()}
    return flat, last


def kept_snapshots(folder: RunFolder) -> list[int]:
    """The iterations at which a run keeps snapshots, in order. Raises `RunError` where one of them
    is missing in a run that is trained, or its recipe is damaged."""
    try:
        count = int(written_tables(folder)["evaluate"]["snapshots"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder.recipe} is damaged: {describe(error)}", hint="restore it from a copy"
        ) from error
    last = written_iterations(folder)
    iterations = planned_snapshots(earlier_plans(folder), last, count)
    for iteration in iterations:
        if not folder.snapshot(iteration).exists():
            raise RunError(
                f"{folder.snapshot(iteration)} is missing",
                hint=f"{_again(folder)}; evaluate.snapshots = 0 in {folder.recipe} measures the "
                "end alone",
            )
    return iterations


def load_snapshot(folder: RunFolder, iteration: int, networks: Mapping[str, nn.Module]) -> None:
    """Put the weights of one iteration into networks.

    Raises `RunError` where there is no such snapshot, where it is broken or does not fit.
    """
    state = _read(folder, folder.snapshot(iteration))
    for name, network in networks.items():
        prefix = f"{name}."
        own = {key: value for key, value in state.items() if key.startswith(prefix)}
        _load(network, {key.removeprefix(prefix): own[key] for key in own}, folder)


def save_prior(folder: RunFolder, name: str, prior: Prior, fingerprint: str) -> None:
    """Write the state of a fitted prior as `priors/<name>.safetensors`."""
    state: Mapping[str, Tensor] = prior.state_dict()  # type: ignore[attr-defined]
    tensors = {key: value.contiguous() for key, value in state.items()}
    _save(folder, folder.prior(name), tensors, fingerprint)


def load_prior(folder: RunFolder, name: str, prior: Prior) -> None:
    """Put its state into a prior. Raises `RunError` where it was not fitted yet, or is broken."""
    path = folder.prior(name)
    if not path.exists():
        raise RunError(
            f"{folder.path} has no fitted prior '{name}'",
            hint="it is fitted at the end of a run whose loss knows the codes of real samples",
        )
    try:
        prior.load_state_dict(_read(folder, path, finite=False))  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise _does_not_fit(folder, str(error).partition("\n")[0]) from error


def broken_files(folder: RunFolder, recipe: Recipe) -> Iterator[RunError]:
    """What is wrong with the files that a finished run is sampled from and measured by."""
    names = [*recipe.networks, *(["loss"] if recipe.loss.spec.has_weights else [])]
    paths = [folder.weights(name) for name in names]
    last, count = recipe.train.iterations, recipe.evaluate.snapshots
    snapshots = planned_snapshots(earlier_plans(folder), last, count)
    paths += [folder.snapshot(iteration) for iteration in snapshots]
    if "codes" in recipe.loss.spec.provides:
        fitted = [name for name, each in recipe.all_priors.items() if each.spec.fitted]
        paths += [folder.prior(name) for name in fitted]
    for path in paths:
        try:
            _read(folder, path, finite=False)
        except RunError as error:
            yield error


def _save(folder: RunFolder, path: Path, tensors: Mapping[str, Tensor], fingerprint: str) -> None:
    file = path.relative_to(folder.path).as_posix()
    write_tensors(path, tensors, {"file": file, "fingerprint": fingerprint})


def _read(folder: RunFolder, path: Path, *, finite: bool = True) -> dict[str, Tensor]:
    """The tensors of a file of the run. Raises `RunError`."""
    hint, file = _again(folder), path.relative_to(folder.path).as_posix()
    try:
        tensors, notes = read_tensors(path)
        if notes.get("file") != file:
            raise BrokenFile(path, f"it is {notes.get('file', 'no file of a run')}")
        iteration = int(path.stem) if path.parent == folder.snapshot(0).parent else None
        if not is_of_run(folder, notes.get("fingerprint"), iteration):
            raise BrokenFile(path, "it is of another run")
        if finite and not all(bool(each.isfinite().all()) for each in tensors.values()):
            raise BrokenFile(path, "it holds numbers that are not finite")
    except FileNotFoundError:
        raise RunError(f"{path} is missing", hint=hint) from None
    except BrokenFile as error:
        raise BrokenFile(path, error.reason, hint=hint) from error
    return tensors


def _again(folder: RunFolder) -> str:
    """How files of a run are made again."""
    return (
        "put it back from a copy of the folder, or "
        f"`ganzoo resume {folder.path}` makes it again where a checkpoint allows it"
    )


def _load(network: nn.Module, state: Mapping[str, Tensor], folder: RunFolder) -> None:
    if reason := misfit(network, state):
        raise _does_not_fit(folder, reason)
    network.load_state_dict(state)


def _does_not_fit(folder: RunFolder, reason: str) -> RunError:
    return RunError(
        f"the weights in {folder.path} do not fit the networks of its recipe: {reason}",
        hint="a plugin has changed its networks since the run",
    )
