"""MNIST, Fashion-MNIST, CIFAR-10 and CelebA: reading, downloading, and what can go wrong.

Nothing here needs a network; the sets are written in their own formats, a few samples each.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from ganzoo_data import CelebA, Cifar10, FashionMnist, Mnist
from ganzoo_data.pictures import PictureStream
from PIL import Image
from torchvision import datasets

from ganzoo.api import DatasetSpec, UserError
from ganzoo.engine import Data, Samples

Build = Callable[..., Data]

TRAIN, TEST = 20, 10


def idx(values: np.ndarray) -> bytes:
    """An array in the format of MNIST's files."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def write_mnist(root: Path, name: str = "MNIST") -> Path:
    folder = root / name / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, number in (("train", TRAIN), ("t10k", TEST)):
        images = rng.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        labels = (np.arange(number) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small CIFAR-10 whose check sums are not looked at."""
    batches = [[f"data_batch_{number}", None] for number in range(1, 6)]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": None}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file, _ in [*batches, ["test_batch", None]]:
        pixels = np.full((4, 3, 32, 32), 7, dtype=np.uint8)
        pixels[:, 0] = 200
        pixels[:, :, 0] = 100
        batch = {"data": pixels.reshape(4, -1), "labels": [0, 1, 2, 9]}
        (folder / str(file)).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return folder


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CelebA of ten pictures: six to train on, two to validate, two to test."""
    files = [(file, None, name) for file, _, name in datasets.CelebA.file_list]
    monkeypatch.setattr(datasets.CelebA, "file_list", files)
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, 11)]
    for index, name in enumerate(names):
        picture = Image.new("RGB", (178, 218), (20 * index, 0, 0))
        picture.paste((0, 0, 255), (0, 0, 178, 20))
        picture.save(folder / "img_align_celeba" / name, quality=95)
    rows = "".join(f"{name} 1 1\n" for name in names)
    for table in ("list_attr_celeba", "list_bbox_celeba", "list_landmarks_align_celeba"):
        (folder / f"{table}.txt").write_text(f"10\na b\n{rows}")
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} 1\n" for name in names))
    parts = zip(names, [0] * 6 + [1] * 2 + [2] * 2, strict=True)
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in parts))
    return folder


def refuse_downloads(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: object, **keys: object) -> None:
        raise error

    for place in (
        "torchvision.datasets.mnist.download_and_extract_archive",
        "torchvision.datasets.cifar.download_and_extract_archive",
        "torchvision.datasets.celeba.download_file_from_google_drive",
    ):
        monkeypatch.setattr(place, fail)


# Reading


