"""`ganzoo resume`, and all that ends a run early."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import tomli_w
from filelock import FileLock

from ganzoo import load_recipe
from ganzoo.digests import read_state, write_state
from ganzoo.interruption import REPEATED_SECONDS

Command = Callable[..., CompletedProcess[str]]

RUN = Path("runs/tiny/one")


def status(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "status.json").read_text())
    return found


def checkpoints(run: Path) -> list[str]:
    """Names of everything that lies among the checkpoints, hidden files too."""
    return sorted(file.name for file in (run / "checkpoints").iterdir())


def assert_same_end(run: Path, finished_run: Path) -> None:
    """The run has the same end as one that was never interrupted."""
    assert status(run)["state"] == "done"
    for name in ("generator.safetensors", "discriminator.safetensors", "statistics.jsonl"):
        assert (run / name).read_bytes() == (finished_run / name).read_bytes(), name


def test_resumes_from_the_newest_checkpoint_to_the_same_end(
    command: Command, interrupted_run: Path, finished_run: Path
) -> None:
    result = command("resume", interrupted_run)
    assert (result.returncode, result.stdout) == (0, f"{interrupted_run}\n")
    assert "resumes from iteration 5\n" in result.stderr
    assert_same_end(interrupted_run, finished_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_after_the_iteration(
    command: Command,
    recipe: Path,
    finished_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def advanced(display: object, session: Any) -> None:
        if session.iteration == 3:
            os.kill(os.getpid(), number)

    before = signal.signal(number, signal.SIG_DFL)  # ignored, perhaps, where the tests were started
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.display.LineProgress.advanced", advanced)
        result = command("run", recipe, "--id", "one")
    signal.signal(number, before)
    assert (result.returncode, result.stdout) == (128 + number, "")
    assert result.stderr.endswith(
        f"stopped after iteration 3 of 6; the checkpoint is in {RUN}\n"
        f"  = `ganzoo resume {RUN}` continues it\n"
    )
    assert checkpoints(RUN) == ["000002.pt", "000003.pt"]
    assert (status(RUN)["state"], status(RUN)["iteration"]) == ("interrupted", 3)
    assert command("resume", RUN).returncode == 0
    assert_same_end(RUN, finished_run)


def test_a_second_ctrl_c_ends_the_run_at_once(
    command: Command, recipe: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advanced(display: object, session: Any) -> None:
        if session.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(REPEATED_SECONDS)
            os.kill(os.getpid(), signal.SIGTERM)  # a machine's, and machines are in no hurry
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.display.LineProgress.advanced", advanced)
        result = command("run", recipe, "--id", "one")
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr.endswith(
        f"stopped at once, without a new checkpoint, in {RUN}\n"
        f"  = `ganzoo resume {RUN}` continues from the last one\n"
    )
    assert checkpoints(RUN) == ["000002.pt"]
    assert status(RUN)["state"] == "interrupted"
    assert command("resume", RUN).returncode == 0
    assert_same_end(RUN, finished_run)


def test_a_second_ctrl_c_lets_a_checkpoint_be_written(
    command: Command, recipe: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    save = torch.save

    def slow_save(state: object, file: Any) -> None:
        if RUN.joinpath("checkpoints", "000002.pt").exists():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(REPEATED_SECONDS)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        save(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", slow_save)
        result = command("run", recipe, "--id", "one")
    assert result.returncode == 130
    assert "stopped after iteration 5 of 6" in result.stderr
    assert checkpoints(RUN) == ["000004.pt", "000005.pt"]
    assert command("resume", RUN).returncode == 0
    assert_same_end(RUN, finished_run)


def test_a_run_whose_process_was_killed_is_said_to_be(
    command: Command, interrupted_run: Path, finished_run: Path
) -> None:
    running = {**status(interrupted_run), "state": "running"}
    (interrupted_run / "status.json").write_text(json.dumps(running))
    result = command("resume", interrupted_run)
    assert result.returncode == 0
    assert (
        f"warning: the process that trained {interrupted_run} was killed or crashed; "
        "its last words are of iteration 5\n"
    ) in result.stderr
    assert_same_end(interrupted_run, finished_run)


def test_ctrl_c_while_the_data_are_read(
    command: Command, recipe: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.engine.training.prepare", prepare)
        result = command("run", recipe, "--id", "one")
    assert result.returncode == 130
    assert "stopped at once" in result.stderr
    assert status(RUN)["state"] == "interrupted"
    assert command("resume", RUN).returncode == 0
    assert_same_end(RUN, finished_run)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def replace_by_text(file: Path) -> None:
    file.write_text("not a checkpoint\n")


@pytest.mark.parametrize("damage", [cut_in_half, empty, replace_by_text])
def test_a_broken_checkpoint_is_passed_over(
    command: Command, interrupted_run: Path, finished_run: Path, damage: Callable[[Path], None]
) -> None:
    newest = interrupted_run / "checkpoints" / "000005.pt"
    damage(newest)
    result = command("resume", interrupted_run)
    assert result.returncode == 0
    warning = f"warning: {newest} cannot be read and is passed over: "
    assert re.search(re.escape(warning) + r"\S", result.stderr), "a reason is given"
    assert "resumes from iteration 4\n" in result.stderr
    assert_same_end(interrupted_run, finished_run)


def test_without_a_whole_checkpoint_the_run_is_not_begun_again(
    command: Command, interrupted_run: Path
) -> None:
    for file in (interrupted_run / "checkpoints").iterdir():
        cut_in_half(file)
    statistics = (interrupted_run / "statistics.jsonl").read_bytes()
    for passed_over in (2, 0):  # the second time they are set aside already
        result = command("resume", interrupted_run)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.count("cannot be read and is passed over") == passed_over
        assert result.stderr.endswith(
            f"no checkpoint in {interrupted_run} is whole, so the run cannot go on\n"
            f"  = put one back from a copy of the folder, or `ganzoo run "
            f"{interrupted_run}/recipe.toml` makes the run anew\n"
        )
    assert checkpoints(interrupted_run) == ["000004.pt.broken", "000005.pt.broken"]
    assert (interrupted_run / "statistics.jsonl").read_bytes() == statistics


def test_files_of_others_among_the_checkpoints_are_left_alone(
    command: Command, interrupted_run: Path
) -> None:
    mine = interrupted_run / "checkpoints" / "best.pt"
    mine.write_text("mine")
    result = command("resume", interrupted_run)
    assert "resumes from iteration 5\n" in result.stderr
    assert mine.read_text() == "mine"


def test_what_a_killed_process_left_half_written_is_removed(
    command: Command, interrupted_run: Path, finished_run: Path
) -> None:
    half, mine = (
        interrupted_run / "checkpoints" / name
        for name in (".000006.pt.0123abcd.unfinished", ".notes.2024")
    )
    half.write_bytes(b"half")
    mine.write_bytes(b"mine")
    with (interrupted_run / "statistics.jsonl").open("a") as file:
        file.write('{"iteration": 6, "ima')
    assert command("resume", interrupted_run).returncode == 0
    assert checkpoints(interrupted_run) == [".notes.2024", "000005.pt", "000006.pt"]
    assert mine.read_bytes() == b"mine"
    assert_same_end(interrupted_run, finished_run)


def test_a_run_that_is_done(command: Command, finished_run: Path) -> None:
    result = command("resume", finished_run)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{finished_run} is done: there is nothing to resume\n  = ")
    assert "train.iterations=" in result.stderr


@pytest.mark.parametrize("command_line", [("resume",), ("sample", "--out", "x.png")])
def test_a_folder_that_is_no_run(
    command: Command, finished_run: Path, command_line: tuple[str, ...]
) -> None:
    Path("empty").mkdir()
    for folder, message, hint in (
        ("./nowhere", "./nowhere is not a folder", "give the folder that `ganzoo run` printed"),
        (
            "empty",
            "empty is no run folder: it has no recipe.toml",
            "a run folder holds a recipe.toml",
        ),
        (
            finished_run.parent,
            f"{finished_run.parent} is no run folder: it has no recipe.toml",
            f"the newest run below it is {finished_run}",
        ),
    ):
        result = command(*command_line, folder)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"{message}\n  = {hint}\n"


def test_a_run_whose_recipe_was_changed(command: Command, interrupted_run: Path) -> None:
    recipe = interrupted_run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("lr = 0.001", "lr = 0.002"))
    result = command("resume", interrupted_run)
    assert result.returncode == 1
    assert result.stderr == (
        f"{recipe} is not the recipe that this run was started with\n"
        f"  = restore it from a copy; `ganzoo run {recipe}` makes a new run of it\n"
    )


def test_a_run_whose_recipe_was_changed_and_that_lost_its_environment(
    command: Command, interrupted_run: Path
) -> None:
    recipe = interrupted_run / "recipe.toml"
    before = recipe.read_text()
    (interrupted_run / "environment.json").unlink()
    recipe.write_text(before.replace("lr = 0.001", "lr = 0.002"))
    result = command("resume", interrupted_run)
    assert result.returncode == 1
    assert f"{recipe} is not the recipe that this run was started with\n" in result.stderr
    recipe.write_text(before)
    assert command("resume", interrupted_run, "engine.precision=bfloat16").returncode == 0
    # It is the same run as before, whatever it was computed in.
    assert command("sample", interrupted_run, "--out", "x.npy").returncode == 0


def test_a_recipe_may_lack_keys_that_a_later_version_knows(
    command: Command, interrupted_run: Path, finished_run: Path
) -> None:
    """The run began when `weight_decay` was no key yet."""
    recipe, file = interrupted_run / "recipe.toml", interrupted_run / "environment.json"
    tables = tomllib.loads(recipe.read_text())
    for optimizer in tables["optimizer"].values():
        del optimizer["weight_decay"]
    recipe.write_text(tomli_w.dumps(tables))
    began = load_recipe(recipe).fingerprint_as_written(tables)
    environment = json.loads(file.read_text())
    assert began != environment["fingerprint"]
    file.write_text(json.dumps({**environment, "fingerprint": began}))
    for checkpoint in (interrupted_run / "checkpoints").iterdir():
        write_state(checkpoint, {**read_state(checkpoint), "fingerprint": began})
    assert command("sample", interrupted_run, "--out", "x.npy").returncode == 0
    assert command("resume", interrupted_run).returncode == 0
    assert (interrupted_run / "statistics.jsonl").read_bytes() == (
        finished_run / "statistics.jsonl"
    ).read_bytes()


def test_a_run_that_another_process_trains(command: Command, interrupted_run: Path) -> None:
    before = status(interrupted_run)
    with FileLock(interrupted_run / ".lock"):
        result = command("resume", interrupted_run)
    assert result.returncode == 1
    assert result.stderr == f"another process is training {interrupted_run}\n"
    assert status(interrupted_run) == before


def no_space(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("stays_full", [False, True], ids=["for a moment", "for good"])
@pytest.mark.parametrize("place", ["fsync", "write"])
def test_no_space_left_at_the_second_checkpoint(
    command: Command,
    recipe: Path,
    finished_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    stays_full: bool,
) -> None:
    """The disk is full when the second checkpoint is written, and perhaps from then on."""
    from ganzoo import unfinished

    fsync, new_file = os.fsync, unfinished.new_file
    full = False

    def second() -> bool:
        nonlocal full
        names = checkpoints(RUN)
        writing = "000002.pt" in names and any(name.startswith(".") for name in names)
        full = full or (writing and stays_full)
        return writing or full

    def failing_fsync(descriptor: int) -> None:
        if (RUN / "checkpoints").is_dir() and second():
            no_space()
        fsync(descriptor)

    class FullFile(io.RawIOBase):
        write = no_space  # type: ignore[assignment]

    @contextmanager
    def failing_file(path: Path) -> Iterator[Any]:
        with new_file(path) as file:
            yield FullFile() if RUN.is_dir() and second() else file

    with monkeypatch.context() as patch:
        patch.setattr("ganzoo.unfinished.os.fsync", failing_fsync)
        if place == "write":
            patch.setattr(unfinished, "new_file", failing_file)
        result = command("run", recipe, "--id", "one")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith(
        f"no space left to write {RUN}/checkpoints/000004.pt\n"
        f"  = make room, then `ganzoo resume {RUN}` continues from the last checkpoint\n"
    )
    assert checkpoints(RUN) == ["000002.pt"]
    if stays_full:
        assert f"warning: no space left to write {RUN}/status.json\n" in result.stderr
    assert status(RUN)["state"] == ("running" if stays_full else "failed")
    result = command("resume", RUN)
    assert (result.returncode, result.stdout) == (0, f"{RUN}\n")
    assert "resumes from iteration 2\n" in result.stderr
    assert_same_end(RUN, finished_run)


def test_a_run_stopped_before_it_was_measured_is_measured(command: Command, points: Path) -> None:
    run = Path(command("run", points, "train.iterations=2").stdout.strip())
    (run / "evaluation.json").unlink()
    weights = (run / "generator.safetensors").stat().st_mtime_ns
    result = command("resume", run)
    assert result.returncode == 0, result.stderr
    assert json.loads((run / "evaluation.json").read_text())["generated"] == 50
    assert (run / "generator.safetensors").stat().st_mtime_ns == weights, "it was not trained again"
    assert command("resume", run).returncode == 2
