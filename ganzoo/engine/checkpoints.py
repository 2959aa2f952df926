"""Checkpoints, snapshots and weights: written completely or not at all, and read back.

Each file says of which run it is and which file of it; see `ganzoo.digests` for the rest. In files
of weights every key begins with the part that it belongs to: `generator.layers.0.weight`,
`priors.mixture.means`; their header has what `engine.environment.provenance` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
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
from ganzoo.engine.saved import SAVED_STATE
from ganzoo.errors import RunError, describe
from ganzoo.plans import (
    earlier_plans,
    is_of_run,
    planned_snapshots,
    run_fingerprint,
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
        SAVED_STATE.validate_python(state, strict=True)
    except ValidationError as error:
        raise BrokenFile(path, "it holds no state of a run") from error
    iteration = state["counters"]["iteration"]
    tables = [*state["networks"].values(), *(state["average"] or {}).values()]
    tables += [each for saved in state["optimizers"].values() for each in saved["state"].values()]
    tensors = [each for table in tables for each in table.values()]
    finite = all(bool(each.isfinite().all()) for each in tensors)
    if not is_of_run(folder, state["fingerprint"], iteration):
        raise BrokenFile(path, "it is of another run")
    if iteration != int(path.stem):
        raise BrokenFile(path, f"it is of iteration {iteration}")
    if not finite:
        raise BrokenFile(path, "it holds numbers that are not finite")
    return state


def save_weights(
    folder: RunFolder, name: str, network: nn.Module, notes: Mapping[str, str]
) -> None:
    """Write a network's weights and buffers as `<name>.safetensors`.

    `notes`, here and below, are what `provenance` says of the run.
    """
    _save(folder, folder.weights(name), {name: clean_state(network)}, notes)


def save_snapshot(
    folder: RunFolder, iteration: int, modules: Mapping[str, nn.Module], notes: Mapping[str, str]
) -> None:
    """Write the weights of all modules to one file."""
    parts = {name: clean_state(module) for name, module in modules.items()}
    _save(folder, folder.snapshot(iteration), parts, notes)


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
            _load(network, _read_part(folder, paths[name], name), folder)
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
        files = [_read(folder, folder.weights(name)) for name in names]
        return {key: each for file in files for key, each in file.items()}, status["iteration"]
    state = newest_checkpoint(folder, warn)
    if state is None:
        raise RunError(
            f"{folder.path} has no weights yet",
            hint=f"`ganzoo resume {folder.path}` trains it; a checkpoint is enough",
        )
    states = {**state["networks"], **(state["average"] or {})}
    flat = {f"{name}.{key}": each for name in states for key, each in states[name].items()}
    return flat, state["counters"]["iteration"]


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
        _load(network, _own(state, name), folder)


def save_prior(folder: RunFolder, name: str, prior: Prior, notes: Mapping[str, str]) -> None:
    """Write the state of a fitted prior as `priors/<name>.safetensors`."""
    state: Mapping[str, Tensor] = prior.state_dict()  # type: ignore[attr-defined]
    tensors = {key: value.contiguous() for key, value in state.items()}
    _save(folder, folder.prior(name), {f"priors.{name}": tensors}, notes)


def load_prior(folder: RunFolder, name: str, prior: Prior) -> None:
    """Put its state into a prior. Raises `RunError` where it was not fitted yet, or is broken."""
    path = folder.prior(name)
    if not path.exists():
        raise RunError(
            f"{folder.path} has no fitted prior '{name}'",
            hint="it is fitted at the end of a run whose loss knows the codes of real samples",
        )
    state = _read_part(folder, path, f"priors.{name}")
    own = prior.state_dict()  # type: ignore[attr-defined]
    for key in state.keys() & own.keys():
        if state[key].dtype != own[key].dtype:
            reason = f"'{key}' is {state[key].dtype}, not {own[key].dtype}"
            raise _does_not_fit(folder, reason)
    try:
        prior.load_state_dict(state)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise _does_not_fit(folder, str(error).partition("\n")[0]) from error


def broken_files(folder: RunFolder, recipe: Recipe) -> Iterator[RunError]:
    """What is wrong with the files that a finished run is sampled from and measured by."""
    last, count = recipe.train.iterations, recipe.evaluate.snapshots
    snapshots = planned_snapshots(earlier_plans(folder), last, count)
    paths = [folder.weights(name) for name in _saved(recipe)]
    paths += [folder.snapshot(iteration) for iteration in snapshots]
    paths += [folder.prior(name) for name in _fitted(recipe)]
    for path in paths:
        try:
            _read(folder, path, finite=False)
        except RunError as error:
            yield error


def copy_weights(run: RunFolder, recipe: Recipe, iteration: int | None, to: RunFolder) -> None:
    """Write what a run is sampled from to another folder: the weights, at the end or of a snapshot,
    and the priors, if they are fitted by now. Raises `RunError` where a file is missing or broken.
    """
    snapshot = None if iteration is None else _read_whole(run, run.snapshot(iteration))
    # A snapshot may be older than the length that the run has now.
    now = {"fingerprint": run_fingerprint(run) or ""}
    for name in _saved(recipe):
        tensors, notes = snapshot or _read_whole(run, run.weights(name))
        _save(to, to.weights(name), {name: _own(tensors, name)}, {**notes, **now})
    for name in _fitted(recipe):
        if run.prior(name).exists():
            tensors, notes = _read_whole(run, run.prior(name))
            part = f"priors.{name}"
            _save(to, to.prior(name), {part: _own(tensors, part)}, {**notes, **now})


def _saved(recipe: Recipe) -> list[str]:
    """The parts whose weights a run saves."""
    return [*recipe.networks, *(["loss"] if recipe.loss.spec.has_weights else [])]


def _fitted(recipe: Recipe) -> list[str]:
    """The priors that a run fits at its end."""
    if "codes" not in recipe.loss.spec.capabilities:
        return []
    return [name for name, each in recipe.all_priors.items() if each.spec.fitted]


def _save(
    folder: RunFolder,
    path: Path,
    parts: Mapping[str, Mapping[str, Tensor]],
    notes: Mapping[str, str],
) -> None:
    tensors = {f"{part}.{key}": own[key] for part, own in parts.items() for key in own}
    write_tensors(path, tensors, {**notes, "file": path.relative_to(folder.path).as_posix()})


def _own(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, by its own names."""
    prefix = f"{part}."
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _read_part(folder: RunFolder, path: Path, part: str) -> dict[str, Tensor]:
    """The tensors of a file that holds one part, by its own names. Raises `RunError`."""
    tensors = _read(folder, path)
    own = _own(tensors, part)
    if strange := set(tensors) - {f"{part}.{key}" for key in own}:
        raise _does_not_fit(folder, f"'{min(strange)}' is unknown")
    return own


def _read(folder: RunFolder, path: Path, *, finite: bool = True) -> dict[str, Tensor]:
    """The tensors of a file of the run. Raises `RunError`."""
    return _read_whole(folder, path, finite=finite)[0]


def _read_whole(
    folder: RunFolder, path: Path, *, finite: bool = True
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file of the run, and the notes. Raises `RunError`."""
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
    return tensors, notes


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
