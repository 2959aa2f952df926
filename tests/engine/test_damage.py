"""Files that are not as they were written: found wherever the damage is, and never taken."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tiny import train

from ganzoo.digests import (
    BrokenFile,
    read_state,
    read_tensors,
    set_aside,
    write_state,
    write_tensors,
)
from ganzoo.engine.checkpoints import load_weights, newest_checkpoint, save_checkpoint
from ganzoo.engine.events import Listener
from ganzoo.engine.recording import Weights
from ganzoo.engine.session import Session
from ganzoo.engine.state import load_state_dict, state_dict
from ganzoo.errors import RunError
from ganzoo.runs import RunFolder
from ganzoo.sampling import Sampler

from .conftest import AUTOENCODER, MakeRecipe, MakeSession

Read = Callable[[Path], Any]


class Telling(Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.iterations: list[int] = []

    def started(self, session: Session, folder: RunFolder) -> None:
        self.iterations.append(session.iteration)

    def warned(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module", params=["state", "tensors"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of each of the two formats, and what reads it."""
    path: Path = tmp_path_factory.mktemp("files") / "file"
    tensors = {"weight": torch.randn(7, 3), "count": torch.arange(2), "none": torch.zeros(0)}
    if request.param == "state":
        write_state(path, {"counters": {"iteration": 3}, "network": tensors})
        return path.read_bytes(), read_state
    write_tensors(path, tensors, {"file": "a.safetensors", "fingerprint": "0f"})
    return path.read_bytes(), read_tensors


# The files.


def test_both_are_standard_formats(tmp_path: Path) -> None:
    tensors = {"weight": torch.randn(7, 3), "half": torch.ones(3, dtype=torch.bfloat16)}
    write_state(tmp_path / "a.pt", {"network": tensors, "seconds": 1.5})
    loaded = torch.load(tmp_path / "a.pt", weights_only=True)
    assert loaded["seconds"] == read_state(tmp_path / "a.pt")["seconds"] == 1.5
    assert torch.equal(loaded["network"]["weight"], tensors["weight"])
    path = tmp_path / "new" / "a.safetensors"
    write_tensors(path, tensors, {"file": "ü", "b": "2"})
    kept, notes = read_tensors(path)
    assert notes == {"file": "ü", "b": "2"}
    for found in (kept, safetensors.torch.load_file(path)):
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    first = path.read_bytes()
    for _ in range(5):
        write_tensors(path, tensors, {"b": "2", "file": "ü"})
        assert path.read_bytes() == first


def test_one_flipped_bit_is_found_in_every_byte(file: tuple[bytes, Read], tmp_path: Path) -> None:
    content, read = file
    path, bits = tmp_path / "file", random.Random(1)
    path.write_bytes(content)
    read(path)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bits.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(BrokenFile):
            read(path)


def test_a_file_cut_short_or_longer_is_found(file: tuple[bytes, Read], tmp_path: Path) -> None:
    content, read = file
    path = tmp_path / "file"
    for damaged in (
        *(content[:length] for length in range(0, len(content), 7)),
        *(content[:-1], content[1:], content + b"\0", content * 2),
    ):
        path.write_bytes(damaged)
        with pytest.raises(BrokenFile):
            read(path)


