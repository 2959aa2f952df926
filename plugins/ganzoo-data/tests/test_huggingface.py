"""Data sets that the library `datasets` reads; all of them are made here."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from ganzoo_data import HuggingFace, ImageFolder
from ganzoo_data.pictures import PictureStream
from PIL import Image

import ganzoo
from ganzoo.api import UserError
from ganzoo.engine import Data, Samples

Build = Callable[..., Data]


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels[0, 0] = number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def rows(count: int = 20, first: int = 0) -> datasets.Dataset:
    """Pictures whose first pixel is their number, of the class `odd` or `even`."""
    numbers = range(first, first + count)
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "kind": datasets.ClassLabel(names=["even", "odd"]),
            "age": datasets.Value("int64"),
            "word": datasets.Value("string"),
            "weight": datasets.Value("float64"),
        }
    )
    return datasets.Dataset.from_dict(
        {
            "picture": [{"bytes": png(number), "path": None} for number in numbers],
            "kind": [number % 2 for number in numbers],
            "age": [10 + number % 3 for number in numbers],
            "word": [None if number == 0 else "ab"[number % 2] for number in numbers],
            "weight": [float(number) for number in numbers],
        },
        features=features,
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    file = tmp_path / "set.parquet"
    rows().to_parquet(file)
    return file


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A set of two splits, as `save_to_disk` writes it."""
    both = datasets.DatasetDict({"train": rows(), "test": rows(6, first=100)})
    both.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def spec(root: Path, **keys: object) -> HuggingFace:
    """As a recipe makes it: with the names of all classes."""
    keys = {"path": "set.parquet", "size": 8, "held_out": 0.3, **keys}
    return HuggingFace.model_validate(keys).completed(root)


