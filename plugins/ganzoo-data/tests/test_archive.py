"""Pictures in a zip archive, which is read in place."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ganzoo_data import ImageFolder
from ganzoo_data.catalogue import Catalogue
from ganzoo_data.pictures import PictureStream
from ganzoo_data.sources import LARGEST, Archive

from ganzoo.api import RunError, UserError
from ganzoo.engine import Data, Samples
from ganzoo.engine.loader import BatchLoader

Build = Callable[..., Data]


@pytest.fixture
def archive(faces: Path) -> Path:
    """The folder `faces` as an archive beside it."""
    return Path(shutil.make_archive(str(faces), "zip", faces))


def spec(**keys: object) -> ImageFolder:
    return ImageFolder.model_validate({"path": "faces.zip", "size": 12, "held_out": 0.2, **keys})


def values(part: Samples | PictureStream) -> torch.Tensor:
    if isinstance(part, Samples):
        return part.values
    return torch.stack([part[index][0] for index in range(len(part))])


@pytest.mark.parametrize("in_memory", [True, False])
def test_an_archive_is_read_like_its_folder(archive: Path, build: Build, in_memory: bool) -> None:
    packed = build(spec(in_memory=in_memory))
    folder = build(spec(path="faces", in_memory=in_memory))
    assert packed.source == str(archive)
    for part, other in ((packed.train, folder.train), (packed.held_out, folder.held_out)):
        assert torch.equal(values(part), values(other))
        assert part.digest == other.digest


def test_what_is_left_out(archive: Path, build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        content = file.read("01.png")
        file.writestr("__MACOSX/._01.png", b"macOS")
        file.writestr(".hidden/02.png", content)
        file.writestr("../03.png", content)
        file.writestr("notes.txt", "no picture")
        file.writestr("broken.png", content[:-60])
    assert len(build(spec(held_out=0.0)).train) == 20
    assert capsys.readouterr().err.startswith(
        f"image-folder: 20 pictures from {archive}, 0 of them held out; left out 3 hidden files "
        "and folders, 1 other files, 1 that cannot be read: broken.png (image file is truncated"
    )
    assert not (archive.parent / "03.png").exists()


def test_classes_are_its_folders(archive: Path, build: Build, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as file, zipfile.ZipFile(tmp_path / "two.zip", "w") as other:
        for place, name in enumerate(sorted(each for each in file.namelist() if "png" in each)):
            folder = ("a", "b")[place % 2]
            other.writestr(f"all/{folder}/{place}.png", file.read(name))
        other.writestr("labels.csv", "all/a/0.png,x\nall/b/1.png,y\n")
    by_folder = spec(path="two.zip", classes="folders", held_out=0.0).completed(tmp_path)
    assert by_folder.class_names == ("a", "b")
    assert build(by_folder).train.labels.bincount().tolist() == [10, 10]
    by_table = spec(path="two.zip", classes="labels.csv", held_out=0.0).completed(tmp_path)
    assert build(by_table).train.labels.tolist() == [0, 1]
    with zipfile.ZipFile(tmp_path / "two.zip", "a") as other:
        other.writestr("all/c/", "")
    with pytest.raises(UserError, match=r"of the class 'c': its folder in .*two.zip"):
        spec(path="two.zip", classes="folders").completed(tmp_path)


def test_an_archive_that_is_broken(archive: Path, build: Build) -> None:
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(UserError) as raised:
        build(spec())
    assert str(raised.value) == (
        f"image-folder: {archive} cannot be read as a zip archive: File is not a zip file\n"
        "  = copy or download it again; `unzip -t` tests one"
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_in_it_that_is_broken(
    archive: Path, build: Build, in_memory: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        place = file.getinfo("01.png").header_offset + 200
    content[place] ^= 255
    archive.write_bytes(content)
    assert len(build(spec(held_out=0.0, in_memory=in_memory)).train) == 19
    assert "left out 1 that cannot be read: 01.png (" in capsys.readouterr().err


def test_an_archive_that_is_encrypted(archive: Path, build: Build) -> None:
    content = bytearray(archive.read_bytes())
    start = content.index(b"PK\x01\x02")  # the first entry of the directory
    with zipfile.ZipFile(archive) as file:
        assert file.infolist()[0].is_dir()
    start = content.index(b"PK\x01\x02", start + 4)
    content[start + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=f"{archive} is encrypted\n  = unpack it"):
        build(spec())


def test_what_unpacks_to_any_size_is_not_read(tmp_path: Path) -> None:
    """The archive's own word is believed before anything is unpacked, and holds while it is."""
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("large.png", bytes(2**20))
        file.writestr("liar.png", bytes(2**20))
    content = bytearray(bomb.read_bytes())
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[first + 24 : first + 28] = (LARGEST + 1).to_bytes(4, "little")
    content[second + 24 : second + 28] = (1000).to_bytes(4, "little")
    bomb.write_bytes(content)
    catalogue = Catalogue(Archive(bomb), tmp_path / "cache", "test")
    large, liar = catalogue.entries(["large.png", "liar.png"]).values()
    assert large.failure == f"larger than {LARGEST // 2**20} MiB"
    assert "Bad CRC-32" in liar.failure


def test_a_picture_of_absurd_size_is_left_out(
    archive: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        content = bytearray(file.read("01.png"))
        content[16:24] = struct.pack(">II", 60_000, 60_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        file.writestr("huge.png", bytes(content))
    assert len(build(spec(held_out=0.0)).train) == 20
    assert "huge.png (Image size (3600000000 pixels) exceeds limit" in capsys.readouterr().err


def test_a_change_of_the_archive_is_noticed(archive: Path, build: Build, faces: Path) -> None:
    before = build(spec(in_memory=False)).train.digest
    shutil.copy(faces / "02.png", faces / "01.png")
    shutil.make_archive(str(faces), "zip", faces)
    assert build(spec(in_memory=False)).train.digest != before


def read_in_child(stream: PictureStream, index: int, results: object) -> None:
    results.put(stream[index][0].sum().item())  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_opens_it_for_itself(archive: Path, build: Build, method: str) -> None:
    """A file that parent and child read by one descriptor has one place in it."""
    stream = build(spec(in_memory=False, held_out=0.0)).train
    assert isinstance(stream, PictureStream)
    expected = [stream[index][0].sum().item() for index in range(4)]
    context = multiprocessing.get_context(method)
    results = context.Queue()
    for index in range(4):
        child = context.Process(target=read_in_child, args=(stream, index, results))
        child.start()
        assert results.get(timeout=60) == expected[index]
        child.join()


def test_the_engine_reads_batches_of_it(archive: Path, build: Build) -> None:
    batches = []
    for in_memory in (True, False):
        train = build(spec(in_memory=in_memory)).train
        loader = BatchLoader(train, (3, 12, 12), 6, seed=0, device=torch.device("cpu"))
        for number in range(3):
            loader.fill(number)
        batches.append(loader.x.clone())
        loader.close()
    assert torch.equal(*batches)


def test_an_archive_that_goes_away_in_the_middle_of_a_run(archive: Path, build: Build) -> None:
    stream = build(spec(in_memory=False)).train
    os.remove(archive)
    with pytest.raises(RunError, match=f"png in {archive} could not be read in the middle of a"):
        stream[0]


def test_an_archive_without_pictures(tmp_path: Path, build: Build) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        file.writestr("notes.txt", "")
    with pytest.raises(UserError, match=r"no picture in \S+faces.zip \(looked for .png"):
        build(spec())
