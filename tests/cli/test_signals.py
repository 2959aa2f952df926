"""Signals and streams of real processes: nothing is lost, whoever asks a run to end."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import forked
import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ganzoo.interruption import SIGNALS

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]

ROOT = Path(__file__).parents[2]
RUN = Path("runs/tiny/one")
ENDLESS = ("train.iterations=1_000_000", "checkpoint.every=1_000_000", "--id", "one")

STREAMED = """
import os
from pathlib import Path

import torch

from ganzoo.api import DatasetSpec, hookimpl


class Rows:
    digest = "a hundred rows"

    def __len__(self):
        return 100

    def __getitem__(self, index):
        if Path("deadly").exists() and torch.utils.data.get_worker_info():
            os.kill(os.getpid(), 9)
        noise = torch.Generator().manual_seed(index)
        return torch.randint(256, (1, 8, 8), generator=noise).to(torch.uint8), 0


class Streamed(DatasetSpec):
    '''Noise, read one by one.'''

    type = "streamed"

    @property
    def sample_shape(self):
        return (1, 8, 8)

    def build(self, context):
        from ganzoo.engine import Data

        return Data(Rows())


@hookimpl
def ganzoo_datasets():
    return [Streamed]
"""


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RUN / "status.json").read_text())
    return found


def checkpoints() -> list[str]:
    return sorted(file.name for file in (RUN / "checkpoints").iterdir())


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read lines of a process's stderr to one with a text."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"ended without '{text}': {''.join(seen)}")


def alive(group: int) -> bool:
    """Whether a group still has processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def streamed(write_recipe: WriteRecipe) -> tuple[object, ...]:
    """Arguments for a run whose data are read by worker processes."""
    Path("streamed.py").write_text(STREAMED)
    recipe = write_recipe({"data": 'type = "streamed"'})
    return (recipe, "--plugin", "streamed.py")


