"""Runs in processes of their own: what dies costs only itself, and is tried again."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from ganzoo import load_recipe, open_run
from ganzoo.comparison import parse_budget
from ganzoo.comparison.jobs import Job, Outcome
from ganzoo.comparison.launchers import DeadWorker, in_own_process, make_launcher
from ganzoo.errors import RunError, UserError
from ganzoo.plugins import VARIABLES

MakeJob = Callable[..., Job]

PLUGIN = """
    import os
    import signal

    from ganzoo.api import hookimpl

    DEATHS = {"dies-once": 1, "dies-always": 99}


    @hookimpl
    def ganzoo_run_started(run):
        with (run.folder / "starts").open("a") as file:
            file.write(f"{run.start_iteration} ")


    @hookimpl
    def ganzoo_checkpoint_written(run, iteration):
        deaths = run.folder / "deaths"
        count = len(deaths.read_text()) if deaths.exists() else 0
        if os.environ.get("DEADLY") and count < DEATHS.get(run.name, 0):
            deaths.write_text("x" * (count + 1))
            os.kill(os.getpid(), signal.SIGKILL)
"""
"""Kills the process that trains, after a checkpoint, once or whenever it is tried."""

KILLED = "its process died: killed by SIGKILL, perhaps out of memory"


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the plugin above is installed, for this process's workers to find."""
    site = folder / "site"
    info = site / "ganzoo_deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "deadly.py").write_text(dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ganzoo-deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ganzoo]\ndeadly = deadly\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("DEADLY", "yes")
    return site


@pytest.fixture
def job(folder: Path) -> MakeJob:
    """`job("name", "train.iterations=9")`: a job for the GAN under another name."""

    def job(name: str = "gan", *overrides: str) -> Job:
        recipe = load_recipe("gan.toml", f"name='{name}'", *overrides)
        evaluate = recipe.evaluate.model_dump(mode="json")
        return Job(recipe.to_toml(), f"runs/{name}/seed-0", (), None, evaluate, None)

    return job


def starts(outcome: Outcome) -> list[int]:
    """Iterations from which a run was begun, again and again."""
    return [int(number) for number in Path(outcome.folder, "starts").read_text().split()]


def weights(folder: str | Path) -> bytes:
    return Path(folder, "generator.safetensors").read_bytes()


# A process for one call.


def test_what_the_call_returns(folder: Path) -> None:
    assert in_own_process(divmod, 17, 5) == (3, 2)


def test_it_is_another_process_in_the_same_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_own_process(os.getpid) != os.getpid()
    assert in_own_process(os.getcwd) == str(folder)
    # The process from which the others are forked began before this was set.
    monkeypatch.setenv("SOMETHING", "else")
    assert in_own_process(os.getenv, "SOMETHING") == "else"
    monkeypatch.delenv("SOMETHING")
    assert in_own_process(os.getenv, "SOMETHING") is None


def test_processes_of_several_threads_leave_the_environment_alone() -> None:
    before = dict(os.environ)
    found: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(in_own_process(divmod, 17, 5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(3, 2)] * 4
    assert dict(os.environ) == before
    assert in_own_process(os.getenv, "PYTHONSAFEPATH") == before.get("PYTHONSAFEPATH")


def test_a_folder_that_is_called_as_the_package_hides_nothing(tmp_path: Path) -> None:
    """Such as a clone of the repository, in the folder above it."""
    (tmp_path / "ganzoo" / "plugins" / "ganzoo-mlp").mkdir(parents=True)
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "from ganzoo.comparison.launchers import in_own_process\n"
        "from ganzoo.comparison.budget import parse_budget\n"
        "if __name__ == '__main__':\n"
        "    print(in_own_process(parse_budget, 'images=7'))\n"
    )
    result = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "7 images each\n", "")


def test_its_peak_of_memory_is_its_own() -> None:
    ballast = np.ones(2**26)  # half a gigabyte in this process
    here, there = (
        call(resource.getrusage, resource.RUSAGE_SELF).ru_maxrss
        for call in (lambda function, *arguments: function(*arguments), in_own_process)
    )
    assert here - there > 0.8 * ballast.nbytes / 2**10


def test_an_error_for_people_crosses_whole() -> None:
    with pytest.raises(UserError) as caught:
        in_own_process(parse_budget, "much")
    assert caught.value.message == "'much' is no budget"
    assert caught.value.hint == "iterations=2000, images=1_000_000 or seconds=60"


def test_another_error_comes_as_a_message() -> None:
    with pytest.raises(RunError, match=r"ValueError: invalid literal for int.*: 'x'"):
        in_own_process(int, "x")


def test_the_death_of_a_process_is_told() -> None:
    with pytest.raises(DeadWorker, match="its process died: exit code 3"):
        in_own_process(exec, "import os; os._exit(3)")
    with pytest.raises(DeadWorker, match=KILLED):
        in_own_process(exec, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(DeadWorker, match="its process died: killed by SIGSEGV"):
        in_own_process(exec, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


# Runs, one after the other.


def test_a_worker_that_dies_costs_only_its_run(site: Path, job: MakeJob) -> None:
    jobs = [job("dies-once"), job("dies-always"), job("gan")]
    once, always, good = make_launcher("local").launch(jobs)
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
    bad, good = make_launcher("local").launch([job("bad", "engine.device='cuda:99'"), job()])
    assert bad.message is not None
    assert "engine.device = 'cuda:99' needs CUDA device 99" in bad.message
    assert not Path(bad.folder).exists()
    assert good.message is None


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


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


def test_ctrl_c_on_a_terminal_reaches_the_worker_once() -> None:
    """It goes to a group of processes, and a second one would end the run without a checkpoint."""
    assert in_own_process(os.getpgrp) != os.getpgrp()


PARENT = """
from ganzoo.comparison import launchers

launchers.PRELOADED = ()
if __name__ == "__main__":
    launchers.in_own_process(exec, '''
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(100)
''')
"""


def test_a_worker_ends_with_its_parent(folder: Path) -> None:
    (folder / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, "parent.py"])
    file = folder / "pid"
    wait_for(lambda: file.exists() and file.read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path("/proc", file.read_text()).exists())


# Ray.


def test_the_same_on_a_ray_cluster(
    site: Path, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is one on this machine, begun for the comparison."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    jobs = [job("dies-once"), job("dies-always")]
    once, always = make_launcher("ray").launch(jobs)
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
    monkeypatch.setattr("ganzoo.comparison.launchers.run_job", environment)
    monkeypatch.setenv("GANZOO_PLUGIN_FILES", "/mine.py")
    monkeypatch.setenv("GANZOO_PLUGINS", "")
    monkeypatch.delenv("GANZOO_STRICT_PLUGINS", raising=False)
    (outcome,) = make_launcher("ray").launch(jobs)
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
