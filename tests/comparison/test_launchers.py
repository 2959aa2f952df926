"""Runs in processes of their own: what dies costs only itself, and is tried again."""

from __future__ import annotations

import ast
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ganzoo import open_run, output
from ganzoo.comparison import launchers
from ganzoo.comparison.jobs import Job, Outcome
from ganzoo.comparison.launchers import make_launcher
from ganzoo.comparison.screen import Screen
from ganzoo.comparison.workers import Worker
from ganzoo.display import Standing
from ganzoo.errors import UserError
from ganzoo.plugins import VARIABLES

from .conftest import KILLED, MakeJob, launched, starts, wait_for, weights

# Runs, one after the other.


def test_a_worker_that_dies_costs_only_its_run(deadly: Path, job: MakeJob) -> None:
    jobs = [job("dies-once"), job("dies-always"), job("gan")]
    once, always, good = launched("local", jobs)
    assert once.message is None
    assert starts(once) == [0, 10]
    assert open_run(once.folder).status["state"] == "done"
    assert once.measures is not None
    assert once.measures["parameters"]["generator"] > 0
    assert always == Outcome("runs/dies-always/seed-0", f"{KILLED}; tried 2 times")
    assert starts(always) == [0, 10]
    assert good.message is None
    assert starts(good) == [0]
    # The seed decides the weights, not the name or the death.
    assert weights(once.folder) == weights(good.folder)


def test_an_error_in_a_run_is_an_outcome(job: MakeJob) -> None:
    bad, good = launched("local", [job("bad", "engine.device='cuda:99'"), job()])
    assert bad.message is not None
    assert "engine.device = 'cuda:99' needs CUDA device 99" in bad.message
    assert not Path(bad.folder).exists()
    assert good.message is None


def test_ctrl_c_stops_the_run_with_a_checkpoint(job: MakeJob) -> None:
    long = job("long", "train.iterations=1_000_000", "checkpoint.every=1_000_000")
    row = Path(long.folder, "statistics.jsonl")

    def interrupt() -> None:
        wait_for(row.exists)
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=interrupt)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        list(make_launcher("local").launch([long]))
    presses.join()
    run = open_run(long.folder)
    assert run.status["state"] == "interrupted"
    (checkpoint,) = run.folder.checkpoints()
    assert int(checkpoint.stem) == run.status["iteration"] > 0


# Several at once.


def test_runs_at_once_write_the_bytes_of_runs_one_after_the_other(
    deadly: Path, job: MakeJob
) -> None:
    """Also one that dies while another is trained."""
    names = ("dies-once", "other", "gan")
    jobs = [job(name, f"train.seed={seed}") for seed, name in enumerate(names)]
    each = [replace(one, folder=f"alone/{one.folder}") for one in jobs]
    for together, alone in zip(
        launched("local", jobs, at_once=2), launched("local", each, at_once=1), strict=True
    ):
        assert together.message is alone.message is None
        for file in ("generator.safetensors", "statistics.jsonl"):
            paths = [Path(outcome.folder, file) for outcome in (together, alone)]
            assert paths[0].read_bytes() == paths[1].read_bytes()


def test_outcomes_come_when_runs_end(job: MakeJob) -> None:
    long = job("long", "train.iterations=1_000_000", "checkpoint.every=1_000_000")
    with closing(make_launcher("local", 2).launch([long, job("short")])) as outcomes:
        place, outcome = next(outcomes)
    assert (place, outcome.message) == (1, None)
    # The other one was stopped with a checkpoint.
    assert open_run(long.folder).status["state"] == "interrupted"
    assert open_run(long.folder).folder.checkpoints()


