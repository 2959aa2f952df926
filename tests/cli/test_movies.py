"""`ganzoo interpolate` and `ganzoo timelapse`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import av
import pytest
from PIL import Image

Command = Callable[..., CompletedProcess[str]]

WALK = ("--num", "4", "--stops", "3", "--steps", "5")


def frames(path: Path) -> list[tuple[int, int]]:
    """The size of every frame."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            return [(each.width, each.height) for each in container.decode(video=0)]
    with Image.open(path) as movie:
        assert movie.info["loop"] == 0
        return [movie.size] * movie.n_frames


@pytest.mark.parametrize("name", ["walk.gif", "walk.mp4"])
def test_a_walk_has_a_frame_for_each_step(command: Command, finished_run: Path, name: str) -> None:
    result = command("interpolate", f"{finished_run}@2", "--out", name, *WALK)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{name}\n", "")
    sizes = frames(Path(name))
    assert len(sizes) == 15
    assert len(set(sizes)) == 1
    assert 500 < sizes[0][0] < 530


def test_the_seed_decides_the_walk(command: Command, finished_run: Path) -> None:
    for name, seed in (("a.gif", "1"), ("b.gif", "1"), ("c.gif", "2")):
        command("interpolate", finished_run, "--out", name, "--seed", seed, *WALK)
    assert Path("a.gif").read_bytes() == Path("b.gif").read_bytes()
    assert Path("a.gif").read_bytes() != Path("c.gif").read_bytes()


def test_training_has_a_frame_for_each_picture(command: Command, finished_run: Path) -> None:
    result = command("timelapse", finished_run, "--out", "training.gif")
    assert (result.returncode, result.stdout, result.stderr) == (0, "training.gif\n", "")
    assert len(frames(Path("training.gif"))) == 4


@pytest.mark.parametrize("name", ["interpolate", "timelapse"])
def test_what_is_no_movie(command: Command, finished_run: Path, name: str) -> None:
    result = command(name, finished_run, "--out", "x.avi")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "x.avi: a movie cannot be written as '.avi'\n  = .gif or .mp4\n"


def test_mp4_without_its_library(
    command: Command, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    result = command("timelapse", finished_run, "--out", "x.mp4")
    assert (result.returncode, result.stdout) == (2, "")
    assert 'pip install "ganzoo-core[video]", or write a .gif' in result.stderr


def test_walks_beyond_memory(command: Command, finished_run: Path) -> None:
    result = command("interpolate", finished_run, "--out", "x.gif", "--steps", str(10**12))
    assert (result.returncode, result.stdout) == (2, "")
    assert "of memory, and there are" in result.stderr
    assert result.stderr.endswith("  = ask for fewer or shorter walks\n")


def test_points_have_no_walk(command: Command, points: Path) -> None:
    run = command("run", points, "log.every=6").stdout.strip()
    result = command("interpolate", run, "--out", "x.gif")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "samples of this shape have no picture\n"
    assert not Path("x.gif").exists()
