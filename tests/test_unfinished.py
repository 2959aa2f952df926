"""What killed processes leave behind, and folders of runs that appear with their recipe."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo.errors import RunError, UserError
from ganzoo.records import write_text
from ganzoo.runs import create_run_folder, remove_unfinished
from ganzoo.unfinished import (
    beside,
    cannot_write,
    new_file,
    new_folder,
    remove_all,
    whole_file,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from ganzoo import runs
from ganzoo.runs import create_run_folder
from ganzoo.unfinished import whole_file

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "file":
    with whole_file(Path("status.json")) as file:
        file.write(b"half")
        die()
runs.write_text = die
create_run_folder(Path("runs"), "tiny", "one", recipe="name = 'tiny'")
"""


def killed(what: str, folder: Path) -> None:
    """A process writes `what` in `folder`, and is killed in the middle of it."""
    result = subprocess.run([sys.executable, "-c", KILLED, what], cwd=folder, check=False)
    assert result.returncode == -signal.SIGKILL


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    write_text(file, "whole")
    killed("file", tmp_path)
    (left,) = (path for path in tmp_path.iterdir() if path != file)
    assert left.read_text() in ("", "half")
    assert file.read_text() == "whole"
    write_text(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert file.read_text() == "new"


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    for name in (".notes.2024", ".status.json.4711", ".a.unfinished", "a.0123abcd.unfinished"):
        (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.iterdir())
    write_text(tmp_path / "status.json", "")
    remove_unfinished(create_run_folder(tmp_path, "tiny", "one"))
    (tmp_path / "status.json").unlink()
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "tiny"] == before


def test_what_is_left_is_found_in_every_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    (deep / ".run.0123abcd.unfinished" / "samples").mkdir(parents=True)
    names = (".status.json.89abcdef.unfinished", ".status.json.89ABCDEF.UNFINISHED")
    for folder in (tmp_path, deep):
        for name in names:
            (folder / name).touch()
    remove_all(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == [tmp_path / names[1], deep / names[1]]
    assert list(deep.iterdir()) == [deep / names[1]]


@pytest.mark.parametrize(
    ("number", "text", "hint"),
    [
        (errno.ENOSPC, "no space left to write {path}", "make room"),
        (errno.EDQUOT, "no space left to write {path}", "make room"),
        (errno.EROFS, "{path} cannot be written: Read-only file system", "make it writable"),
    ],
)
def test_a_write_that_is_refused_says_what_to_do(
    tmp_path: Path, number: int, text: str, hint: str
) -> None:
    path = tmp_path / "run" / "checkpoints" / "000010.pt"
    path.parent.mkdir(parents=True)
    error = cannot_write(path, OSError(number, os.strerror(number)))
    assert (error.message, error.hint) == (text.format(path=path), hint)
    (tmp_path / "run" / "recipe.toml").touch()
    error = cannot_write(path, OSError(number, os.strerror(number)))
    assert error.hint == (
        f"{hint}, then `ganzoo resume {tmp_path / 'run'}` continues from the last checkpoint"
    )


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "000010.pt"
    with pytest.raises(RunError) as caught, whole_file(path):
        pass
    assert caught.value.message == f"{path} cannot be written: No such file or directory"


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "tiny", "one")
    with (
        beside(folder.status) as file,
        new_file(file),
        beside(folder.path / "new") as inside,
        new_folder(inside),
    ):
        remove_unfinished(folder)
        write_text(folder.status, "")
        assert file.exists()
        assert inside.exists()
    assert not file.exists()
    assert not inside.exists()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_run_folder_appears_with_its_recipe(tmp_path: Path) -> None:
    killed("folder", tmp_path)
    assert not (tmp_path / "runs" / "tiny" / "one").exists()
    folder = create_run_folder(tmp_path / "runs", "tiny", "one", recipe="name = 'tiny'\n")
    assert folder.recipe.read_text() == "name = 'tiny'\n"
    assert [path.name for path in folder.path.parent.iterdir()] == ["one"]
    assert {path.name for path in folder.path.iterdir()} == {
        *("recipe.toml", "samples", "checkpoints", "snapshots", "pictures"),
    }


def test_a_folder_with_nothing_in_it_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "tiny" / "one" / "samples").mkdir(parents=True)
    folder = create_run_folder(tmp_path, "tiny", "one", recipe="name = 'tiny'\n")
    assert folder.recipe.exists()


@pytest.mark.parametrize("name", ["recipe.toml", "samples/000000.png"])
def test_a_folder_with_anything_in_it_is_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / "tiny" / "one"
    for folder in ("samples", "checkpoints"):
        (path / folder).mkdir(parents=True)
    (path / name).write_text("mine")
    with pytest.raises(UserError, match=r"the run folder .* exists already"):
        create_run_folder(tmp_path, "tiny", "one", recipe="name = 'tiny'\n")
    assert (path / name).read_text() == "mine"
    assert (path / "checkpoints").is_dir()
    assert os.listdir(tmp_path / "tiny") == ["one"]


def test_no_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(UserError, match="no run folder can be made at"):
        create_run_folder(tmp_path / "runs", "tiny", "one", recipe="")
