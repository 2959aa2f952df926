"""Processes of their own: what they return, tell and die of."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import talking

from ganzoo.comparison import parse_budget
from ganzoo.comparison.screen import LINE, Screen
from ganzoo.comparison.workers import Answer, DeadWorker, Worker, in_own_process, stop
from ganzoo.errors import RunError, UserError

from .conftest import KILLED, wait_for

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
        "from ganzoo.comparison.workers import in_own_process\n"
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


def test_ctrl_c_on_a_terminal_reaches_the_worker_once() -> None:
    """It goes to a group of processes, and a second one would end the run without a checkpoint."""
    assert in_own_process(os.getpgrp) != os.getpgrp()


PARENT = """
from ganzoo.comparison import workers

workers.PRELOADED = ()
if __name__ == "__main__":
    workers.in_own_process(exec, '''
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


def test_a_second_ctrl_c_waits_for_nobody() -> None:
    workers = [Worker(talking.deaf) for _ in range(2)]
    for worker in workers:
        assert worker.receive() == "deaf"
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    stop(workers)
    assert [worker.process.exitcode for worker in workers] == [-signal.SIGKILL] * 2


def test_what_is_printed_in_a_worker_is_sent_line_by_line() -> None:
    worker = Worker(talking.chatty)
    said = [worker.receive() for _ in range(4)]
    assert said == ["one", "100%", "x" * LINE, "x"]
    assert worker.receive() == Answer(None)


def test_a_worker_that_nobody_listens_to_goes_on() -> None:
    """More than a pipe holds: what may be lost is lost, and the worker ends."""
    worker = Worker(talking.talkative, 100_000)
    time.sleep(0.5)
    seen = []
    while not isinstance(message := worker.receive(), Answer):
        seen.append(message)
    assert 0 < len(seen) < 100_000
    assert message.value == "done"


def test_a_plugin_that_fails_in_several_runs_is_named_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(progress=True)
    for title in ("one, seed 0", "one, seed 1"):
        screen.show(title, "warning: plugin broken failed in ganzoo_run_started: KeyError: 'x'")
        screen.show(title, "warning: the samples are all alike")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["one, seed 0"] * 2 + ["one, seed 1"]
    assert lines[2].endswith("the samples are all alike")