def numbers(part: Samples | PictureStream) -> list[int]:
    """The first pixel of each picture, which is its number."""
    if isinstance(part, Samples):
        return part.values[:, 0, 0, 0].tolist()
    return [int(part[index][0][0, 0, 0]) for index in range(len(part))]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_parquet_file(
    parquet: Path,
    build: Build,
    tmp_path: Path,
    in_memory: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    declared = spec(tmp_path, in_memory=in_memory)
    assert (declared.num_classes, "labels" in declared.capabilities) == (None, False)
    data = build(declared)
    assert sorted(numbers(data.train) + numbers(data.held_out)) == list(range(20))
    assert len(data.held_out) > 0
    assert data.source == str(parquet)
    expected = np.asarray(Image.open(io.BytesIO(png(numbers(data.train)[0])))).transpose(2, 0, 1)
    first = data.train.values[0] if isinstance(data.train, Samples) else data.train[0][0]
    assert np.array_equal(first.numpy(), expected)
    assert capsys.readouterr().err.splitlines() == [
        f"huggingface: opening {parquet}",
        f"huggingface: 20 pictures from {parquet}, {len(data.held_out)} of them held out",
    ]


def test_memory_and_stream_hold_the_same(parquet: Path, build: Build, tmp_path: Path) -> None:
    keys = {"label_column": "kind", "channels": 1, "size": (4, 8)}
    memory = build(spec(tmp_path, in_memory=True, **keys)).train
    stream = build(spec(tmp_path, in_memory=False, **keys)).train
    assert memory.values.shape[1:] == (1, 4, 8)
    again = pickle.loads(pickle.dumps(stream))
    for index in range(len(memory)):
        for value, label in (stream[index], again[index]):
            assert torch.equal(value, memory.values[index])
            assert label == memory.labels[index]


@pytest.mark.parametrize(
    ("column", "names"),
    [("kind", ("even", "odd")), ("age", ("10", "11", "12")), ("word", ("a", "b"))],
)
def test_columns_of_classes(
    parquet: Path,
    build: Build,
    tmp_path: Path,
    column: str,
    names: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    declared = spec(tmp_path, label_column=column, held_out=0)
    assert declared.class_names == names
    data = build(declared)
    classes = {"kind": lambda n: n % 2, "age": lambda n: n % 3, "word": lambda n: n % 2}
    assert data.train.labels.tolist() == [classes[column](n) for n in numbers(data.train)]
    without = "; left out 1 without a class" if column == "word" else ""
    assert capsys.readouterr().err.endswith(f"{len(names)} classes{without}\n")


def test_class_names_choose(parquet: Path, build: Build, tmp_path: Path) -> None:
    data = build(spec(tmp_path, label_column="age", class_names=("12", "10"), held_out=0.0))
    classes = zip(numbers(data.train), data.train.labels.tolist(), strict=True)
    assert {(number % 3, label) for number, label in classes} == {(2, 0), (0, 1)}


def test_another_split_may_be_held_out(saved: Path, build: Build, tmp_path: Path) -> None:
    data = build(spec(tmp_path, path="saved", held_out="test", label_column="kind", limit=7))
    assert len(data.train) == 7
    assert numbers(data.held_out) == list(range(100, 106))
    assert data.held_out.labels.tolist() == [0, 1] * 3
    assert data.source == str(saved)


def test_folders_that_the_library_knows(faces: Path, build: Build, tmp_path: Path) -> None:
    """Its pictures stay in files of their own."""
    data = build(spec(tmp_path, path="faces", size=12, held_out=0.0))
    other = build(ImageFolder(path="faces", size=12, held_out=0.0))
    assert sorted(sample.numpy().tobytes() for sample in data.train.values) == sorted(
        sample.numpy().tobytes() for sample in other.train.values
    )


def test_bytes_are_pictures_too(tmp_path: Path, build: Build) -> None:
    table = datasets.Dataset.from_dict({"content": [png(1), png(2), b"no picture", None]})
    table.to_parquet(tmp_path / "set.parquet")
    assert numbers(build(spec(tmp_path, held_out=0.0)).train) == [1, 2]


def test_rows_that_cannot_be_read_are_named(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    table = datasets.Dataset.from_dict({"content": [png(1), b"no picture", None]})
    table.to_parquet(tmp_path / "set.parquet")
    for in_memory in (True, False):
        build(spec(tmp_path, held_out=0.0, in_memory=in_memory))
    assert (
        "left out 2 that cannot be read: train/1 (not a picture), train/2 (the row has no picture)"
    ) in capsys.readouterr().err


def test_the_digest_covers_pictures_and_classes(tmp_path: Path, build: Build) -> None:
    def digest(**columns: list[object]) -> str:
        table = {"content": [png(1), png(2), png(3)], "kind": [0, 1, 0], **columns}
        datasets.Dataset.from_dict(table).to_parquet(tmp_path / "set.parquet")
        keys = {"label_column": "kind", "held_out": 0.0, "in_memory": False}
        return str(build(spec(tmp_path, **keys)).train.digest)

    first = digest()
    assert digest() == first
    assert digest(kind=[0, 1, 1]) != first
    assert digest(content=[png(1), png(2), png(4)]) != first


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split": "test"}, "cannot load split 'test' of .*set.parquet: Unknown split"),
        ({"path": "no/such"}, "cannot load split 'train' of 'no/such', which is no local path: "),
        ({"path": "n" * 3000}, "which is no local path: "),
        ({"path": "some.parquet"}, "there is no .*some.parquet nor .*some.parquet\n  = set data.p"),
        ({"path": "../some/folder"}, "there is no .*some/folder"),
        ({"path": "/no/such"}, "there is no /no/such\n"),
        ({"column": "pixels"}, "has no column 'pixels'\n  = set data.column to .*: picture"),
        ({"column": "age"}, "has no pictures in column 'age'\n  = set data.column to .*: picture"),
        (
            {"label_column": "sort"},
            "has no column 'sort'\n  = data.label_column is one of picture, kind, age, word",
        ),
        ({"label_column": "weight"}, "column 'weight' of .* holds no classes, but .*float64"),
        (
            {"label_column": "kind", "class_names": ("odd", "prime")},
            'no picture of the class \'prime\' in .*data.class_names = ."even", "odd".',
        ),
    ],
)
def test_what_is_not_there(
    parquet: Path,
    build: Build,
    tmp_path: Path,
    keys: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=f"(?s)huggingface: .*{message}"):
        build(spec(tmp_path, **keys))


def test_an_unknown_split_of_a_saved_set(saved: Path, build: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no split 'dev', but train, test"):
        build(spec(tmp_path, path="saved", split="dev"))


def test_several_columns_of_pictures(tmp_path: Path, build: Build) -> None:
    table = datasets.Dataset.from_dict({"a": [png(1)], "b": [png(2)]})
    table.to_parquet(tmp_path / "set.parquet")
    with pytest.raises(UserError, match=r"has several columns of pictures\n  = set data.column"):
        build(spec(tmp_path))
    assert numbers(build(spec(tmp_path, column="b")).train) == [2]
    datasets.Dataset.from_dict({"a": [1]}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(UserError, match="has no column of pictures\n  = its columns are a;"):
        build(spec(tmp_path, path="none.parquet"))


def test_the_library_may_be_missing(
    parquet: Path, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError) as raised:
        build(spec(tmp_path))
    assert str(raised.value) == (
        "data sets of Hugging Face need the library datasets\n"
        '  = pip install "ganzoo-data[huggingface]"'
    )


def test_a_recipe_holds_the_names_that_were_found(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run is sampled without the data."""
    change = 'data={type="huggingface", path="set.parquet", size=8, label_column="kind"}'
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    recipe = ganzoo.load_recipe("digits-conditional-mlp", change)
    assert recipe.tables()["data"]["class_names"] == ["even", "odd"]
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    parquet.unlink()
    assert ganzoo.load_recipe(tmp_path / "recipe.toml").data.spec.num_classes == 2
