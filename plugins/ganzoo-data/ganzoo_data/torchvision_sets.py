"""The sets that torchvision knows, read from the data folder or downloaded into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from filelock import FileLock
from torchvision import datasets

from ganzoo.api import UserError
from ganzoo.engine import Data, Samples, why_unwritable

from .catalogue import Catalogue
from .messages import announce, reason
from .pictures import PictureReader, Size, describe_failures, load_parts
from .sources import Folder

T = TypeVar("T")

IDX_FILES = tuple(
    f"raw/{part}-{content}-ubyte"
    for part in ("train", "t10k")
    for content in ("images-idx3", "labels-idx1")
)
CIFAR_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
CELEBA_FILES = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "identity_CelebA.txt",
    "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
    "list_eval_partition.txt",
)

LAYOUT: Mapping[str, tuple[str, Sequence[str]]] = {
    "mnist": ("MNIST", IDX_FILES),
    "fashion-mnist": ("FashionMNIST", IDX_FILES),
    "cifar10": ("cifar-10-batches-py", CIFAR_FILES),
    "celeba": ("celeba", CELEBA_FILES),
}
"""The folder of each set below the data root, and the files that must be in it."""

LABELLED: Mapping[str, type[Any]] = {
    "mnist": datasets.MNIST,
    "fashion-mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
}


def load_labelled(
    name: str,
    data_root: Path,
    sample_shape: tuple[int, ...],
    download: bool,
    mirror: bool = False,
) -> Data:
    """A set of labelled images that fits into memory; its test split is held out.

    Values are uint8 `(M, *sample_shape)`, labels int64 `(M,)` in [0, 10).

    Raises:
        UserError: see `find`.
    """

    def read(root: Path, download: bool) -> Data:
        splits = [LABELLED[name](root, train=train, download=download) for train in (True, False)]
        train, test = (_samples(split, sample_shape) for split in splits)
        source = str(root / LAYOUT[name][0])
        return Data(train=train, held_out=test, source=source, mirror=mirror)

    return find(name, data_root, read, download)


def _samples(split: Any, sample_shape: tuple[int, ...]) -> Samples:
    """Both of torchvision's layouts, `(M, H, W)` and `(M, H, W, C)`, as `(M, C, H, W)`."""
    values = torch.as_tensor(split.data)
    values = values[:, None] if values.ndim == 3 else values.permute(0, 3, 1, 2).contiguous()
    labels = torch.as_tensor(split.targets, dtype=torch.int64)
    if values.shape[1:] != sample_shape or len(values) != len(labels):
        raise ValueError(f"images {tuple(values.shape)} and labels {tuple(labels.shape)}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < 10:
        raise ValueError("a label is not in 0 to 9")
    return Samples(values, labels)


def load_celeba(
    data_root: Path,
    cache_root: Path,
    *,
    download: bool,
    size: Size,
    limit: int | None,
    in_memory: Literal["auto"] | bool,
    mirror: bool,
) -> Data:
    """CelebA's "train" and "valid" splits, and "test" held out, as uint8 `(M, 3, H, W)`.

    Raises:
        UserError: see `find`, or no picture can be read.
    """

    def read(root: Path, download: bool) -> list[list[str]]:
        datasets.CelebA(root, split="all", target_type=[], download=download)
        # torchvision has one split per object and reads all tables again for each.
        lines = (root / "celeba" / "list_eval_partition.txt").read_text().splitlines()
        table = [line.split() for line in lines]
        parts = [[file for file, part in table if (part == "2") is test] for test in (False, True)]
        if not parts[0]:
            raise ValueError("list_eval_partition.txt names no picture to train on")
        return parts

    train_names, test_names = find("celeba", data_root, read, download)
    folder = data_root.absolute() / "celeba" / "img_align_celeba"
    catalogue = Catalogue(Folder(folder), cache_root, "celeba")
    reader = PictureReader(size=size)
    failures: dict[str, str] = {}
    if limit is not None:
        train_names, failures = catalogue.first_readable(train_names, limit)
    parts = (train_names, test_names)
    (train, test), unreadable = load_parts("celeba", catalogue, parts, reader, in_memory)
    if failures | unreadable:
        announce(
            f"celeba: left out {len(failures | unreadable)} pictures that cannot be read: "
            f"{describe_failures(failures | unreadable)}"
        )
    held_out = test if len(test) else None
    return Data(train=train, held_out=held_out, source=str(folder), mirror=mirror)


def find(name: str, data_root: Path, read: Callable[[Path, bool], T], download: bool) -> T:
    """`read(root, download)`, its errors as messages.

    Raises:
        UserError: the files are not there and may not or cannot be downloaded, or are damaged.
    """
    root = data_root.absolute()
    folder, names = LAYOUT[name]
    files = [root / folder / file for file in names]
    if download and _missing(files):
        if problem := why_unwritable(root):
            raise UserError(
                f"{name}: not in {root / folder}, and nothing can be downloaded into {root}: "
                f"{problem}",
                hint=f"set GANZOO_DATA to the folder that holds {folder}/, or to one that can be "
                "written",
            )
        announce(f"{name}: not in {root / folder}; downloading it")
    try:
        with _alone(root, name) if download and _missing(files) else nullcontext():
            return read(root, download)
    except Exception as error:  # torchvision raises errors of any type for damaged files
        missing = [file.relative_to(root / folder) for file in _missing(files)]
        if not missing:
            raise UserError(
                f"{name}: the files in {root / folder} cannot be read: {reason(error)}",
                hint=f"remove {root / folder} and run with data.download = true and a network "
                "connection",
            ) from error
        text = f"{name}: not in {root / folder} (missing: {', '.join(map(str, missing))})"
        place = f"set GANZOO_DATA to the folder that holds {folder}/"
        if download:
            raise UserError(
                f"{text}, and the download failed: {reason(error)}",
                hint=f"{place}, or try again with a network connection",
            ) from error
        raise UserError(
            text, hint=f"{place}, or set data.download = true with a network connection"
        ) from error


def _missing(files: Sequence[Path]) -> list[Path]:
    """The files that are not there, or in a folder that nobody may look into."""
    return [file for file in files if not os.path.exists(file)]


def _alone(root: Path, name: str) -> AbstractContextManager[object]:
    """Let other processes wait while this one downloads: two would write into the same files."""
    root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / f".{name}.lock")
