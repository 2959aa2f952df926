"""Where a run stands, and that one whose process is gone is known to be killed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from ganzoo import status
from ganzoo.engine.training import locked
from ganzoo.errors import RunError
from ganzoo.records import write_json
from ganzoo.runs import RunFolder, create_run_folder
from ganzoo.status import read_status
from ganzoo.unfinished import is_locked

RUNNING = {"state": "running", "iteration": 7}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that says that it is in training."""
    folder = create_run_folder(tmp_path, "tiny", "run", recipe="")
    write_json(folder.status, RUNNING)
    return folder


def test_running_is_who_holds_the_lock(folder: RunFolder) -> None:
    assert read_status(folder) == {**RUNNING, "state": "killed"}
    with FileLock(folder.lock):
        assert read_status(folder) == RUNNING
    assert folder.lock.exists()
    assert read_status(folder) == {**RUNNING, "state": "killed"}
    assert json.loads(folder.status.read_text()) == RUNNING, "who asks writes nothing"


@pytest.mark.parametrize("state", ["done", "failed", "interrupted"])
def test_other_states_need_no_lock(folder: RunFolder, state: str) -> None:
    ended = {"state": state, "iteration": 7, "images": 56, "steps": {}, "seconds": 1.0}
    write_json(folder.status, ended)
    assert read_status(folder) == ended


def test_a_run_that_ends_as_it_is_asked_is_not_killed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(path: Path) -> bool:
        write_json(folder.status, {**RUNNING, "state": "interrupted"})
        return False

    monkeypatch.setattr(status, "is_locked", ended)
    assert read_status(folder)["state"] == "interrupted"


def test_a_lock_that_cannot_be_asked_for_may_be_held(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileLock(folder.lock):
        pass
    assert not is_locked(folder.lock)

    def refuse(*arguments: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert is_locked(folder.lock)
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.unfinished.fcntl.flock", refuse)
        assert read_status(folder) == RUNNING


@contextmanager
def asked(path: Path, seconds: float) -> Iterator[None]:
    """The lock is held for so long by somebody who is slow to ask."""
    lock = FileLock(path, thread_local=False)
    lock.acquire()
    timer = threading.Timer(seconds, lock.release)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_who_asks_keeps_nobody_from_training(folder: RunFolder) -> None:
    with asked(folder.lock, 0.2), locked(folder):
        assert read_status(folder) == RUNNING
    with FileLock(folder.lock), pytest.raises(RunError, match="another process is training"):
        locked(folder).__enter__()


def test_a_lock_that_cannot_be_made(folder: RunFolder) -> None:
    folder.lock.mkdir()
    with pytest.raises(RunError, match=r"\.lock cannot be written: ") as caught:
        locked(folder).__enter__()
    assert caught.value.hint is not None
    assert "ganzoo resume" in caught.value.hint
