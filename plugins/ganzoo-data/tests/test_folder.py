"""The user's own pictures: finding, reading, splitting, and what is said when that fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_data import ImageFolder, catalogue, pictures
from ganzoo_data.catalogue import Catalogue
from ganzoo_data.loading import split
from ganzoo_data.messages import announce
from ganzoo_data.pictures import PictureStream
from ganzoo_data.sources import Folder
from PIL import Image

from ganzoo.api import RunError, UserError
from ganzoo.engine import Data, Samples
from ganzoo.engine.loader import BatchLoader

Build = Callable[..., Data]


def folder(**keys: object) -> ImageFolder:
    return ImageFolder.model_validate({"path": "faces", "size": 12, "held_out": 0.2, **keys})


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
    assert len(data.held_out) > 0
    assert sorted(pixels) == sorted(expected)
    assert data.source == str(faces)


def test_names_are_sorted_whatever_the_file_system_says(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "A/z.png", "A/B/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert Folder(tmp_path).listing().pictures == ["A/B/c.png", "A/z.png", "a.png", "b.png"]


def test_the_extension_may_be_in_capitals_and_other_files_are_left_alone(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    for extension in ("JPG", "jpeg", "WebP", "bmp", "gif"):
        Image.new("RGB", (12, 12)).save(faces / f"one.{extension}")
    for name in ("notes.txt", "png"):
        (faces / name).write_text("no picture")
    assert len(build(folder(held_out=0.0)).train) == 25
    assert capsys.readouterr().err == (
        f"image-folder: 25 pictures from {faces}, 0 of them held out; left out 2 other files\n"
    )


@pytest.mark.parametrize("share", [0.0, 0.04, 0.2, 0.5])
def test_the_share_held_out(share: float) -> None:
    names = [f"{number:05}.png" for number in range(20_000)]
    train, apart = split(names, share)
    assert sorted(train + apart) == names
    deviation = (share * (1 - share) / len(names)) ** 0.5
    assert abs(len(apart) / len(names) - share) <= 4 * deviation


def test_the_parts_are_the_same_in_every_version(faces: Path, build: Build) -> None:
    """A run that resumes after an upgrade must not be trained on what it was measured by."""
    names = [f"{number:02}.png" for number in range(10)]
    assert split(names, 0.5)[1] == ["00.png", "07.png", "08.png", "09.png"]
    assert split(names, 0.2)[1] == ["07.png"]
    assert split(names, 0.999)[0] == ["01.png"]
    for file in faces.rglob("1?.png"):
        file.unlink()
    some = build(folder(in_memory=False, limit=3, held_out=0.0)).train
    assert isinstance(some, PictureStream)
    assert list(some.names) == ["02.png", "03.png", "more/04.png"]


def test_something_is_always_trained_on(faces: Path, build: Build) -> None:
    assert len(build(folder(held_out=0.999)).train) == 1
    assert split(["a.png"], 0.999) == (["a.png"], [])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("limit", [None, 15])
def test_other_files_move_no_picture_into_the_other_part(
    faces: Path, build: Build, in_memory: bool, limit: int | None
) -> None:
    keys = {"held_out": 0.3, "in_memory": in_memory, "limit": limit}
    before = build(folder(**keys))
    trained, apart = set(pictures_of(before.train)), set(pictures_of(before.held_out))
    (faces / "01.png").unlink()
    break_file(faces / "02.png")
    for number in range(30):
        pixels = np.random.default_rng(1000 + number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(faces / f"new-{number}.png")
    after = build(folder(**keys))
    assert not trained & set(pictures_of(after.held_out))
    assert not apart & set(pictures_of(after.train))
    assert len(after.train) + len(after.held_out) == (limit or 48)


def test_limit_is_a_fixed_choice_among_all(faces: Path, build: Build) -> None:
    everything = build(folder(held_out=0.0))
    some = build(folder(held_out=0.5, limit=10))
    chosen = set(pictures_of(some.train)) | set(pictures_of(some.held_out))
    assert len(some.train) + len(some.held_out) == len(chosen) == 10
    assert chosen < set(pictures_of(everything.train))
    assert chosen != set(pictures_of(everything.train)[:10])
    assert chosen < set(pictures_of(build(folder(held_out=0.0, limit=12)).train))
    assert len(build(folder(limit=100, held_out=0.0)).train) == 20


def test_files_that_cannot_be_read_do_not_count_for_the_limit(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        (faces / f"junk-{number}.png").write_text("no picture")
    for in_memory in (True, False):
        data = build(folder(limit=20, held_out=0.0, in_memory=in_memory))
        assert len(data.train) == 20
    capsys.readouterr()
    assert len(build(folder(limit=8, held_out=0.0)).train) == 8
    line = capsys.readouterr().err
    counted = re.search(r"8 pictures .* (\d+) beyond the limit, (\d+) that cannot be read", line)
    assert counted, line
    assert 8 + int(counted[1]) + int(counted[2]) == 50


# Links, hidden files, our own files


def test_links_to_folders_are_followed_once(
    faces: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = tmp_path / "collection"
    (collection / "inner").mkdir(parents=True)
    (collection / "linked").symlink_to(faces)
    (collection / "again").symlink_to(faces)
    (collection / "inner" / "up").symlink_to(collection)
    for name in ("gone.png", "lost.png"):
        (collection / name).symlink_to(tmp_path / "nowhere.png")
    data = build(folder(path="collection", held_out=0.0))
    assert len(data.train) == 20
    line = capsys.readouterr().err
    assert "2 links to folders that are there already" in line
    assert "2 links to nothing or no files" in line


def test_hidden_files_and_our_own_folders_are_left_out(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = {
        ".thumbnails/00.png": None,
        "runs/tiny/one/samples/000000.png": "runs/tiny/one/recipe.toml",
        "runs/tiny/two/samples/000000.png": "runs/tiny/two/recipe.toml",
        "comparison/pictures/one.png": "comparison/comparison.json",
    }
    for name, mark in inside.items():
        (faces / name).parent.mkdir(parents=True)
        Image.new("RGB", (12, 12)).save(faces / name)
        if mark:
            (faces / mark).write_text("")
    (faces / "runs" / "tiny" / "one" / "status.json").write_text("{}")
    (faces / "runs" / "tiny" / "two" / "environment.json").write_text("{}")
    (faces / "._00.png").write_bytes(b"macOS")
    (faces / "recipe.toml").write_text("")
    assert len(build(folder(held_out=0.0)).train) == 20
    assert capsys.readouterr().err == (
        f"image-folder: 20 pictures from {faces}, 0 of them held out; left out 3 folders of runs, "
        "2 hidden files and folders, 1 other files\n"
    )


# What is known of files


def test_every_file_is_decoded_once(
    faces: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(folder(in_memory=False))
    checked: list[str] = []
    check = Catalogue._check
    monkeypatch.setattr(
        Catalogue, "_check", lambda self, name: checked.append(name) or check(self, name)
    )
    assert build(folder(in_memory=False)).train.digest == first.train.digest
    assert checked == []
    Image.new("RGB", (12, 12)).save(faces / "01.png")
    changed = build(folder(in_memory=False))
    assert checked == ["01.png"]
    digests = [(each.train.digest, each.held_out.digest) for each in (first, changed)]
    assert sum(one != other for one, other in zip(*digests, strict=True)) == 1
    (kept,) = (tmp_path / ".cache").glob("pictures-*.json")
    damaged = bytearray(kept.read_bytes())
    damaged[-20] ^= 1
    kept.write_bytes(damaged)
    checked.clear()
    assert build(folder(in_memory=False)).train.digest == changed.train.digest
    assert len(checked) == 20


def test_a_cache_that_cannot_be_written_only_takes_time(
    faces: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = faces.parent / ".cache"
    cache.write_text("a file, no folder")
    for _ in range(2):
        assert len(build(folder(in_memory=False, held_out=0.0)).train) == 20
    said = [line for line in capsys.readouterr().err.splitlines() if "GANZOO_CACHE" in line]
    assert said == [
        f"image-folder: nothing can be kept in the cache folder {cache}: File exists; every "
        "picture is decoded again next time. To keep what is known of them, set GANZOO_CACHE to a "
        "folder that can be written"
    ]


def test_how_a_stream_is_read_is_in_its_digest(faces: Path, build: Build) -> None:
    variants = ({}, {"size": 7}, {"channels": 1}, {"crop": "none"}, {"held_out": 0.4})
    digests = {build(folder(in_memory=False, **keys)).train.digest for keys in variants}
    assert len(digests) == len(variants)


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
    monkeypatch.setattr(catalogue, "MANY", 19)
    build(folder())
    build(folder(in_memory=False))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"image-folder: reading 20 pictures in {faces}"
    assert lines[2] == f"image-folder: checking 20 pictures in {faces}"


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
    assert captured.err.startswith(f"image-folder: 19 pictures from {faces}, 0 of them held out; ")
    assert "left out 3 that cannot be read: " in captured.err
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
    assert "; left out 2 that cannot be read: " in err
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
    assert "left out 13 that cannot be read" in err
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
    announce.cache_clear()
    build(folder())
    assert "left out 1 that cannot be read" in capsys.readouterr().err


def test_a_file_that_breaks_in_the_middle_of_a_run(faces: Path, build: Build) -> None:
    data = build(folder(in_memory=False, held_out=0.0))
    assert isinstance(data.train, PictureStream)
    file = faces / data.train.names[2]
    break_file(file)
    with pytest.raises(RunError, match="could not be read in the middle of a run") as raised:
        data.train[2]
    assert str(file) in str(raised.value)
    assert "truncated" in str(raised.value)
    assert "put it back, then resume the run" in str(raised.value)
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
    assert "set data.path to the folder that holds it, or to a .zip" in str(raised.value)


def test_a_folder_without_pictures_is_named_with_the_kinds(build: Build, tmp_path: Path) -> None:
    (tmp_path / "faces" / "deep").mkdir(parents=True)
    (tmp_path / "faces" / "deep" / "a.txt").write_text("")
    with pytest.raises(UserError) as raised:
        build(folder())
    assert str(raised.value) == (
        f"image-folder: no picture in {tmp_path}/faces or its sub-folders (looked for .png, "
        ".jpg, .jpeg, .jfif, .webp, .bmp, .gif, .tif, .tiff, .ppm, .pgm, .avif, .jp2)\n"
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
    assert all(f"{index}.png (not a picture" in text for index in range(3))
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
