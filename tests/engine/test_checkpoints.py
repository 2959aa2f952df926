"""What is read from the files of a run, and what is said where they are not as they should be."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import AUTOENCODER as CODING
from tiny import tiny, train
from torch import Tensor

from ganzoo.digests import COMMENT, BrokenFile, pass_over, read_state, read_tensors
from ganzoo.engine.checkpoints import (
    broken_files,
    kept_snapshots,
    load_prior,
    load_weights,
    newest_checkpoint,
    save_prior,
)
from ganzoo.engine.state import load_state_dict, state_dict
from ganzoo.errors import RunError
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder

from .conftest import AUTOENCODER, CODES, MakeRecipe, MakeSession

# One file.


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    with pytest.raises(BrokenFile) as caught:
        read_state(tmp_path / "a.pt")
    assert caught.value.reason == "it is empty"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError("in two\n  lines"), "in two lines"), (EOFError(), "EOFError")],
)
def test_what_a_library_cannot_read_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    digest = hashlib.sha256(b"no archive\0\0").hexdigest().encode()
    (tmp_path / "a.pt").write_bytes(b"no archive" + COMMENT + digest)
    with pytest.raises(BrokenFile, match="it cannot be read: "):
        read_state(tmp_path / "a.pt")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(BrokenFile) as caught:
        read_state(tmp_path / "a.pt")
    assert caught.value.reason == f"it cannot be read: {reason}"
    assert caught.value.path == tmp_path / "a.pt"


def test_a_broken_file_that_cannot_be_renamed_is_passed_over_all_the_same(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = tmp_path / "gone" / "000010.pt"
    pass_over(BrokenFile(path, "it is empty"), warnings.append)
    assert warnings == [f"{path} cannot be read and is passed over: it is empty"]


def test_a_broken_file_is_the_same_error_in_another_process(tmp_path: Path) -> None:
    error = BrokenFile(tmp_path / "a.pt", "it is empty", hint="make it again")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is BrokenFile
    assert (again.path, again.reason, again.hint) == (error.path, error.reason, error.hint)
    assert again.message == f"{tmp_path / 'a.pt'} is broken: it is empty"


# The files of a run.


@pytest.mark.parametrize("text", [AUTOENCODER, CODES], ids=["encoder", "loss"])
def test_every_file_that_a_finished_run_needs_is_looked_at(
    recipe: MakeRecipe, tmp_path: Path, text: str
) -> None:
    coder = recipe("evaluate.snapshots=2", text=text)
    folder = train(coder, tmp_path)
    paths = sorted(folder.path.rglob("*.safetensors"))
    other = "encoder" if text is AUTOENCODER else "loss"
    snapshots = [folder.snapshot(iteration) for iteration in (10, 20)]
    expected = [folder.weights("generator"), folder.weights(other), *snapshots]
    assert set(expected) <= set(paths)
    assert list(broken_files(folder, coder)) == []
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        (broken,) = broken_files(folder, coder)
        assert isinstance(broken, BrokenFile)
        assert broken.path == path
        path.unlink()
        (missing,) = broken_files(folder, coder)
        assert missing.message == f"{path} is missing"
        path.write_bytes(content)


def test_every_file_of_weights_has_one_layout_and_says_how_it_was_made(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    coder = recipe("evaluate.snapshots=1", text=AUTOENCODER)
    folder = train(coder, tmp_path)
    snapshot, notes = read_tensors(folder.snapshot(20))
    alone: dict[str, Tensor] = {}
    for name in ("generator", "encoder"):
        tensors, own = read_tensors(folder.weights(name))
        assert {key.partition(".")[0] for key in tensors} == {name}
        assert own == {**notes, "file": f"{name}.safetensors"}
        alone |= tensors
    assert same(alone, snapshot)
    prior, own = read_tensors(folder.prior("mixture"))
    assert {key.rpartition(".")[0] for key in prior} == {"priors.mixture"}
    assert own == {**notes, "file": "priors/mixture.safetensors"}
    assert notes.keys() == {"file", "fingerprint", "recipe", "versions"}
    assert recipe(text=notes["recipe"]).fingerprint == notes["fingerprint"] == coder.fingerprint
    versions = json.loads(notes["versions"])
    assert versions.keys() >= {"torch", "ganzoo-core", "ganzoo-mlp", "ganzoo-data"}
    assert versions["torch"] == torch.__version__


def test_what_is_only_looked_at_changes_no_file_of_weights(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    looks = ("name=other", "log.every=3", 'metrics=[{ type = "sharpness" }]')
    one, other = train(recipe(), tmp_path / "a"), train(recipe(*looks), tmp_path / "b")
    for name in ("generator", "discriminator"):
        assert one.weights(name).read_bytes() == other.weights(name).read_bytes()


def test_the_snapshots_of_a_run_are_all_there_or_it_says_which_is_not(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = train(recipe("evaluate.snapshots=5"), tmp_path)
    assert kept_snapshots(folder) == [4, 8, 12, 16, 20]
    folder.snapshot(8).unlink()
    with pytest.raises(RunError, match=r"000008\.safetensors is missing\n.*evaluate.snapshots = 0"):
        kept_snapshots(folder)
    folder.recipe.write_text("train = { iterations = 20 }")
    with pytest.raises(RunError, match=r"recipe\.toml is damaged: "):
        kept_snapshots(folder)


def unfinished(recipe: Recipe, path: Path) -> RunFolder:
    """A run that has a checkpoint and no weights yet."""
    folder = train(recipe, path)
    for file in folder.path.glob("*.safetensors"):
        file.unlink()
    status = json.loads(folder.status.read_text())
    folder.status.write_text(json.dumps({**status, "state": "running"}))
    return folder


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("average", [True, False])
def test_an_unfinished_run_is_read_from_its_newest_checkpoint(
    recipe: MakeRecipe, session: MakeSession, tmp_path: Path, average: bool
) -> None:
    keys = ("ema.decay=0.5",) if average else ()
    folder = unfinished(recipe(*keys), tmp_path)
    state = newest_checkpoint(folder, print)
    assert state is not None
    networks = session(*keys).parts.networks
    load_weights(folder, networks, print)
    generator = state["average" if average else "networks"]["generator"]
    assert same(networks["generator"].state_dict(), generator)
    assert same(generator, state["networks"]["generator"]) is not average
    discriminator = state["networks"]["discriminator"]
    assert same(networks["discriminator"].state_dict(), discriminator)


def test_a_run_without_weights_says_what_makes_them(
    recipe: MakeRecipe, session: MakeSession, tmp_path: Path
) -> None:
    folder, networks = unfinished(recipe(), tmp_path), session().parts.networks
    status = json.loads(folder.status.read_text())
    for path in folder.checkpoints():
        path.unlink()
    with pytest.raises(RunError, match=f"{folder.path} has no weights yet\n.*`ganzoo resume "):
        load_weights(folder, networks, print)
    folder.status.write_text(json.dumps({**status, "state": "done"}))
    missing = f"{folder.weights('generator')} is not there, although the run is done"
    with pytest.raises(RunError, match=missing):
        load_weights(folder, networks, print)


def test_a_prior_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    def refuse(state: Mapping[str, Tensor]) -> None:
        raise RuntimeError(f"no room for {state['mean'].tolist()}\nand more\nof it")

    folder = RunFolder(tmp_path)
    prior: Any = SimpleNamespace(state_dict=lambda: {"mean": torch.ones(2)}, load_state_dict=refuse)
    with pytest.raises(RunError, match=f"{tmp_path} has no fitted prior 'mixture'"):
        load_prior(folder, "mixture", prior)
    save_prior(folder, "mixture", prior, {"fingerprint": "0f"})
    with pytest.raises(RunError) as caught:
        load_prior(folder, "mixture", prior)
    assert caught.value.message.endswith(
        "do not fit the networks of its recipe: no room for [1.0, 1.0]"
    )


# The state.


def test_what_processes_have_of_their_own_are_buffers_and_no_weights(session: MakeSession) -> None:
    changes = {**CODING, "encoder": '{ type = "test-normalised" }'}
    state = state_dict(session(text=tiny(**changes)))
    (own,) = state["processes"]
    buffers = {"2.running_mean", "2.running_var", "2.num_batches_tracked"}
    assert own["buffers"].pop("encoder").keys() == buffers
    assert own["buffers"] == {"generator": {}}
    assert state["networks"]["encoder"].keys() > buffers


def test_a_state_of_other_networks_or_processes_is_refused(session: MakeSession) -> None:
    state = state_dict(session())
    with pytest.raises(RunError, match="was written by 2 processes, not by 1"):
        load_state_dict(session(), {**state, "processes": state["processes"] * 2})
    del state["networks"]["generator"], state["processes"][0]["buffers"]["generator"]
    with pytest.raises(RunError, match="the checkpoint does not fit the generator of the recipe: "):
        load_state_dict(session(), state)
