"""Two processes that want the same thing at once: one is refused, or both are right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from ganzoo import open_run

Start = Callable[..., subprocess.Popen[str]]

FILES = ("generator.safetensors", "discriminator.safetensors", "statistics.jsonl")


def ends(*processes: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """Exit codes, what was printed and what was said, the one that is done first."""
    results = []
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert "Traceback" not in err, err
        results.append((process.returncode, out, err))
    return sorted(results)


@pytest.mark.timeout(400)
def test_two_resume_one_run(start: Start, interrupted_run: Path, finished_run: Path) -> None:
    done, refused = ends(*(start("resume", interrupted_run) for _ in range(2)))
    assert done[:2] == (0, f"{interrupted_run}\n"), done
    # The other one comes while the run is trained, or after that, or takes the lock in between.
    assert refused[:2] in [(1, ""), (2, ""), (0, f"{interrupted_run}\n")]
    assert refused[0] == 0 or refused[2] in (
        f"another process is training {interrupted_run}\n",
        f"{interrupted_run} is done: there is nothing to resume\n"
        "  = `ganzoo run` with train.iterations=... makes a longer run\n",
    )
    for name in FILES:
        assert (interrupted_run / name).read_bytes() == (finished_run / name).read_bytes()
    assert open_run(interrupted_run).status["state"] == "done"


@pytest.mark.timeout(400)
def test_two_runs_of_one_name(start: Start, recipe: Path, finished_run: Path) -> None:
    done, refused = ends(*(start("run", recipe, "--id", "one") for _ in range(2)))
    assert done[:2] == (0, "runs/tiny/one\n"), done
    assert refused == (
        2,
        "",
        "the run folder runs/tiny/one exists already\n"
        "  = `ganzoo resume runs/tiny/one` continues it; another --id starts a new one\n",
    )
    for name in FILES:
        assert Path("runs/tiny/one", name).read_bytes() == (finished_run / name).read_bytes()
    assert [path.name for path in Path("runs/tiny").iterdir()] == ["one"]


@pytest.mark.timeout(400)
def test_two_comparisons_share_their_runs(start: Start, points: Path) -> None:
    """One trains the run; the other one is refused it, or measures what is there."""
    results = ends(*(start("compare", points, "--out", f"out-{number}") for number in range(2)))
    assert results[0][0] == 0, results
    assert results[1][0] == 0 or "another process is training runs/tiny/" in results[1][2]
    (run,) = Path("runs/tiny").iterdir()
    written = [
        json.loads(file.read_text())["models"][0]["runs"][0]
        for file in Path().glob("out-*/comparison.json")
    ]
    assert len(written) == sum(code == 0 for code, _, _ in results)
    for entry in written:
        assert (entry["path"], entry["state"]) == (str(run), "done")
        assert entry["values"] == written[0]["values"]
    assert open_run(run).status["state"] == "done"


@pytest.mark.timeout(400)
def test_two_ranks_leave_a_run_to_the_process_that_trains_it(interrupted_run: Path) -> None:
    before = (interrupted_run / "status.json").read_bytes()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node=2", "-m", "ganzoo", "resume", str(interrupted_run)]
    with FileLock(interrupted_run / ".lock"):
        result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode != 0
    assert result.stderr.count(f"another process is training {interrupted_run}\n") == 1
    assert (interrupted_run / "status.json").read_bytes() == before
