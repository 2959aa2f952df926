"""What a machine is good for: cores, threads, memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganzoo import load_recipe
from ganzoo.comparison import machine


@pytest.mark.parametrize(
    ("threads", "jobs"),
    [({1}, 6), ({2}, 3), ({1, 4}, 1), ({64}, 1), ({None}, 1), ({1, None}, 1), (set(), 6)],
)
def test_as_many_runs_as_cores_over_threads(
    monkeypatch: pytest.MonkeyPatch, threads: set[int | None], jobs: int
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 6)
    assert machine.jobs_for(threads) == jobs


def test_threads_are_those_that_a_run_chooses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.threads_for(load_recipe("gan.toml")) == 1
    assert machine.threads_for(load_recipe("gan.toml", "engine.threads=3")) == 3
    # Such as of a network that cannot be built: its run will tell.
    monkeypatch.setattr("ganzoo.engine.threads.choose_threads", lambda *arguments: 1 / 0)
    assert machine.threads_for(load_recipe("gan.toml")) == 1


def test_a_gpu_is_not_shared_by_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert machine.threads_for(load_recipe("gan.toml")) is None
    assert machine.threads_for(load_recipe("gan.toml", "engine.device=cpu")) == 1


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("250000 100000", 2), ("5000 100000", 1), ("", 8)]
)
def test_cores_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, cores: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(machine, "QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert machine.cores() == cores


def test_memory_of_a_machine_and_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "GROUP", tmp_path)
    assert machine.available_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\nHugePages_Total: 0\n")
    assert machine.available_memory() == 7 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 500\n")
    assert machine.available_memory() == 7 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert machine.available_memory() == 1500
    (tmp_path / "memory.max").write_text("100\n")
    assert machine.available_memory() == 0


def test_memory_of_a_process() -> None:
    now, most = machine.memory_of(os.getpid())
    assert 2**20 < now <= most
    assert machine.memory_of(2**30) == machine.memory_of(None) == (0, 0)
