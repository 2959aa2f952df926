"""Data and devices that are not there, seen from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

PICTURES = 'type = "image-folder"\npath = "pictures"\nsize = 8\nchannels = 1'


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8), 50 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_data_that_are_not_there(
    command: Command,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "data"
    monkeypatch.setenv("GANZOO_DATA", str(root))
    recipe = write_recipe({"data": 'type = "mnist"\ndownload = false'})
    result = command("run", recipe)
    assert (result.returncode, result.stdout) == (2, "")
    message, hint = result.stderr.splitlines()
    assert message.startswith(f"mnist: not in {root}/MNIST (missing: raw/train-images-idx3-ubyte")
    assert hint == (
        "  = set GANZOO_DATA to the folder that holds MNIST/, "
        "or set data.download = true with a network connection"
    )


def test_a_picture_folder_that_is_not_there(
    command: Command,
    write_recipe: WriteRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    result = command("run", write_recipe({"data": PICTURES}))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        f"image-folder: there is no folder {tmp_path}/pictures nor {tmp_path}/data/pictures\n"
        "  = set data.path to a folder of pictures"
    )


def test_an_empty_picture_folder(
    command: Command, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    result = command("run", write_recipe({"data": PICTURES}))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"image-folder: no picture in {tmp_path}/pictures or its sub-folders (looked for .png, "
        ".jpg, .jpeg, .jfif, .webp, .bmp, .gif, .tif, .tiff, .ppm, .pgm, .avif, .jp2)\n"
        "  = set data.path to a folder that holds pictures of one of these kinds\n"
    )


def test_a_broken_picture_is_named_and_the_rest_is_trained_on(
    command: Command, write_recipe: WriteRecipe, pictures: Path
) -> None:
    (pictures / "broken.png").write_bytes(b"\x89PNG but no further")
    recipe = write_recipe({"data": PICTURES, "train": "iterations = 2\nbatch_size = 4"})
    result = command("run", recipe, "--id", "one")
    assert (result.returncode, result.stdout) == (0, "runs/tiny/one\n")
    assert (
        "pictures, 0 of them held out; left out 1 that cannot be read: broken.png (not a picture)\n"
        in result.stderr
    )


def test_a_cuda_device_that_is_not_there(command: Command, recipe: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = command("run", recipe, "engine.device=cuda")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "engine.device = 'cuda' needs CUDA device 0, but this machine has no CUDA device\n"
        f"  = torch {torch.__version__}; engine.device=auto takes what there is\n"
    )


def test_a_device_that_is_not_one(command: Command, recipe: Path) -> None:
    result = command("run", recipe, "engine.device=gpu")
    assert (result.returncode, result.stdout) == (2, "")
    assert "engine.device: " in result.stderr
    assert "= auto, cpu, cuda, cuda:1 or mps\n" in result.stderr
