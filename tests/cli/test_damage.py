"""Plain data of a run that are damaged: every command names the file, and says what to do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from ganzoo import open_run

Command = Callable[..., CompletedProcess[str]]

JSON = ["status.json", "environment.json"]
WRONG = ["", "{", "[]", "null", "3", "{}", '{"state": "done", "fingerprint": ["x"]}', '"\udcff"']


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def damage(file: Path, content: str) -> None:
    file.write_bytes(content.encode(errors="surrogateescape"))


def assert_named(result: CompletedProcess[str], file: Path | str) -> None:
    """The result is a message of two lines; the second says what to do."""
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    first, hint = result.stderr.splitlines()[-2:]
    assert first.startswith(f"{file} is damaged: ")
    assert hint.startswith("  = restore ")


@pytest.mark.parametrize("content", WRONG)
@pytest.mark.parametrize("name", JSON)
def test_resume_names_a_damaged_file(command: Command, run: Path, name: str, content: str) -> None:
    damage(run / name, content)
    assert_named(command("resume", run), run / name)


@pytest.mark.parametrize("name", JSON)
def test_what_the_message_says_helps(command: Command, run: Path, name: str) -> None:
    """The file is deleted, and a resumed run writes it again."""
    before = json.loads((run / name).read_text())
    weights = (run / "generator.safetensors").read_bytes()
    (run / name).unlink()
    result = command("resume", run)
    assert result.returncode == 0, result.stderr
    after = json.loads((run / name).read_text())
    for key in ("peak_memory_mb", "git_commit"):  # of the process, and of the current folder
        after.pop(key, None)
        before.pop(key, None)
    assert after == before
    assert (run / "generator.safetensors").read_bytes() == weights


@pytest.mark.parametrize("content", WRONG)
def test_sample_names_a_damaged_environment(command: Command, run: Path, content: str) -> None:
    damage(run / "environment.json", content)
    assert_named(command("sample", run, "--out", "x.npy"), run / "environment.json")


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"iteration": "4"}', "{}"])
@pytest.mark.parametrize("name", ["statistics.jsonl", "timing.jsonl"])
def test_a_damaged_line_is_named(
    command: Command, interrupted_run: Path, name: str, line: str
) -> None:
    file = interrupted_run / name
    rows = file.read_text().splitlines()
    file.write_text("\n".join([rows[0], line, *rows[1:]]) + "\n")
    assert_named(command("resume", interrupted_run), f"{file}:2")
    file.write_text("\n".join(rows) + "\n")
    assert command("resume", interrupted_run).returncode == 0


@pytest.mark.parametrize("name", [*JSON, "statistics.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(
    command: Command, interrupted_run: Path, name: str, kind: str
) -> None:
    file = interrupted_run / name
    file.unlink()
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    result = command("resume", interrupted_run)
    assert result.returncode == 1
    assert f"{file} is damaged: it is a {kind}, not a file\n" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("status.json", '{"state": "interrupted", "warnings": 3}', "warnings: "),
        ("status.json", f'{{"state": "interrupted", "images": 1{"0" * 400}}}', "images: "),
        ("status.json", '{"state": "interrupted", "seconds": 1e999}', "seconds: "),
        ("warnings.jsonl", '{"iteration": 2}\n', "name: Field required"),
    ],
)
def test_values_that_no_run_has(
    command: Command, interrupted_run: Path, name: str, content: str, reason: str
) -> None:
    file = interrupted_run / name
    file.write_text(content)
    place = f"{file}:1" if name.endswith("l") else f"{file}"
    result = command("resume", interrupted_run)
    assert result.returncode == 1
    assert f"{place} is damaged: {reason}" in result.stderr


def test_a_folder_in_the_place_of_a_file(command: Command, run: Path) -> None:
    (run / "status.json").unlink()
    (run / "status.json").mkdir()
    assert_named(command("resume", run), run / "status.json")


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_evaluation(command: Command, points: Path, content: str) -> None:
    run = Path(command("run", points, "train.iterations=2").stdout.strip())
    damage(run / "evaluation.json", content)
    assert_named(command("resume", run), run / "evaluation.json")
    (run / "evaluation.json").unlink()
    assert command("resume", run).returncode == 0
    assert open_run(run).evaluation["generated"] == 50


def test_resume_on_another_device(
    command: Command, interrupted_run: Path, finished_run: Path
) -> None:
    recipe = interrupted_run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('device = "auto"', 'device = "cuda:7"'))
    result = command("resume", interrupted_run)
    assert result.returncode == 2
    assert "engine.device = 'cuda:7' needs CUDA device 7" in result.stderr
    result = command("resume", interrupted_run, "engine.device=cpu")
    assert result.returncode == 0, result.stderr
    for name in ("generator.safetensors", "statistics.jsonl"):
        assert (interrupted_run / name).read_bytes() == (finished_run / name).read_bytes()


def test_resume_in_another_precision(command: Command, interrupted_run: Path) -> None:
    """The run stays the same run, and says that its end is not."""
    result = command("resume", interrupted_run, "engine.precision=bfloat16")
    assert result.returncode == 0, result.stderr
    assert (
        "warning: the run continues with precision bfloat16 instead of float32: " in result.stderr
    )
    assert command("sample", interrupted_run, "--out", "x.npy").returncode == 0
    result = command("resume", interrupted_run)
    assert "is done: there is nothing to resume" in result.stderr


@pytest.mark.parametrize("override", ["train.seed=9", "log.every=1", "enginex.device=cpu"])
def test_nothing_else_changes_a_run(command: Command, interrupted_run: Path, override: str) -> None:
    result = command("resume", interrupted_run, override)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"'{override}' would change the run {interrupted_run}\n")


def test_a_lost_end_comes_back_from_the_last_checkpoint(command: Command, run: Path) -> None:
    lost = [run / "generator.safetensors", run / "snapshots" / "000006.safetensors"]
    before = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    result = command("resume", run)
    assert (result.returncode, result.stdout) == (0, f"{run}\n"), result.stderr
    for file, content in zip(lost, before, strict=True):
        assert f"warning: {file} is missing\n" in result.stderr
        assert file.read_bytes() == content
    assert command("resume", run).returncode == 2


def test_statuses_of_python_are_checked_too(run: Path) -> None:
    from ganzoo import RunError

    status: dict[str, Any] = json.loads((run / "status.json").read_text())
    del status["seconds"]
    (run / "status.json").write_text(json.dumps(status))
    with pytest.raises(RunError, match=r"status\.json is damaged: seconds: Field required"):
        _ = open_run(run).status