@pytest.mark.parametrize("as_init", [False, True], ids=["process", "process 1"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_leaves_a_checkpoint_however_it_is_sent(
    recipe: Path, number: int, times: int, send: Callable[[int, int], None], as_init: bool
) -> None:
    assert_stops(number, times, send, recipe, as_init=as_init)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_to_the_processes_that_read_the_data(
    streamed: tuple[object, ...], number: int
) -> None:
    assert_stops(number, 3, os.killpg, *streamed)


def assert_stops(
    number: int,
    times: int,
    send: Callable[[int, int], None],
    *arguments: object,
    as_init: bool = False,
) -> None:
    """A run that gets a signal so many times in a row ends with a checkpoint, and all its
    processes end."""
    log = Path("log.txt").absolute()
    words = ("run", *arguments, *ENDLESS)
    process = forked.start(*words, folder=Path.cwd(), log=log, as_init=as_init)
    pid = forked.child_of(process) if as_init else process.pid
    while not (RUN / "statistics.jsonl").exists():  # then the data are being read
        if not process.is_alive() and process.exitcode == forked.NO_NAMESPACE:
            pytest.skip("no process 1 can be made here")
        assert process.is_alive(), log.read_text()
        time.sleep(0.01)
    assert pid
    for _ in range(times):
        send(pid, number)
        time.sleep(0.01)
    process.join(60)
    told = log.read_text()
    assert process.exitcode == 128 + number, told
    (checkpoint,) = checkpoints()
    iteration = int(checkpoint.removesuffix(".pt"))
    assert (status()["state"], status()["iteration"]) == ("interrupted", iteration)
    assert told.endswith(
        f"stopped after iteration {iteration} of 1000000; the checkpoint is in {RUN}\n"
        f"  = `ganzoo resume {RUN}` continues it\n"
    )
    assert "Traceback" not in told
    assert_gone(pid)


def assert_gone(group: int) -> None:
    """Soon no process of a group is left."""
    limit = time.monotonic() + 30
    while alive(group):
        assert time.monotonic() < limit, "a worker is left"
        time.sleep(0.1)


def test_workers_end_with_their_parent(start: Start, streamed: tuple[object, ...]) -> None:
    process = start("run", *streamed, *ENDLESS)
    wait_for(process, "it/s")
    process.kill()
    process.wait()
    assert_gone(process.pid)


def test_workers_of_a_server_of_processes_end_with_their_parent(
    streamed: tuple[object, ...],
) -> None:
    """As in a comparison, whose runs have data read by processes that another one forks."""
    log = Path("log.txt").absolute()
    process = forked.start("run", *streamed, *ENDLESS, folder=Path.cwd(), log=log)
    while not (RUN / "statistics.jsonl").exists():  # then the data are being read
        assert process.is_alive(), log.read_text()
        time.sleep(0.01)
    assert process.pid
    assert len(forked.descendants(process.pid)) > 1
    process.kill()
    process.join()
    assert_gone(process.pid)


KILLED = "a process that reads the data died: killed by SIGKILL, perhaps out of memory"


@pytest.mark.usefixtures("fresh_plugins")
def test_a_worker_that_is_killed_is_replaced(
    command: Command, streamed: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("run", *streamed, "--id", "whole").returncode == 0

    def advanced(display: object, session: Any) -> None:
        if session.iteration in (1, 3):
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    monkeypatch.setattr("ganzoo.display.LineProgress.advanced", advanced)
    result = command("run", *streamed, "--id", "one")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(f"warning: {KILLED}; it is replaced\n") == 2
    for name in ("generator.safetensors", "statistics.jsonl"):
        assert (RUN / name).read_bytes() == (RUN.parent / "whole" / name).read_bytes()
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("fresh_plugins")
def test_workers_that_die_always_end_the_run(
    command: Command, streamed: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every 5 seconds is often enough, but not here.
    wait = _MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(wait, "__defaults__", (0.1,))
    Path("deadly").touch()
    result = command("run", *streamed, "--id", "one")
    assert result.returncode == 1
    assert result.stderr.count(f"warning: {KILLED}; it is replaced\n") == 2
    assert f"\n{KILLED}; tried 3 times\n  = free memory, or mend the data" in result.stderr
    assert status()["state"] == "failed"
    Path("deadly").unlink()
    assert command("resume", RUN, "--plugin", "streamed.py").returncode == 0


@pytest.mark.parametrize("module", ["typer", "pluggy", "torch"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported(
    start: Start, recipe: Path, module: str, number: int
) -> None:
    folder = Path("modules").absolute()
    folder.mkdir()
    # What an import that is interrupted does with an exception is its own affair.
    text = (
        f"import os\ntry:\n    os.kill(os.getpid(), {number:d})\nexcept BaseException:\n    1 / 0\n"
    )
    (folder / f"{module}.py").write_text(text)
    path = os.pathsep.join([str(folder), str(ROOT)])
    process = start("run", recipe, env={**os.environ, "PYTHONPATH": path})
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (128 + number, "", "")
    assert not Path("runs").exists()


def test_ctrl_c_on_a_terminal_leaves_one_bar_and_one_message(start: Start, recipe: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = start(
        *("run", recipe, *ENDLESS, "log.every=5"),
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=take_terminal,
        **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux's way to say that nobody writes to a terminal any more
        while read := os.read(ours, 2**16):
            pressed = b"d/real" in shown
            shown += read
            if not pressed and b"d/real" in shown:
                os.write(ours, b"\x03")
    os.close(ours)
    assert process.wait(timeout=60) == 130
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "^C" in text
    bars = [line for part in text.split("\r\n") for line in part.split("\r") if "d/real" in line]
    # As long as it fits the line, the next bar is drawn over it.
    assert max(map(len, bars)) <= 80
    assert text.count(f"the checkpoint is in {RUN}\r\n  = `ganzoo resume {RUN}` continues it") == 1
    assert text.endswith("continues it\r\n")


def test_a_comparison_as_process_1_of_a_container(start: Start, recipe: Path) -> None:
    isolated = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*isolated, "true"]).returncode:
        pytest.skip("no process 1 can be made here")
    own_init = (*isolated, "--kill-child", "--")
    process = start("compare", recipe, *ENDLESS[:2], before=own_init)
    wait_for(process, "it/s")
    (init,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(init), signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (143, "")
    assert "the comparison was stopped\n  = `ganzoo compare tiny.toml " in stderr
    assert "Traceback" not in stderr
    (run,) = Path("runs/tiny").iterdir()
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert len(list(run.glob("checkpoints/*.pt"))) == 1


@pytest.mark.parametrize("strict", ["", "1"])
@pytest.mark.usefixtures("fresh_plugins")
def test_a_hook_that_fails_when_a_run_is_stopped_costs_nothing(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    hook = "from ganzoo.api import hookimpl\n\n@hookimpl\ndef ganzoo_run_finished():\n    1 / 0\n"
    Path("failing.py").write_text(hook)
    ended = []

    def advanced(display: object, session: Any) -> None:
        if session.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("ganzoo.display.LineProgress.advanced", advanced)
    monkeypatch.setattr(
        "ganzoo.display.LineProgress.ended", lambda display, *end: ended.append(end[0])
    )
    monkeypatch.setenv("GANZOO_STRICT_PLUGINS", strict)
    result = command("run", recipe, "--id", "one", "--plugin", "failing.py")
    assert result.returncode == (1 if strict else 130)
    assert "failed in ganzoo_run_finished" in result.stderr
    assert ended == ["interrupted"], "the display is told in any case"
    assert (status()["state"], checkpoints()) == ("interrupted", ["000002.pt", "000003.pt"])


def test_a_signal_in_the_last_iteration_leaves_the_rest_to_resume(
    command: Command, points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advanced(display: object, session: Any) -> None:
        if session.iteration == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.display.LineProgress.advanced", advanced)
        assert command("run", points, "--id", "one").returncode == 143
    assert status()["state"] == "interrupted"
    assert command("resume", RUN).returncode == 0
    assert status()["state"] == "done"
    assert (RUN / "evaluation.json").exists()


def test_a_signal_while_the_run_is_measured(
    command: Command, points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*arguments: object, **named: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.evaluation.measure.measure", measure)
        result = command("run", points, "--id", "one")
    assert result.returncode == 143
    assert result.stderr.endswith(
        f"{RUN} is trained, but was stopped before it was measured\n"
        f"  = `ganzoo resume {RUN}` measures it\n"
    )
    assert command("resume", RUN).returncode == 0
    assert (RUN / "evaluation.json").exists()


def test_a_terminal_that_is_gone_is_ignored_where_it_was_at_the_start(
    command: Command, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `nohup`."""
    monkeypatch.setattr(
        "ganzoo.display.LineProgress.advanced",
        lambda display, session: os.kill(os.getpid(), signal.SIGHUP),
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = command("run", recipe, "--id", "one")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (result.returncode, result.stdout) == (0, f"{RUN}\n")
