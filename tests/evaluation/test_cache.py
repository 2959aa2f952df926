"""The cache of what is computed from data: once for all threads and processes, kept whole."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganzoo.errors import GanzooWarning
from ganzoo.evaluation.cache import cached
from ganzoo.folders import cache_root, warn_once

Cached = tuple[dict[str, Tensor], dict[str, str]]


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    """What was said in one test may be said again in the next."""
    warn_once.cache_clear()


class Computation:
    """Computes a tensor, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
        self.calls += 1
        time.sleep(0.2)
        return {"values": torch.arange(5) * self.calls}, {"note": f"call {self.calls}"}


def test_what_is_cached_is_not_computed_again(own_cache: Path) -> None:
    compute = Computation()
    for _ in range(3):
        tensors, notes = cached("some", compute)
        assert tensors["values"].tolist() == [0, 1, 2, 3, 4]
        assert notes == {"note": "call 1"}
    assert compute.calls == 1
    assert (own_cache / "some.safetensors").exists()
    cached("other", compute)
    assert compute.calls == 2


def test_several_threads_compute_it_once(own_cache: Path) -> None:
    compute = Computation()
    results: list[Cached] = []
    threads = [
        threading.Thread(target=lambda: results.append(cached("some", compute))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.calls == 1
    assert [notes for _, notes in results] == [{"note": "call 1"}] * 4


def test_two_processes_compute_it_once(own_cache: Path) -> None:
    from ganzoo.comparison.workers import in_own_process

    program = """
import time, torch
from ganzoo.evaluation.cache import cached
def compute():
    with open("calls", "a") as file:
        file.write("x")
    time.sleep(1)
    return {"values": torch.zeros(1)}, {}
cached("some", compute)
"""
    own_cache.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own_cache)
        threads = [
            threading.Thread(target=in_own_process, args=(exec, program, {})) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (own_cache / "calls").read_text() == "x"
    assert (own_cache / "some.safetensors").exists()


def flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: b"nonsense", lambda content: content[:-7], flipped],
    ids=["empty", "nonsense", "cut", "one bit"],
)
def test_a_broken_file_is_set_aside(own_cache: Path, damage: Callable[[bytes], bytes]) -> None:
    compute = Computation()
    cached("some", compute)
    file = own_cache / "some.safetensors"
    broken = damage(file.read_bytes())
    file.write_bytes(broken)
    with pytest.warns(GanzooWarning, match="is passed over: .*; it is kept as some.safetensors.b"):
        _, notes = cached("some", compute)
    assert notes == {"note": "call 2"}
    assert cached("some", compute)[1] == {"note": "call 2"}
    assert (own_cache / "some.safetensors.broken").read_bytes() == broken


def test_the_file_of_something_else_is_not_taken(own_cache: Path) -> None:
    cached("other", Computation())
    (own_cache / "some.safetensors").write_bytes((own_cache / "other.safetensors").read_bytes())
    compute = Computation()
    with pytest.warns(GanzooWarning, match="it is of something else"):
        cached("some", compute)
    assert compute.calls == 1


def test_a_computation_that_fails_leaves_no_file(own_cache: Path) -> None:
    def fail() -> Cached:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        cached("some", fail)
    assert not (own_cache / "some.safetensors").exists()
    assert cached("some", Computation())[1] == {"note": "call 1"}


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "~/somewhere")
    assert cache_root() == Path.home() / "somewhere"
    monkeypatch.setenv("GANZOO_CACHE", "")
    assert cache_root().name == "evaluation"


def test_without_a_lock_what_is_there_is_read(own_cache: Path) -> None:
    """As on a disk that is read only."""
    cached("some", Computation())
    (own_cache / "some.lock").unlink(missing_ok=True)
    (own_cache / "some.lock").mkdir()
    (own_cache / "other.lock").mkdir()
    assert cached("some", Computation())[1] == {"note": "call 1"}
    compute = Computation()
    for number in (1, 2):
        assert cached("other", compute)[1] == {"note": f"call {number}"}
    assert not (own_cache / "other.safetensors").exists()


def test_without_a_folder_it_is_computed_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "file"))
    compute = Computation()
    with pytest.warns(GanzooWarning, match=r"file: Not a directory; .* set GANZOO_CACHE to a"):
        cached("some", compute)
    cached("some", compute)
    assert compute.calls == 2
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_loses_nothing_that_was_computed(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(GanzooWarning, match=r"no space left to write .*; it is computed anew"):
        tensors, _ = cached("some", Computation())
    assert tensors["values"].tolist() == [0, 1, 2, 3, 4]
    assert not (own_cache / "some.safetensors").exists()