def test_ctrl_c_stops_all_runs_and_a_second_one_ends_them(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a checkpoint after the first; none has to be waited for after the second."""
    endless = ("train.iterations=1_000_000", "checkpoint.every=1_000_000")
    jobs = [job("one", *endless), job("two", *endless)]

    def interrupt() -> None:
        wait_for(lambda: all(Path(each.folder, "statistics.jsonl").exists() for each in jobs))
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=interrupt)
    presses.start()
    with pytest.raises(KeyboardInterrupt):
        launched("local", jobs, at_once=2)
    presses.join()
    for each in jobs:
        run = open_run(each.folder)
        assert (run.status["state"], len(run.folder.checkpoints())) == ("interrupted", 1)


def test_one_run_is_never_trained_twice_at_once(deadly: Path, job: MakeJob) -> None:
    """Two jobs may be about the same one, where it is given by its folder and by its recipe."""
    first, second = launched("local", [job(), job()], at_once=2)
    assert first == second
    assert starts(first) == [0]


@pytest.mark.parametrize(("available", "most"), [(None, 2), (2**50, 2), (0, 1)])
def test_memory_is_counted(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, available: int | None, most: int
) -> None:
    monkeypatch.setattr(launchers, "available_memory", lambda: available)
    monkeypatch.setattr(launchers, "SECONDS", 0.1)
    jobs = [job("one"), job("two")]
    crew = launchers.Crew(jobs, 2, Screen(progress=False))
    outcomes = []
    crew.start()
    assert len(crew.running) == most
    while crew.running or crew.waiting:
        crew.start()
        outcomes += crew.outcomes()
    assert [outcome.message for _, outcome in outcomes] == [None, None]


def test_what_others_may_still_grow_to_is_no_room_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = launchers.Crew([], 9, Screen(progress=False))
    worker = cast(Worker, SimpleNamespace(process=SimpleNamespace(pid=7)))
    crew.running = [launchers.Running(0, cast(Job, None), worker, 1)] * 2
    held = iter([(10, 10), (4, 6), (10, 10), (4, 6)])
    monkeypatch.setattr(launchers, "memory_of", lambda process: next(held))
    # The second may grow by 6 to what the first has had, and the new one to 10.
    monkeypatch.setattr(launchers, "available_memory", lambda: 16)
    assert crew._has_memory()
    monkeypatch.setattr(launchers, "available_memory", lambda: 15)
    assert not crew._has_memory()


def test_lines_begin_with_the_title_of_their_run(
    job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [replace(job(name), title=f"{name}, seed 0") for name in ("one", "two")]
    list(make_launcher("local", 2, progress=True).launch(jobs))
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "2 runs, 2 at once: each is slower than it would be alone"
    for name in ("one", "two"):
        own = [line.removeprefix(f"{name}, seed 0: ") for line in lines if line.startswith(name)]
        assert own[0].startswith("20 iterations of batch 16 on cpu in float32, generator ")
        assert [line.split()[0] for line in own[1:]] == ["10/20", "20/20"]


def test_bars_of_runs_are_on_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, color_system=None, width=100)
    monkeypatch.setattr("ganzoo.display.stderr", lambda: console)
    monkeypatch.setattr("ganzoo.display.REFRESH_SECONDS", 0.0)
    screen = Screen(progress=False)
    screen.show("gan, seed 0", Standing(5, 20, "12.0 it/s", ("d/real 0.604",)))
    screen.show("gan, seed 1", Standing(7, 20, "11.0 it/s", ()))
    screen.show("gan, seed 0", "warning: all alike")
    screen.ended("gan, seed 0")
    screen.close()
    shown = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", terminal.getvalue())
    both, after = (
        [line.split() for line in re.split(r"[\r\n]+", part) if line.strip()]
        for part in shown.split("gan, seed 0: warning: all alike")
    )
    assert [line[:3] for line in both[-2:]] == [["gan,", "seed", str(seed)] for seed in range(2)]
    assert "5/20" in both[-2]
    assert after[-1][:3] == ["gan,", "seed", "1"]
    assert after[-2][:3] != ["gan,", "seed", "0"]
    # Later words go where they went before.
    assert output.stderr() is not console


def test_jobs_that_cannot_be() -> None:
    with pytest.raises(UserError) as caught:
        make_launcher("local", 0)
    assert (caught.value.message, caught.value.hint) == (
        "0 runs at once are none",
        "jobs=1 is one after the other",
    )


# Ray.


def test_the_same_on_a_ray_cluster(
    deadly: Path, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is one on this machine, begun for the comparison."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    jobs = [job("dies-once"), job("dies-always")]
    once, always = launched("ray", jobs)
    assert not ray.is_initialized()
    assert (once.folder, once.message, starts(once)) == (jobs[0].folder, None, [0, 10])
    assert open_run(once.folder).status["state"] == "done"
    assert always == Outcome(jobs[1].folder, "its process died; tried 2 times")
    assert starts(always) == [0, 10]


def test_workers_of_a_cluster_have_the_same_plugins(
    folder: Path, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that was there before knows nothing of this process's environment."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")

    class Task:
        def __init__(self, function: Callable[..., Outcome]) -> None:
            self.function = function

        def remote(self, *arguments: Any) -> Outcome:
            with pytest.MonkeyPatch.context() as patch:
                for name in VARIABLES:
                    # Both, so that what the worker sets is undone.
                    patch.setenv(name, "")
                    patch.delenv(name)
                return self.function(*arguments)

    def environment(job: Job) -> Outcome:
        return Outcome(job.folder, repr({name: os.environ.get(name) for name in VARIABLES}))

    jobs = [job()]
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "remote", lambda **options: Task)
    monkeypatch.setattr(ray, "get", lambda outcome: outcome)
    monkeypatch.setattr(ray, "wait", lambda pending, num_returns: (pending[:1], pending[1:]))
    monkeypatch.setattr("ganzoo.comparison.launchers.run_job", environment)
    monkeypatch.setenv("GANZOO_PLUGIN_FILES", "/mine.py")
    monkeypatch.setenv("GANZOO_PLUGINS", "")
    monkeypatch.delenv("GANZOO_STRICT_PLUGINS", raising=False)
    (outcome,) = launched("ray", jobs)
    assert ast.literal_eval(str(outcome.message)) == {
        "GANZOO_PLUGIN_FILES": "/mine.py",
        "GANZOO_PLUGINS": "",
        "GANZOO_STRICT_PLUGINS": None,
    }


@pytest.mark.parametrize(
    ("resources", "width"), [({"CPU": 6.0}, 6), ({"CPU": 6.0, "GPU": 2.0}, 2), ({}, 1)]
)
def test_a_cluster_stays_from_one_launch_to_the_next(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], width: int
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: done.count("init") > done.count("shutdown"))
    monkeypatch.setattr(ray, "init", lambda **options: done.append("init"))
    monkeypatch.setattr(ray, "shutdown", lambda: done.append("shutdown"))
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    launcher = make_launcher("ray")
    with launcher.opened() as found:
        assert found == width
        for _ in range(2):
            assert list(launcher.launch([])) == []
    assert done == ["init", "shutdown"]
    assert list(launcher.launch([])) == []
    assert done == ["init", "shutdown"] * 2


def test_a_cluster_says_itself_how_many_runs_there_are_at_once() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(UserError) as caught:
        make_launcher("ray", 2)
    assert caught.value.message == "--jobs is for the launcher 'local'"
    assert caught.value.hint == (
        "a Ray cluster trains as many runs at once as it has cores or GPUs"
    )


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError) as caught:
        make_launcher("ray")
    assert caught.value.message == "the launcher 'ray' needs Ray"
    assert caught.value.hint == '`pip install "ganzoo-core[ray]"`'


def test_a_ray_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")

    def fail(**options: Any) -> None:
        raise ConnectionError(f"nothing at {options['address']}\nfor a minute")

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(UserError) as caught:
        list(make_launcher("ray").launch([]))
    assert caught.value.message == (
        "the Ray cluster at 10.0.0.1:6379 cannot be reached: nothing at 10.0.0.1:6379"
    )
    assert caught.value.hint == "RAY_ADDRESS names a cluster; without it one is started"
