"""Declarations of the sets that hold the user's own pictures, and the keys of all pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from ganzoo.api import BuildContext, DatasetSpec, Remark, Surroundings, UserError

IN_MEMORY = "decode all pictures before training; auto: if they take less than 4 GiB"
MIRROR = "mirror each training picture, left to right, half of the times that it is seen"
SIZE = "height and width of the pictures in pixels, [48, 64]; one number for squares"


def _square(size: int | tuple[int, int]) -> int | tuple[int, int]:
    """One number for a square, so that both ways to write it are the same recipe."""
    return size if isinstance(size, int) or size[0] != size[1] else size[0]


def _one_or_two(size: object) -> object:
    """One complaint about what is neither, not one for each."""
    numbers = size if isinstance(size, list | tuple) and len(size) == 2 else [size]
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError("should be a whole number above 0, or two: [height, width]")
    return tuple(size) if isinstance(size, list) else size


Size = Annotated[
    PositiveInt | tuple[PositiveInt, PositiveInt],
    AfterValidator(_square),
    BeforeValidator(_one_or_two),
]


def fewer(count: int, recipe: Surroundings) -> Remark:
    """A note on a batch that is larger than all there is to train on."""
    message = (
        f"there are about {count} pictures to train on, and a batch of {recipe.batch_size} holds "
        "some of them twice"
    )
    return Remark(message, hint="a smaller train.batch_size may help")


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


class OwnPictures(DatasetSpec):
    """The keys of the sets of one's own pictures."""

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    path: str = Field(min_length=1, description="where the pictures are")
    size: Size = Field(description=SIZE)
    crop: Literal["center", "none"] = Field(
        "center", description="center: cut both ends of what is too long; none: squash"
    )
    channels: Literal[1, 3, 4] = Field(
        3, description="3 for colour, 1 for grey, 4 for colour and opacity"
    )
    mirror: bool = Field(False, description=MIRROR)
    limit: PositiveInt | None = Field(
        None, description="use a fixed choice of so many pictures only; all if left out"
    )
    in_memory: Literal["auto"] | bool = Field("auto", description=IN_MEMORY)
    class_names: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="the classes that are used, in the order of their numbers; if left out, all "
        "that are found",
    )

    @model_validator(mode="after")
    def _names_are_of_classes(self) -> Self:
        names = self.class_names
        if names is not None and self._classes is None:
            raise ValueError(f"class_names is given without {self._classes_key}")
        if names is not None and len(set(names)) < len(names):
            raise ValueError("class_names holds a name twice")
        return self

    _classes_key: ClassVar[str]
    """The key that asks for classes."""

    @property
    def _classes(self) -> str | None:
        """Where the classes come from, or None without any."""
        value: str | None = getattr(self, self._classes_key)
        return value

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(channels, height, width)`."""
        return (self.channels, *sides(self.size))

    @property
    def num_classes(self) -> int | None:
        """As many as there are names of classes; None where no classes are asked for."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def capabilities(self) -> frozenset[str]:
        """Labels only where classes are asked for."""
        return self.provides - (set() if self._classes else {"labels"})

    def completed(self, data_root: Path) -> Self:
        """With names of the classes, where they are asked for. Raises `UserError` as `build`."""
        if self._classes is None or self.class_names is not None:
            return self
        return self.model_copy(update={"class_names": self._find_class_names(data_root)})

    def _find_class_names(self, data_root: Path) -> tuple[str, ...]:
        raise NotImplementedError

    def _reader(self) -> Any:
        """What makes samples of files."""
        from .pictures import PictureReader

        return PictureReader(size=self.size, channels=self.channels, crop=self.crop)


class ImageFolder(OwnPictures):
    """Every picture in a folder and its sub-folders, or in a .zip, which is not unpacked.

    Read are png, jpg, jpeg, jfif, webp, bmp, gif, tif, tiff, ppm, pgm, avif and jp2. Images uint8
    `(M, channels, height, width)`, with labels where `classes` says of which class they are:
    `"folders"` for the names of the sub-folders that they lie in, or a CSV whose first column
    holds names of pictures and whose second one their classes. `class_names` may choose among
    them; if it is left out, the recipe of a run holds the names that were found.

    A picture is turned as its EXIF orientation says, transparency becomes white (or opacity, with
    four channels), an animation gives its first frame, and scaling is bicubic and antialiased. Of
    pictures with 16 bits a value, the bits that the brightest of them needs are used. Links to
    folders are followed; hidden files, files that cannot be read, pictures without a class and the
    folders of runs are left out, which one line says. Whether a picture is held out depends on its
    own name alone. Before a stream is used, every file is decoded once, and what came of it is kept
    in the cache.
    Raises `UserError` where there is no such folder or archive, no picture in it or of a class, or
    none that can be read, and for a table that names pictures which are not there.
    """

    type: ClassVar[str] = "image-folder"
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"path": "pictures", "size": 16},
        {"path": "pictures", "size": 16, "channels": 1, "crop": "none", "in_memory": False},
        {"path": "pictures", "size": (12, 16), "channels": 4, "mirror": True},
    )
    _classes_key: ClassVar[str] = "classes"

    path: str = Field(
        min_length=1,
        description="the folder or .zip; a relative one is looked for in the working directory, "
        "then in GANZOO_DATA",
    )
    classes: str | None = Field(
        None,
        min_length=1,
        description='"folders" for the names of sub-folders, or a CSV of names and classes, beside '
        "the pictures or elsewhere; no classes if left out",
    )
    held_out: float = Field(
        0.05, ge=0, lt=1, description="about this share of the pictures is never trained on"
    )

    def check(self, recipe: Surroundings) -> Iterable[Remark]:
        """A note where there are fewer pictures than in a batch; they are counted no further."""
        from .sources import find_source

        try:
            wanted = math.ceil(recipe.batch_size / (1 - self.held_out))
            found = find_source(self.path, recipe.data_root).holds(wanted)
        except UserError:
            return  # told when they are read
        count = math.floor(found * (1 - self.held_out))
        if found and count < recipe.batch_size:  # an empty folder is told when it is read
            yield fewer(count, recipe)

    def _find_class_names(self, data_root: Path) -> tuple[str, ...]:
        from .labels import find_class_names

        return find_class_names(self.path, str(self.classes), data_root)

    def build(self, context: BuildContext) -> Any:
        """Find the pictures, split them and decode them, or check those of a stream."""
        from .loading import load_folder

        return load_folder(
            self.path,
            self.classes,
            self.class_names,
            context.data_root,
            context.cache_root,
            self._reader(),
            held_out=self.held_out,
            limit=self.limit,
            in_memory=self.in_memory,
            mirror=self.mirror,
        )


class HuggingFace(OwnPictures):
    """Pictures of a data set that the library `datasets` reads: a local one, or one of the hub.

    Images uint8 `(M, channels, height, width)`, made of files as `image-folder` makes them, with
    labels where `label_column` says which column holds classes: a `ClassLabel`, whole numbers or
    texts. `path` is a folder (also one that `save_to_disk` wrote) or a .parquet or .arrow file, or
    else a name on the hub, from which the library downloads the set into its own cache. Needs
    `pip install "ganzoo-data[huggingface]"`.
    Raises `UserError` where the library, the set, a split or a column is missing, or where no
    picture can be read.
    """

    type: ClassVar[str] = "huggingface"
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"path": "pictures.parquet", "size": 16},
        {"path": "pictures.parquet", "size": 16, "channels": 1, "in_memory": False},
    )
    _classes_key: ClassVar[str] = "label_column"

    path: str = Field(
        min_length=1,
        description="a folder or .parquet file, looked for in the working directory, then in "
        "GANZOO_DATA; else a name on the hub",
    )
    name: str | None = Field(None, description="configuration of the set, where it has several")
    split: str = Field("train", min_length=1, description="the split to train on")
    column: str | None = Field(
        None, description="column of the pictures; if left out, the only one that holds some"
    )
    label_column: str | None = Field(
        None, min_length=1, description="column of the classes; no classes if left out"
    )
    held_out: Annotated[float, Field(ge=0, lt=1)] | str = Field(
        0.05,
        description="about this share of the rows is never trained on; or the split that is not",
    )

    @model_validator(mode="after")
    def _two_splits(self) -> Self:
        if self.held_out == self.split:
            raise ValueError(f"held_out is the split '{self.split}' that is trained on")
        return self

    def _place(self, data_root: Path) -> Any:
        from .huggingface import Place

        return Place(
            path=self.path,
            name=self.name,
            split=self.split,
            column=self.column,
            label_column=self.label_column,
            data_root=data_root,
        )

    def _find_class_names(self, data_root: Path) -> tuple[str, ...]:
        from .huggingface import find_class_names

        return find_class_names(self._place(data_root))

    def build(self, context: BuildContext) -> Any:
        """Open the set, split it and decode its pictures, or check those of a stream."""
        from .loading import load_rows

        return load_rows(
            self._place(context.data_root),
            self.class_names,
            context.cache_root,
            self._reader(),
            held_out=self.held_out,
            limit=self.limit,
            in_memory=self.in_memory,
            mirror=self.mirror,
        )
