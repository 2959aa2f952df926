"""What people call a run, and what they are told where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganzoo.errors import UserError
from ganzoo.references import find_run, run_folders


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs, begun in an order that their names do not have."""
    monkeypatch.chdir(tmp_path)
    for age, path in enumerate(("vae/b", "gan/z", "gan/a", "gan/seed-0-1234")):
        folder = Path("runs") / path
        folder.mkdir(parents=True)
        (folder / "recipe.toml").touch()
        os.utime(folder / "recipe.toml", (1000 + age, 1000 + age))
    (Path("runs") / "gan" / ".new-5").mkdir()
    (Path("runs") / "gan" / ".new-5" / "recipe.toml").touch()


def test_runs_are_in_the_order_in_which_they_began() -> None:
    assert [str(each.path) for each in run_folders()] == [
        *("runs/vae/b", "runs/gan/z", "runs/gan/a", "runs/gan/seed-0-1234")
    ]


@pytest.mark.parametrize(
    ("reference", "path", "snapshot"),
    [
        ("latest", "gan/seed-0-1234", None),
        ("latest@-4", "vae/b", None),
        ("gan", "gan/seed-0-1234", None),
        ("gan@-1", "gan/seed-0-1234", None),
        ("gan@-2", "gan/a", None),
        ("vae@4000", "vae/b", 4000),
        ("gan@-3@best", "gan/z", "best"),
        ("runs/gan/a", "gan/a", None),
        ("runs/gan/a@best", "gan/a", "best"),
        ("runs/gan/a@0", "gan/a", 0),
    ],
)
def test_what_is_meant(reference: str, path: str, snapshot: object) -> None:
    found = find_run(reference)
    assert (str(found.folder.path), found.snapshot) == (f"runs/{path}", snapshot)


def test_a_folder_is_meant_by_its_path_whatever_it_is_called() -> None:
    folder = Path("copy@best")
    folder.mkdir()
    (folder / "recipe.toml").touch()
    assert find_run("copy@best") == (find_run(folder).folder, None)


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("gna", "there is no run 'gna'", "did you mean 'gan'?"),
        ("x", "there is no run 'x'", "there is 'gan', 'vae' or 'latest'"),
        ("gan@-4", "there is no run 'gan@-4': 'gan' has 3 runs", "see `ganzoo runs`"),
        ("vae@-2", "there is no run 'vae@-2': 'vae' has 1 run", "see `ganzoo runs`"),
        ("gan@best@-2", "there is no run 'gan@best@-2'", None),
        ("gan@1@2", "'gan@1@2' names no run", None),
        (
            "runs/gan/a@-2",
            "there is no run 'runs/gan/a@-2': runs/gan/a is a folder, which is one run",
            "@-2 goes with the name of a recipe, @4000 and @best with a folder too",
        ),
        ("runs/gan/q", "runs/gan/q is not a folder", None),
        ("runs/gan", "runs/gan is no run folder: it has no recipe.toml", None),
    ],
)
def test_what_means_no_run(reference: str, message: str, hint: str | None) -> None:
    with pytest.raises(UserError) as caught:
        find_run(reference)
    assert caught.value.message == message
    assert caught.value.hint
    if hint is not None:
        assert caught.value.hint == hint


def test_where_no_run_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"none at all in {tmp_path / 'elsewhere'}"):
        find_run("latest", tmp_path / "elsewhere")


def test_a_snapshot_where_a_whole_run_is_meant() -> None:
    assert find_run("gan").whole().path == Path("runs/gan/seed-0-1234")
    with pytest.raises(UserError, match="'@best' names a snapshot"):
        find_run("gan@best").whole()
