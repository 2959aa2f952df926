"""Classes of the user's own pictures: by sub-folders, and by a table."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ganzoo_data import ImageFolder
from ganzoo_data.labels import by_folder, ordered
from ganzoo_data.pictures import PictureStream
from ganzoo_data.sources import Folder
from PIL import Image

from ganzoo.api import BuildContext, UserError
from ganzoo.data import describe_data, digest_of, labels_of
from ganzoo.engine import Data

Build = Callable[..., Data]
GREYS = {"cats": 40, "dogs": 90, "emus": 200}


def animals(folder: Path, count: int = 12) -> Path:
    """A folder with a sub-folder of pictures, all of one grey, for each animal."""
    for name, grey in GREYS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (6, 6), (grey, grey, grey)).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    return animals(tmp_path / "zoo")


def spec(root: Path, **keys: object) -> ImageFolder:
    """As a recipe makes it: with the names of all classes."""
    keys = {"path": "zoo", "size": 6, "held_out": 0.2, "classes": "folders", **keys}
    return ImageFolder.model_validate(keys).completed(root)


def greys(part: object) -> list[tuple[int, int]]:
    """Each picture's grey and its class."""
    rows = [(part[i] if isinstance(part, PictureStream) else None) for i in range(len(part))]  # type: ignore[arg-type,index]
    if isinstance(part, PictureStream):
        return [(int(value[0, 0, 0]), label) for value, label in rows]  # type: ignore[misc]
    return list(zip(part.values[:, 0, 0, 0].tolist(), part.labels.tolist(), strict=True))  # type: ignore[attr-defined]


@pytest.mark.parametrize("in_memory", [True, False])
def test_sub_folders_are_classes(zoo: Path, build: Build, tmp_path: Path, in_memory: bool) -> None:
    declared = spec(tmp_path, in_memory=in_memory)
    assert declared.class_names == tuple(GREYS)
    assert (declared.num_classes, "labels" in declared.capabilities) == (3, True)
    data = build(declared)
    assert data.class_names == tuple(GREYS)
    numbers = dict(zip(GREYS.values(), range(3), strict=True))
    for part in (data.train, data.held_out):
        assert all(numbers[grey] == label for grey, label in greys(part))
        labels = labels_of(part)
        assert labels.dtype == torch.int64
        assert len(labels) == len(part)
    assert len(data.train) + len(data.held_out) == 36
    assert sorted(labels_of(data.train).unique().tolist()) == [0, 1, 2]


def test_without_classes_there_are_no_labels(zoo: Path, build: Build, tmp_path: Path) -> None:
    declared = spec(tmp_path, classes=None)
    assert (declared.num_classes, "labels" in declared.capabilities) == (None, False)
    data = build(declared)
    assert (data.train.labels, data.class_names) == (None, ())