def test_what_is_no_file_is_found(file: tuple[bytes, Read], tmp_path: Path) -> None:
    _, read = file
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        read(path)
    path.symlink_to("nowhere")
    with pytest.raises(BrokenFile, match="it is a link that leads nowhere"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BrokenFile, match="it is a folder"):
        read(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(BrokenFile, match="it is a pipe, not a file"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(BrokenFile, match="it is a device, not a file"):
        read(path)


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt")
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    for name, read in (("a.pt", read_state), ("a.safetensors", read_tensors)):
        with pytest.raises(BrokenFile, match="it has no digest: it was cut short, or ganzoo did"):
            read(tmp_path / name)  # type: ignore[operator]


def test_what_is_set_aside_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "000010.pt"
    for content, name in (("one", "000010.pt.broken"), ("two", "000010.pt.2.broken")):
        path.write_text(content)
        assert set_aside(path) == tmp_path / name
        assert (tmp_path / name).read_text() == content
        assert not path.exists()


# The checkpoints of a run.


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_other_iteration(path: Path) -> None:
    shutil.copy(path.with_name("000010.pt"), path)


def fill_with_nan(path: Path) -> None:
    state = read_state(path)
    next(iter(state["networks"]["generator"].values())).fill_(float("nan"))
    write_state(path, state)


def replace_by_other_state(path: Path) -> None:
    write_state(path, {"counters": [20]})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, "its digest does not fit its content"),
        (replace_by_folder, "it is a folder"),
        (replace_by_other_iteration, "it is of iteration 10"),
        (fill_with_nan, "it holds numbers that are not finite"),
        (replace_by_other_state, "it holds no state of a run"),
    ],
)
def test_a_broken_checkpoint_is_passed_over_and_set_aside(
    recipe: MakeRecipe, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    folder = train(recipe(), tmp_path)
    weights = folder.weights("generator").read_bytes()
    newest = folder.checkpoint(20)
    damage(newest)
    telling = Telling()
    train(recipe(), folder.path, telling, resume=True)
    assert telling.warnings == [
        f"{newest} cannot be read and is passed over: {reason}; it is kept as 000020.pt.broken"
    ]
    assert telling.iterations == [10]
    assert newest.with_name("000020.pt.broken").exists()
    assert folder.weights("generator").read_bytes() == weights


def test_the_checkpoint_of_another_run_is_not_taken(recipe: MakeRecipe, tmp_path: Path) -> None:
    folder, other = (train(recipe(f"train.seed={seed}"), tmp_path / str(seed)) for seed in range(2))
    shutil.copy(other.checkpoint(20), folder.checkpoint(20))
    warnings: list[str] = []
    state = newest_checkpoint(folder, warnings.append)
    assert state is not None
    assert state["counters"]["iteration"] == 10
    assert warnings[0].endswith("is passed over: it is of another run")


def test_without_its_checkpoints_a_trained_run_is_not_begun_again(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = train(recipe(), tmp_path)
    rows = folder.statistics.read_bytes()
    shutil.rmtree(folder.checkpoint(0).parent)
    with pytest.raises(RunError, match="has been trained, but its checkpoints are gone"):
        train(recipe(), folder.path, resume=True)
    assert folder.statistics.read_bytes() == rows


def test_the_checkpoint_just_written_is_never_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoint(0).parent.mkdir()
    for later in (30, 40):
        folder.checkpoint(later).write_bytes(b"broken")
    for iteration in (5, 10, 15):
        save_checkpoint(folder, {"counters": {"iteration": iteration}}, keep=1)
        assert folder.checkpoint(iteration).exists()
    assert [path.stem for path in folder.checkpoints()] == ["000040", "000030", "000015"]


def test_a_reader_beside_a_writer_finds_a_checkpoint(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing and the reading, the process that trains has removed what was listed."""
    folder = train(recipe("checkpoint.keep=1"), tmp_path)
    listing = [[folder.checkpoint(10)], [folder.checkpoint(15)], folder.checkpoints()]
    monkeypatch.setattr(RunFolder, "checkpoints", lambda self: listing.pop(0))
    warnings: list[str] = []
    state = newest_checkpoint(folder, warnings.append)
    assert state is not None
    assert (state["counters"]["iteration"], warnings) == (20, [])


# Weights, snapshots and priors.


@pytest.mark.parametrize("name", ["generator", "encoder", "snapshots/000012", "priors/mixture"])
def test_every_file_of_weights_is_checked(recipe: MakeRecipe, tmp_path: Path, name: str) -> None:
    coder = recipe(text=AUTOENCODER)
    folder = train(coder, tmp_path)
    path = folder.path / f"{name}.safetensors"

    def read() -> None:
        sampler = Sampler(coder, folder)
        sampler.load(12)
        sampler.sample(1, prior="mixture")

    read()
    whole = path.read_bytes()
    flip(path)
    with pytest.raises(BrokenFile, match="its digest does not fit its content"):
        read()
    other = train(recipe("train.seed=1", text=AUTOENCODER), tmp_path / "other")
    shutil.copy(other.path / f"{name}.safetensors", path)
    with pytest.raises(BrokenFile, match="it is of another run"):
        read()
    path.write_bytes(whole)
    if name == "snapshots/000012":
        shutil.copy(folder.snapshot(8), path)
        with pytest.raises(BrokenFile, match=r"it is snapshots/000008\.safetensors"):
            read()


def test_weights_of_another_type_do_not_fit(
    recipe: MakeRecipe, session: MakeSession, tmp_path: Path
) -> None:
    folder = train(recipe(), tmp_path)
    networks = session().parts.networks
    networks["generator"].double()
    with pytest.raises(RunError, match=r"do not fit .* is torch.float32, not torch.float64"):
        load_weights(folder, networks, print)


def test_a_checkpoint_of_another_type_does_not_fit(session: MakeSession) -> None:
    state = state_dict(session())
    other = session()
    other.parts.networks["generator"].double()
    with pytest.raises(RunError, match=r"does not fit the generator .* is torch.float32, not"):
        load_state_dict(other, state)


# A kill between two files.


@pytest.mark.parametrize("lost", [12, 20])
def test_a_snapshot_lost_after_its_checkpoint_is_written_by_the_resumed_run(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    tiny = recipe("checkpoint.every=4", "evaluate.snapshots=5")
    whole = train(tiny, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kept(self: object, session: Session) -> None:
        if session.iteration == lost:
            raise Killed
        original(self, session)  # type: ignore[arg-type]

    original = Weights.kept
    with monkeypatch.context() as patch:
        patch.setattr(Weights, "kept", kept)
        with pytest.raises(Killed):
            train(tiny, tmp_path / "killed")
    folder = RunFolder(tmp_path / "killed" / tiny.name / "run")
    assert folder.checkpoint(lost).exists()
    assert not folder.snapshot(lost).exists()
    train(tiny, folder.path, resume=True)
    for iteration in (4, 8, 12, 16, 20):
        assert folder.snapshot(iteration).read_bytes() == whole.snapshot(iteration).read_bytes()


# Another machine.


def test_a_state_of_another_kind_of_device_is_taken(session: MakeSession) -> None:
    """Its random streams mean nothing here: the run continues with others, fixed by the seed."""
    state = state_dict(session())
    streams = state["batches"]["streams"]
    for name in streams:
        streams[name] = {"device": "cuda", "state": torch.zeros(16, dtype=torch.uint8)}
    state["processes"][0]["noise"]["cuda"] = torch.zeros(16, dtype=torch.uint8)
    fresh = session()
    first = fresh.batches.next(0, real=False).z.clone()
    latents = []
    for _ in range(2):
        other = session()
        load_state_dict(other, state)
        latents.append(other.batches.next(0, real=False).z.clone())
    assert torch.equal(*latents)
    assert not torch.equal(latents[0], first)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("torch", "2.0.0", "torch {torch} instead of 2.0.0"),
        ("threads", "64", "threads {threads} instead of 64"),
        ("device", "cuda:0", "device cpu instead of cuda:0"),
        ("ganzoo-mlp", "0.0.1", "ganzoo-mlp {mlp} instead of 0.0.1"),
    ],
)
def test_a_resumed_run_says_what_is_not_as_it_was(
    recipe: MakeRecipe, tmp_path: Path, key: str, value: str, text: str
) -> None:
    folder = train(recipe(), tmp_path)
    same = Telling()
    train(recipe(), folder.path, same, resume=True)
    assert same.warnings == []
    environment = json.loads(folder.environment.read_text())
    now = {
        "torch": torch.__version__,
        "threads": environment["choices"]["threads"],
        "mlp": environment["plugins"]["ganzoo-mlp"],
    }
    places = (environment, environment["choices"], environment["plugins"])
    next(place for place in places if key in place)[key] = value
    folder.environment.write_text(json.dumps(environment))
    telling = Telling()
    train(recipe(), folder.path, telling, resume=True)
    assert telling.warnings == [
        f"the run continues with {text.format(**now)}: its end may not be the same to the byte as "
        "without the break"
    ]
