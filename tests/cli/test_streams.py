"""Output that nobody reads, or that has no room: it stops no run, and is missed where it counts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[..., subprocess.Popen[str]]

RUN = Path("runs/tiny/one")

TALKING = """
import sys

from ganzoo.api import hookimpl


@hookimpl
def ganzoo_statistics_logged():
    print("a word to stdout", flush=True)
    print("a word to stderr", file=sys.stderr)


@hookimpl
def ganzoo_checkpoint_written():
    raise RuntimeError("which is reported to stderr")
"""


@pytest.mark.parametrize("closed", [False, True], ids=["gone and full", "closed"])
def test_a_run_outlasts_those_who_watch_it(start: Start, recipe: Path, closed: bool) -> None:
    """The reader of stderr goes away and stdout is full, or there is neither from the start."""
    Path("talking.py").write_text(TALKING)
    arguments = ("run", recipe, "--id", "one", "--plugin", "talking.py")
    if closed:
        shell = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
        process = start(*arguments, before=shell, stdout=None, stderr=None)
    else:
        with Path("/dev/full").open("w") as full:
            process = start(*arguments, stdout=full)
        assert process.stderr is not None
        assert process.stderr.readline()
        process.stderr.close()
        process.stderr = None
    assert process.wait(timeout=60) == 0
    status = json.loads((RUN / "status.json").read_text())
    assert status["state"] == "done"
    (warning,) = status["warnings"]
    assert "failed in ganzoo_checkpoint_written and is not called there again" in warning
    assert len((RUN / "statistics.jsonl").read_text().splitlines()) == 3
    assert sorted(file.name for file in (RUN / "checkpoints").iterdir()) == [
        "000004.pt",
        "000006.pt",
    ]


@pytest.mark.parametrize("arguments", ["--version", "check tiny.toml", "components", "schema"])
@pytest.mark.usefixtures("recipe")
def test_output_that_is_lost_is_a_failure_where_there_is_nothing_else(
    start: Start, arguments: str
) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(*arguments.split(), stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == "stdout cannot be written: No space left on device\n"