def test_class_names_choose_and_order(
    zoo: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = build(spec(tmp_path, class_names=("emus", "cats"), held_out=0.0))
    assert set(greys(data.train)) == {(200, 0), (40, 1)}
    assert capsys.readouterr().err == (
        f"image-folder: 24 pictures from {zoo}, 0 of them held out, 2 classes; left out "
        "12 of other classes\n"
    )


def test_pictures_beside_the_class_folders_are_left_out(
    zoo: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (6, 6)).save(zoo / "cover.png")
    assert len(build(spec(tmp_path, held_out=0.0)).train) == 36
    assert "; left out 1 in no class folder\n" in capsys.readouterr().err


def test_folders_in_class_folders_are_of_the_class(zoo: Path, build: Build, tmp_path: Path) -> None:
    (zoo / "cats" / "2024" / "may").mkdir(parents=True)
    Image.new("RGB", (6, 6), (40, 40, 40)).save(zoo / "cats" / "2024" / "may" / "x.png")
    assert greys(build(spec(tmp_path, held_out=0.0)).train).count((40, 0)) == 13


def test_one_folder_around_the_class_folders_is_no_class(tmp_path: Path, build: Build) -> None:
    animals(tmp_path / "zoo" / "all" / "animals")
    declared = spec(tmp_path)
    assert declared.class_names == tuple(GREYS)
    assert set(labels_of(build(declared).train).tolist()) == {0, 1, 2}
    (tmp_path / "zoo" / "all" / "empty").mkdir()
    found, empty = by_folder(Folder(tmp_path / "zoo").listing())
    assert (set(found.values()), empty) == ({"animals"}, ["empty"])


def test_names_of_numbers_are_in_their_order() -> None:
    assert ordered(["10", "9", "2", "2"]) == ("2", "9", "10")
    assert ordered(["10", "9", "b"]) == ("10", "9", "b")


def test_a_class_folder_that_is_empty(zoo: Path, build: Build, tmp_path: Path) -> None:
    (zoo / "owls" / "deep").mkdir(parents=True)
    (zoo / "owls" / "notes.txt").write_text("")
    with pytest.raises(UserError) as raised:
        spec(tmp_path)
    assert str(raised.value) == (
        f"image-folder: no picture of the class 'owls': its folder in {zoo} has none\n"
        "  = put pictures there, remove the folder, or name the classes that are wanted: "
        'data.class_names = ["cats", "dogs", "emus"]'
    )
    assert len(build(spec(tmp_path, class_names=("cats", "dogs"))).train) > 0
    with pytest.raises(UserError, match=f"no picture of the class 'owls' in {zoo}\n") as raised:
        build(spec(tmp_path, class_names=("cats", "owls")))
    assert 'there are data.class_names = ["cats", "dogs", "emus"]' in str(raised.value)


def test_a_folder_without_class_folders(faces: Path, tmp_path: Path) -> None:
    for file in (faces / "more").iterdir():
        file.rename(faces / file.name)
    (faces / "more").rmdir()
    with pytest.raises(UserError, match=f"image-folder: no picture in {faces} has a class"):
        spec(tmp_path, path="faces")


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_class_of_which_nothing_is_left(
    zoo: Path, build: Build, tmp_path: Path, in_memory: bool
) -> None:
    for file in (zoo / "dogs").iterdir():
        file.write_text("no picture")
    with pytest.raises(UserError, match="no picture to train on of the class 'dogs' in") as raised:
        build(spec(tmp_path, in_memory=in_memory))
    assert "or leave it out of data.class_names" in str(raised.value)
    with pytest.raises(UserError, match="of the class 'dogs'"):
        build(spec(tmp_path, in_memory=in_memory, limit=1, class_names=("cats", "dogs")))


# Tables


def table(folder: Path, *lines: str, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_table_says_the_classes(
    zoo: Path, build: Build, tmp_path: Path, in_memory: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"./{file.relative_to(zoo)}, Läufer,1" for file in sorted(zoo.glob("emus/*.png"))]
    lines += [f'"cats\\{file.name}","on the sofa"' for file in sorted(zoo.glob("cats/*.png"))]
    table(zoo, "file,kind,age", *lines, "")
    declared = spec(tmp_path, classes="labels.csv", held_out=0.0, in_memory=in_memory)
    assert declared.class_names == ("Läufer", "on the sofa")
    assert set(greys(build(declared).train)) == {(200, 0), (40, 1)}
    assert capsys.readouterr().err == (
        f"image-folder: 24 pictures from {zoo}, 0 of them held out, 2 classes; left out "
        "1 other files, 12 without a class in labels.csv\n"
    )


def test_a_table_may_lie_elsewhere(zoo: Path, build: Build, tmp_path: Path) -> None:
    table(tmp_path, "cats/00.png,a", "dogs/00.png,b", name="some.csv")
    for classes in ("some.csv", str(tmp_path / "some.csv")):
        data = build(spec(tmp_path, classes=classes, held_out=0.0))
        assert greys(data.train) == [(40, 0), (90, 1)]


def test_a_table_that_names_files_which_are_not_there(zoo: Path, tmp_path: Path) -> None:
    missing = [f"cats/x{number}.png,cat" for number in range(5)]
    file = table(zoo, "name,label", "cats/00.png,cat", *missing)
    with pytest.raises(UserError) as raised:
        spec(tmp_path, classes="labels.csv")
    assert str(raised.value) == (
        f"{file} names 5 pictures that are not in {zoo}: 'cats/x0.png' (line 3), 'cats/x1.png' "
        "(line 4), 'cats/x2.png' (line 5), ...\n"
        "  = names are relative to data.path, with their endings; put the pictures there, or "
        "remove the lines"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["cats/00.png"], ":1: 'cats/00.png' has no class\n  = write the name of a picture"),
        (["a,b", "cats/00.png,"], ":2: 'cats/00.png' has no class"),
        (
            ["cats/00.png,x", "", "cats/00.png,y"],
            ":3: 'cats/00.png' is of the class 'y' here, and of 'x' in a line before",
        ),
        (['"cats/00.png,x'], " cannot be read as a CSV in UTF-8: unexpected end of data"),
        (["name,label"], "image-folder: no picture in .* has a class"),
        ([], "image-folder: no picture in .* has a class"),
    ],
)
def test_tables_that_are_not_as_they_should_be(
    zoo: Path, tmp_path: Path, lines: list[str], message: str
) -> None:
    table(zoo, *lines)
    with pytest.raises(UserError, match=message):
        spec(tmp_path, classes="labels.csv")