@pytest.mark.parametrize(("spec", "name"), [(Mnist(), "MNIST"), (FashionMnist(), "FashionMNIST")])
def test_idx_files(
    spec: DatasetSpec,
    name: str,
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse_downloads(monkeypatch, AssertionError("what is there must not be downloaded"))
    folder = write_mnist(tmp_path, name)
    data = build(spec)
    assert capsys.readouterr().err == ""
    for part, file in ((data.train, "train"), (data.held_out, "t10k")):
        assert isinstance(part, Samples)
        assert part.values.dtype == torch.uint8
        assert part.values.shape == (len(part), *spec.sample_shape)
        stored = (folder / f"{file}-images-idx3-ubyte").read_bytes()[16:]
        assert part.values.numpy().tobytes() == stored
        assert part.labels is not None
        assert part.labels.tolist() == [index % spec.num_classes for index in range(len(part))]
    assert (len(data.train), len(data.held_out)) == (TRAIN, TEST)


def test_cifar_is_channels_first(cifar: Path, build: Build) -> None:
    data = build(Cifar10(download=False))
    assert (len(data.train), len(data.held_out)) == (20, 4)
    assert data.train.values.shape == (20, 3, 32, 32)
    assert data.train.values.dtype == torch.uint8
    assert data.train.values.is_contiguous()
    assert data.train.values[5, :, 1, 4].tolist() == [200, 7, 7]
    assert data.train.values[5, :, 0, 4].tolist() == [100, 100, 100]
    assert data.held_out.labels.tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize("in_memory", [True, False])
def test_celeba_cuts_the_middle_square(celeba: Path, build: Build, in_memory: bool) -> None:
    data = build(CelebA(size=16, download=False, in_memory=in_memory))
    assert isinstance(data.train, Samples if in_memory else PictureStream)
    assert (len(data.train), len(data.held_out)) == (8, 2)

    def values(data: Data) -> list[torch.Tensor]:
        parts = (data.train, data.held_out)
        if in_memory:
            return [value for part in parts for value in part.values]
        return [part[index][0] for part in parts for index in range(len(part))]

    for index, value in enumerate(values(data)):
        assert value.shape == (3, 16, 16)
        assert value.dtype == torch.uint8
        assert abs(value[0].float().mean() - 20 * index) < 3
        assert value[2].float().mean() < 5  # the blue bar lies outside the square


def test_celeba_limit_and_shape(celeba: Path, build: Build) -> None:
    data = build(CelebA(size=8, limit=3, download=False))
    assert (len(data.train), len(data.held_out)) == (3, 2)
    assert CelebA().sample_shape == (3, 64, 64)
    assert CelebA().num_classes is None


def test_celeba_names_the_pictures_it_cannot_read(
    celeba: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    (celeba / "img_align_celeba" / "000002.jpg").unlink()
    (celeba / "img_align_celeba" / "000010.jpg").write_text("no")
    data = build(CelebA(size=8, download=False))
    assert (len(data.train), len(data.held_out)) == (7, 1)
    assert capsys.readouterr().err == (
        "celeba: left out 2 pictures that cannot be read: "
        "000002.jpg (No such file or directory), 000010.jpg (not a picture)\n"
    )


# Not there


@pytest.mark.parametrize(
    ("spec", "folder", "file"),
    [
        (Mnist, "MNIST", "raw/t10k-labels-idx1-ubyte"),
        (FashionMnist, "FashionMNIST", "raw/train-images-idx3-ubyte"),
        (Cifar10, "cifar-10-batches-py", "data_batch_3"),
        (CelebA, "celeba", "list_eval_partition.txt"),
    ],
)
def test_missing_files(
    spec: type[Mnist], folder: str, file: str, build: Build, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as raised:
        build(spec(download=False))
    text = str(raised.value)
    assert f"{spec.type}: not in {tmp_path}/{folder} (missing: " in text
    assert file in text
    assert f"  = set GANZOO_DATA to the folder that holds {folder}/, or set data.download" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spec", [Mnist(), FashionMnist(), Cifar10(), CelebA()])
@pytest.mark.parametrize(
    "error",
    [URLError("no route to host"), ConnectionResetError("reset by peer"), RuntimeError("no gdown")],
    ids=lambda error: type(error).__name__,
)
def test_a_download_that_fails(
    spec: DatasetSpec,
    error: Exception,
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse_downloads(monkeypatch, error)
    with pytest.raises(UserError) as raised:
        build(spec)
    text = str(raised.value)
    assert f"{spec.type}: not in {tmp_path}/" in text
    assert ", and the download failed: " in text
    assert str(error) in text
    assert "  = set GANZOO_DATA to the folder that holds " in text
    assert text.endswith("/, or try again with a network connection")
    assert text.count("\n") == 1
    assert capsys.readouterr().err.endswith("; downloading it\n")


def test_a_data_folder_that_cannot_be_made(build: Build, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as raised:
        build(Mnist(), tmp_path / "file")
    root = tmp_path / "file"
    assert str(raised.value) == (
        f"mnist: not in {root}/MNIST, and nothing can be downloaded into {root}: Not a directory\n"
        "  = set GANZOO_DATA to the folder that holds MNIST/, or to one that can be written"
    )


def test_one_of_several_downloads(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait, and find what it has brought."""
    fetched: list[int] = []
    inside = 0

    def fetch(url: str, download_root: str, **keys: object) -> None:
        nonlocal inside
        inside += 1
        fetched.append(threading.get_ident())
        time.sleep(0.1)
        assert inside == 1, "two write at once"
        write_mnist(tmp_path)
        inside -= 1

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
    with ThreadPoolExecutor(3) as pool:
        sets = [pool.submit(build, Mnist()) for _ in range(3)]
        assert [len(each.result().train) for each in sets] == [TRAIN] * 3
    assert len(set(fetched)) == 1


def test_a_download_that_works(
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fetch(url: str, download_root: str, **keys: object) -> None:
        assert download_root == str(tmp_path / "MNIST" / "raw")
        write_mnist(tmp_path)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
    assert len(build(Mnist()).train) == TRAIN
    assert capsys.readouterr().err == f"mnist: not in {tmp_path}/MNIST; downloading it\n"


# Damaged


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", b"<html>not here</html>" * 100),
        ("train-images-idx3-ubyte", idx(np.zeros((TRAIN, 28, 28), np.uint8))[:-500]),
        ("train-images-idx3-ubyte", idx(np.zeros((0, 28, 28), np.uint8))),
        ("train-images-idx3-ubyte", idx(np.zeros((TRAIN, 32, 32), np.uint8))),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(TEST - 1, np.uint8))),
        ("t10k-labels-idx1-ubyte", idx(np.full(TEST, 10, np.uint8))),
    ],
    ids=["empty", "html", "cut-short", "no-images", "other-size", "too-few-labels", "bad-label"],
)
def test_damaged_mnist(
    file: str, content: bytes, download: bool, build: Build, tmp_path: Path
) -> None:
    (write_mnist(tmp_path) / file).write_bytes(content)
    with pytest.raises(UserError) as raised:
        build(Mnist(download=download))
    text = str(raised.value)
    assert text.startswith(f"mnist: the files in {tmp_path}/MNIST cannot be read: ")
    assert not text.startswith(f"mnist: the files in {tmp_path}/MNIST cannot be read: \n")
    assert text.endswith(
        f"  = remove {tmp_path}/MNIST and run with data.download = true and a network connection"
    )


def test_damaged_cifar(cifar: Path, build: Build) -> None:
    (cifar / "data_batch_2").write_bytes(b"no pickle")
    with pytest.raises(UserError, match=f"cifar10: the files in {cifar} cannot be read: "):
        build(Cifar10(download=False))


@pytest.mark.parametrize("content", ["", "000001.jpg\n", "\x00\xff nonsense"])
def test_damaged_celeba(celeba: Path, build: Build, content: str) -> None:
    (celeba / "list_eval_partition.txt").write_text(content)
    with pytest.raises(UserError, match=f"celeba: the files in {celeba} cannot be read: "):
        build(CelebA(download=False))


# The real thing


@pytest.mark.data
def test_the_real_mnist(mnist: Data) -> None:
    assert isinstance(mnist.train, Samples)
    assert isinstance(mnist.held_out, Samples)
    assert mnist.train.values.shape == (60_000, 1, 28, 28)
    assert mnist.held_out.values.shape == (10_000, 1, 28, 28)
    assert mnist.train.labels is not None
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.train.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert mnist.train.values.float().mean().div(255).item() == pytest.approx(0.1307, abs=1e-4)
    assert mnist.train.values.float().std().div(255).item() == pytest.approx(0.3081, abs=1e-4)
