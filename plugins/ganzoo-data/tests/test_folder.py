"""The user's own pictures: finding, reading, splitting, and what is said when that fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_data import ImageFolder, pictures
from ganzoo_data.folder import list_pictures
from ganzoo_data.pictures import PictureReader, PictureStream
from PIL import Image

from ganzoo.api import RunError, UserError
from ganzoo.engine import Data, Samples
from ganzoo.engine.loader import BatchLoader

Build = Callable[..., Data]


def folder(**keys: object) -> ImageFolder:
    return ImageFolder.model_validate({"path": "faces", "size": 12, "held_out": 0.2, **keys})


def read(file: Path, **keys: object) -> np.ndarray:
    """A file as the reader gives it, `(H, W, C)`."""
    return PictureReader(**keys)(file).permute(1, 2, 0).numpy()  # type: ignore[arg-type]


def pictures_of(part: Samples | PictureStream) -> list[bytes]:
    samples = part.values if isinstance(part, Samples) else [part[i][0] for i in range(len(part))]
    return [sample.numpy().tobytes() for sample in samples]


def break_file(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-60])


# Finding and splitting


def test_every_picture_is_in_exactly_one_part(faces: Path, build: Build) -> None:
    data = build(folder())
    expected = [
        np.asarray(Image.open(file)).transpose(2, 0, 1).tobytes()
        for file in sorted(faces.rglob("*.png"))
    ]
    pixels = pictures_of(data.train) + pictures_of(data.held_out)
    assert (len(data.train), len(data.held_out)) == (16, 4)
    assert sorted(pixels) == sorted(expected)


def test_names_are_sorted_whatever_the_file_system_says(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "A/z.png", "A/B/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_pictures(tmp_path) == ["A/B/c.png", "A/z.png", "a.png", "b.png"]


def test_the_extension_may_be_in_capitals_and_other_files_are_left_alone(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    for extension in ("JPG", "jpeg", "WebP", "bmp", "gif"):
        Image.new("RGB", (12, 12)).save(faces / f"one.{extension}")
    (faces / "notes.txt").write_text("no picture")
    assert len(build(folder(held_out=0.0)).train) == 25
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("share", "train", "apart"), [(0.0, 20, 0), (0.04, 20, 0), (0.5, 10, 10), (0.999, 1, 19)]
)
def test_the_share_held_out(
    faces: Path, build: Build, share: float, train: int, apart: int
) -> None:
    data = build(folder(held_out=share))
    assert len(data.train) == train
    assert (0 if data.held_out is None else len(data.held_out)) == apart


def test_limit_is_a_fixed_choice_among_all(faces: Path, build: Build) -> None:
    everything = build(folder(held_out=0.0))
    some = build(folder(held_out=0.5, limit=10))
    chosen = set(pictures_of(some.train)) | set(pictures_of(some.held_out))
    assert (len(some.train), len(some.held_out), len(chosen)) == (5, 5, 10)
    assert chosen == set(pictures_of(everything.train)[:10])
    assert chosen != set(sorted(pictures_of(everything.train))[:10])
    assert len(build(folder(limit=100, held_out=0.0)).train) == 20


def test_the_split_depends_on_names_and_not_on_a_file_that_breaks(
    faces: Path, build: Build
) -> None:
    before = build(folder())
    break_file(faces / "01.png")
    after = build(folder())
    for one, other in ((before.train, after.train), (before.held_out, after.held_out)):
        assert set(pictures_of(other)) <= set(pictures_of(one))
    assert len(after.train) + len(after.held_out) == 19


def test_folders_are_searched_in_order(
    faces: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    (here / "faces").mkdir(parents=True)
    elsewhere.mkdir()
    Image.new("RGB", (12, 12)).save(here / "faces" / "one.png")
    assert len(build(folder(held_out=0.0)).train) == 20  # in the data root
    monkeypatch.chdir(here)
    assert len(build(folder(held_out=0.0)).train) == 1  # the working directory comes first
    monkeypatch.chdir(elsewhere)
    assert len(build(folder(path=str(faces), held_out=0.0), elsewhere).train) == 20
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(build(folder(path="~/faces", held_out=0.0), elsewhere).train) == 20


# In memory and streamed


@pytest.mark.parametrize("keys", [{}, {"size": 7}, {"channels": 1}, {"crop": "none", "size": 9}])
def test_a_stream_gives_the_same_samples_as_memory(
    faces: Path, build: Build, keys: dict[str, object]
) -> None:
    memory, stream = build(folder(in_memory=True, **keys)), build(folder(in_memory=False, **keys))
    for held, read_part in ((memory.train, stream.train), (memory.held_out, stream.held_out)):
        assert isinstance(held, Samples)
        assert isinstance(read_part, PictureStream)
        assert held.labels is None
        assert len(held) == len(read_part)
        for index in range(len(held)):
            value, label = read_part[index]
            assert torch.equal(held.values[index], value)
            assert label == -1


def test_the_engine_feeds_both_alike(faces: Path, build: Build) -> None:
    batches = []
    for in_memory in (True, False):
        data = build(folder(in_memory=in_memory))
        loader = BatchLoader(data.train, (3, 12, 12), 6, seed=0, device=torch.device("cpu"))
        loader.fill(0)
        batches.append(loader.x.clone())
    assert torch.equal(*batches)
    assert batches[0].min() < -0.9
    assert batches[0].max() > 0.9


def test_auto_streams_what_does_not_fit(
    faces: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 20 * 3 * 12 * 12
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", size + 1)
    assert isinstance(build(folder()).train, Samples)
    monkeypatch.setattr(pictures, "MEMORY_LIMIT", size)
    assert isinstance(build(folder()).train, PictureStream)
    assert isinstance(build(folder(in_memory=True)).train, Samples)
    assert isinstance(build(folder(channels=1)).train, Samples)


def test_reading_many_is_announced(
    faces: Path,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pictures, "MANY", 19)
    build(folder())
    build(folder(in_memory=False))
    assert capsys.readouterr().err == (
        f"image-folder: reading 20 pictures in {faces}\n"
        f"image-folder: checking 20 pictures in {faces}\n"
    )


# How a picture is read


def test_center_cuts_the_long_side(tmp_path: Path) -> None:
    pixels = np.arange(8, dtype=np.uint8)[None, :, None].repeat(4, 0).repeat(3, 2) * 30
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    assert np.array_equal(read(tmp_path / "wide.png", size=4), pixels[:, 2:6])
    tall = read(tmp_path / "tall.png", size=4)
    assert np.array_equal(tall, pixels[:, 2:6].transpose(1, 0, 2))


def test_none_squashes(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, :4] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    squashed = read(tmp_path / "wide.png", size=4, crop="none")
    assert squashed.shape == (4, 4, 3)
    assert (squashed[:, 0] > 190).all()
    assert (squashed[:, 3] < 10).all()


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = read(tmp_path / "board.png", size=8).astype(int)
    assert abs(small - 127).max() <= 12


def solid(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (4, 4), colour)


@pytest.mark.parametrize(
    ("image", "file", "expected"),
    [
        (solid("RGBA", (255, 0, 0, 0)), "clear.png", (255, 255, 255)),
        (solid("RGBA", (255, 0, 0, 255)), "red.png", (255, 0, 0)),
        (solid("RGBA", (200, 0, 0, 51)), "faint.png", (244, 204, 204)),
        (solid("LA", (0, 127)), "grey.png", (128, 128, 128)),
        (solid("L", 77), "l.png", (77, 77, 77)),
        (solid("1", 1), "bit.png", (255, 255, 255)),
        (solid("RGB", (10, 20, 30)).quantize(), "palette.png", (10, 20, 30)),
        (solid("CMYK", (0, 0, 0, 255)), "ink.jpg", (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 128 * 256, np.uint16)), "deep.png", (128, 128, 128)),
        (solid("RGB", (10, 20, 30)), "one.bmp", (10, 20, 30)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_colours(
    tmp_path: Path, image: Image.Image, file: str, expected: tuple[int, int, int]
) -> None:
    image.save(tmp_path / file)
    pixels = read(tmp_path / file, size=4).astype(int)
    assert pixels.shape == (4, 4, 3)
    assert abs(pixels - np.array(expected)).max() <= 1


def test_a_transparent_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.gif", transparency=0)
    pixels = read(tmp_path / "a.gif", size=4)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [solid("RGB", (250, 0, 0)), solid("RGB", (0, 250, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "a.gif", size=4)[0, 0].tolist() == [250, 0, 0]


def test_one_channel_is_luminance(tmp_path: Path) -> None:
    solid("RGB", (255, 0, 0)).save(tmp_path / "red.png")
    grey = read(tmp_path / "red.png", size=4, channels=1)
    assert grey.shape == (4, 4, 1)
    assert (grey == 76).all()


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_the_orientation_of_a_camera_is_honoured(tmp_path: Path, extension: str) -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8] = 250  # bright on top as stored; 6 says that the top is the right-hand side
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / f"turned.{extension}"
    Image.fromarray(pixels).save(file, exif=exif, quality=95)
    pixels = read(file, size=16).astype(int)
    assert (pixels[:, 10:] > 230).all()
    assert (pixels[:, :6] < 20).all()


# What is said when it fails


def test_broken_files_are_skipped_and_named(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    break_file(faces / "01.png")
    (faces / "a.jpg").write_text("this is not a picture")
    (faces / "b.gif").write_bytes(b"")
    whole = build(folder(held_out=0.0))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("image-folder: skipped 3 of 22 files that cannot be read: ")
    assert captured.err.count("\n") == 1
    assert "01.png (image file is truncated" in captured.err
    assert "a.jpg (not a picture)" in captured.err
    assert "b.gif (not a picture)" in captured.err
    # What is left is whole and has not moved.
    expected = {
        np.asarray(Image.open(file)).transpose(2, 0, 1).tobytes()
        for file in faces.rglob("*.png")
        if file.name != "01.png"
    }
    assert len(whole.train) == 19
    assert set(pictures_of(whole.train)) == expected


def test_a_stream_knows_its_broken_files_before_training(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    break_file(faces / "01.png")
    (faces / "more" / "a.jpg").write_text("this is not a picture")
    data = build(folder(in_memory=False, held_out=0.0))
    err = capsys.readouterr().err
    assert err.startswith("image-folder: skipped 2 of 21 files that cannot be read: ")
    assert "01.png (" in err
    assert "more/a.jpg (not a picture)" in err
    assert len(pictures_of(data.train)) == 19


def test_at_most_ten_are_named(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(13):
        (faces / f"bad-{index}.jpg").write_text("no")
    build(folder())
    err = capsys.readouterr().err
    assert "skipped 13 of 33 files" in err
    assert err.count("(not a picture)") == 10
    assert err.endswith(" and 3 more\n")


def test_only_the_first_process_prints(
    faces: Path,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (faces / "a.jpg").write_text("no")
    monkeypatch.setenv("RANK", "1")
    build(folder())
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    build(folder())
    assert "skipped 1 of 21" in capsys.readouterr().err


def test_a_file_that_breaks_in_the_middle_of_a_run(faces: Path, build: Build) -> None:
    data = build(folder(in_memory=False, held_out=0.0))
    assert isinstance(data.train, PictureStream)
    file = data.train.files[2]
    break_file(file)
    with pytest.raises(RunError, match="could not be read in the middle of a run") as raised:
        data.train[2]
    assert str(file) in str(raised.value)
    assert "truncated" in str(raised.value)
    assert "remove that file, or set in_memory = true" in str(raised.value)
    os.remove(file)
    with pytest.raises(RunError, match="No such file"):
        data.train[2]


def test_a_missing_folder_is_named_with_all_places(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(UserError) as raised:
        build(folder())
    assert str(raised.value) == (
        f"image-folder: there is no folder {here}/faces nor {tmp_path}/faces\n"
        "  = set data.path to a folder of pictures: an absolute path, or one relative to the "
        "working directory or to GANZOO_DATA"
    )
    with pytest.raises(UserError, match=r"there is no folder /nowhere/at/all\n") as raised:
        build(folder(path="/nowhere/at/all"))
    assert raised.value.message.count("nowhere") == 1


def test_a_file_is_no_folder(build: Build, tmp_path: Path) -> None:
    (tmp_path / "faces").write_text("")
    with pytest.raises(UserError, match=f"image-folder: {tmp_path}/faces is a file") as raised:
        build(folder())
    assert "set data.path to the folder that holds it" in str(raised.value)


def test_a_folder_without_pictures_is_named_with_the_kinds(build: Build, tmp_path: Path) -> None:
    (tmp_path / "faces" / "deep").mkdir(parents=True)
    (tmp_path / "faces" / "deep" / "a.tiff").write_text("")
    with pytest.raises(UserError) as raised:
        build(folder())
    assert str(raised.value) == (
        f"image-folder: no picture in {tmp_path}/faces or its sub-folders (looked for .png, "
        ".jpg, .jpeg, .webp, .bmp, .gif)\n"
        "  = set data.path to a folder that holds pictures of one of these kinds"
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_no_readable_pictures(
    build: Build, tmp_path: Path, in_memory: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").mkdir()
    for index in range(3):
        (tmp_path / "faces" / f"{index}.png").write_text("no")
    with pytest.raises(UserError) as raised:
        build(folder(in_memory=in_memory, held_out=0.0))
    text = str(raised.value)
    assert f"none of the 3 pictures to train on in {tmp_path}/faces can be read: " in text
    assert all(f"{index}.png (not a picture)" in text for index in range(3))
    assert "  = give a folder of whole pictures" in text
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_listed(
    faces: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"cannot list {faces}: Permission denied") as raised:
        build(folder())
    assert "make the folder readable" in str(raised.value)
