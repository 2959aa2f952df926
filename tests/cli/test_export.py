"""`ganzoo export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

import ganzoo

Command = Callable[..., CompletedProcess[str]]


def refusal(result: CompletedProcess[str]) -> str:
    assert (result.returncode, result.stdout) == (2, "")
    return result.stderr


@pytest.mark.parametrize(
    ("format", "out"), [("onnx", "new/g.onnx"), ("pt2", "g.pt2"), ("hub", "new/hub")]
)
def test_each_format_prints_its_place(
    command: Command, finished_run: Path, format: str, out: str
) -> None:
    result = command("export", f"{finished_run}@2", "--format", format, "--out", out)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{out}\n", "")
    assert Path(out).exists()


def test_commands_take_the_folder(command: Command, finished_run: Path) -> None:
    Path("hub").mkdir()
    result = command(
        *("export", finished_run, "--format", "hub", "--out", "hub", "--license", "apache-2.0")
    )
    assert (result.returncode, result.stdout) == (0, "hub\n")
    assert 'license: "apache-2.0"' in Path("hub/README.md").read_text()
    assert command("sample", "./hub", "--out", "a.npy").returncode == 0
    assert command("sample", finished_run, "--out", "b.npy").returncode == 0
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes()
    assert command("export", "./hub", "--format", "pt2", "--out", "g.pt2").returncode == 0
    z = torch.randn(3, 4)
    graph = torch.export.load("g.pt2").module()
    torch.testing.assert_close(graph(z), ganzoo.open_run(finished_run).decode(z))


def test_a_folder_that_holds_anything_is_left_as_it_is(
    command: Command, finished_run: Path
) -> None:
    Path("hub").mkdir()
    Path("hub/notes.txt").write_text("mine")
    result = command("export", finished_run, "--format", "hub", "--out", "hub")
    assert refusal(result) == "hub is not empty\n  = take a new folder\n"
    assert [path.name for path in Path("hub").iterdir()] == ["notes.txt"]
    result = command("export", finished_run, "--format", "hub", "--out", "hub/notes.txt")
    assert "hub/notes.txt is there, and no folder\n" in refusal(result)


@pytest.mark.parametrize("format", ["pt2", "hub"])
def test_a_place_that_cannot_be_written(command: Command, finished_run: Path, format: str) -> None:
    Path("file").write_text("mine")
    out = "file/g.pt2" if format == "pt2" else "file/hub"
    result = command("export", finished_run, "--format", format, "--out", out)
    assert refusal(result).startswith(f"{out} cannot be written: ")


def test_a_file_is_called_by_its_format(command: Command, finished_run: Path) -> None:
    result = command("export", finished_run, "--format", "onnx", "--out", "g.pt2")
    assert refusal(result) == (
        "g.pt2: a file of this format ends in .onnx\n  = --out generator.onnx\n"
    )
    result = command("export", finished_run, "--format", "jpeg", "--out", "g.jpeg")
    assert "'jpeg' is not one of 'onnx', 'pt2', 'hub'" in " ".join(refusal(result).split())


def test_a_run_that_is_not_done_has_no_folder(command: Command, interrupted_run: Path) -> None:
    result = command("export", interrupted_run, "--format", "hub", "--out", "hub")
    assert refusal(result) == (
        f"{interrupted_run} is interrupted, so its weights may change\n"
        f"  = `ganzoo resume {interrupted_run}` finishes it; a snapshot of it can be exported, "
        "such as RUN@4000\n"
    )
    result = command("export", interrupted_run, "--format", "pt2", "--out", "g.pt2")
    assert result.returncode == 0, "its newest checkpoint is sampled from as well"


def test_what_is_no_comparison(command: Command, finished_run: Path) -> None:
    Path("other.json").write_text("{}")
    arguments = ("export", finished_run, "--format", "hub", "--out", "hub", "--comparison")
    text = refusal(command(*arguments, "none.json"))
    assert text == (
        "none.json is not there\n  = give the comparison.json that `ganzoo compare` wrote\n"
    )
    assert refusal(command(*arguments, "other.json")).startswith("other.json is no comparison: ")
    result = command(
        *("export", finished_run, "--format", "pt2", "--out", "g.pt2"),
        *("--comparison", "other.json"),
    )
    assert "a file of the format 'pt2' holds no figures\n" in refusal(result)
    assert not Path("hub").exists()