def test_a_table_that_is_no_text(zoo: Path, tmp_path: Path) -> None:
    (zoo / "labels.csv").write_bytes(b"cats/00.png,\xff\xfe")
    with pytest.raises(UserError, match=r"labels.csv cannot be read as a CSV in UTF-8"):
        spec(tmp_path, classes="labels.csv")


@pytest.mark.parametrize("name", ["none.csv", "n" * 3000, "cats"])
def test_a_table_that_is_not_there(zoo: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"no table of classes|cannot read") as raised:
        spec(tmp_path, classes=name)
    assert "set data.classes to a CSV" in str(raised.value)


# What is known of the data


def digest(data: Data, declared: ImageFolder) -> str:
    class Recipe:
        class data:  # noqa: N801
            name, spec = "image-folder", declared

        condition = "class"

    return describe_data(Recipe(), data).digest  # type: ignore[arg-type]


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_digest_covers_labels_and_their_names(
    zoo: Path, build: Build, tmp_path: Path, in_memory: bool
) -> None:
    def one(*lines: str, **keys: object) -> tuple[str, str]:
        if lines:
            table(zoo, *lines)
            keys["classes"] = "labels.csv"
        declared = spec(tmp_path, held_out=0.0, in_memory=in_memory, **keys)
        data = build(declared)
        return digest(data, declared), digest_of(data.train)

    usual = ["cats/00.png,x", "cats/01.png,x", "dogs/00.png,y"]
    first = one(*usual)
    assert one(*usual) == first
    other_class = one("cats/00.png,x", "cats/01.png,y", "dogs/00.png,y")
    assert other_class[0] != first[0]
    assert other_class[1] != first[1]
    other_names = one("cats/00.png,a", "cats/01.png,a", "dogs/00.png,b")
    assert other_names[0] != first[0]
    assert other_names[1] == first[1]


def test_a_stream_with_classes_goes_to_other_processes(
    zoo: Path, build: Build, tmp_path: Path
) -> None:
    train = build(spec(tmp_path, in_memory=False)).train
    assert greys(pickle.loads(pickle.dumps(train))) == greys(train)


def test_building_without_a_recipe_finds_the_names(zoo: Path, tmp_path: Path) -> None:
    declared = ImageFolder(path="zoo", size=6, classes="folders")
    context = BuildContext(
        sample_shape=(3, 6, 6), latent_dim=1, data_root=tmp_path, cache_root=tmp_path / ".cache"
    )
    assert declared.build(context).class_names == tuple(GREYS)
