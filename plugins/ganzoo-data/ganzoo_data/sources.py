"""Where pictures lie: below a folder, or in a zip archive that is read in place."""

from __future__ import annotations

import os
import posixpath
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Protocol

from ganzoo.api import UserError

from .messages import reason

NAME = "image-folder"
EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".avif", ".jp2"),
)
LARGEST = 2**29
"""Bytes of a file beyond which it is not read as a picture."""
OURS = ({"recipe.toml", "status.json"}, {"recipe.toml", "environment.json"}, {"comparison.json"})
"""Files by which the folder of a run or of a comparison is known."""
RESOURCES = "__MACOSX"
"""The folder in which macOS keeps what belongs to the files of an archive."""
ENCRYPTED = 0x1
"""The flag of an encrypted file in an archive."""


class Source(Protocol):
    """Files by names that stay; it can be sent to other processes."""

    @property
    def where(self) -> str:
        """What it is called in messages: an absolute path, where it is on a disk."""
        ...

    def status(self, name: str) -> tuple[int, int]:
        """Bytes of a file, and a number that changes with its content; -1 twice without any."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises errors of any type, a `ValueError` for more than `LARGEST`
        bytes."""
        ...

    def place(self, name: str) -> str:
        """What a file is called in messages."""
        ...


@dataclass
class Listing:
    """What lies in a source."""

    pictures: list[str] = field(default_factory=list)
    """Names of pictures with `/` between folders, sorted."""
    folders: set[str] = field(default_factory=set)
    """Names of all folders that are not left out, empty ones too."""
    left: Counter[str] = field(default_factory=Counter)
    """How many files or folders were left out, by what they are."""

    def add(self, name: str, *, is_file: bool = True) -> None:
        """Take a file by its name, or count it as left out."""
        if not is_picture(name):
            self.left["other files"] += 1
        elif is_file:
            self.pictures.append(name)
        else:
            self.left["links to nothing or no files"] += 1


@dataclass(frozen=True)
class Folder:
    """The files below a folder."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def status(self, name: str) -> tuple[int, int]:
        """Bytes, and the time of the last change in nanoseconds."""
        with suppress(OSError, ValueError):
            status = os.stat(self.path / name)
            return status.st_size, status.st_mtime_ns
        return -1, -1

    def read(self, name: str) -> bytes:
        file = self.path / name
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        check_size(status.st_size)
        return file.read_bytes()

    def place(self, name: str) -> str:
        return str(self.path / name)

    def holds(self, count: int) -> int:
        """How many pictures there are, counted no further than `count`."""
        return sum(1 for _ in islice(filter(is_picture, self._files(Listing())), count))

    def listing(self) -> Listing:
        """The pictures in the folder and its sub-folders.

        Links are followed, each folder once. Hidden files and folders, and the folders of ganzoo's
        own runs and comparisons, are left out. Raises `UserError` where a folder cannot be listed.
        """
        listing = Listing()
        for file in self._files(listing):
            name = Path(file).relative_to(self.path).as_posix()
            listing.add(name, is_file=os.path.isfile(file))
        listing.pictures.sort()
        return listing

    def _files(self, listing: Listing) -> Iterator[str]:
        """Paths of all files that are not left out; folders and what is left out are noted."""

        def refuse(error: OSError) -> None:
            raise UserError(
                f"{NAME}: cannot list {error.filename}: {reason(error)}",
                hint="make the folder readable, or set data.path to another one",
            )

        visited = {_identity(self.path)}
        for parent, folders, files in os.walk(self.path, onerror=refuse, followlinks=True):
            hidden = [name for name in (*folders, *files) if _is_hidden(name)]
            listing.left["hidden files and folders"] += len(hidden)
            below = []
            for name in sorted(set(folders) - set(hidden)):
                path = Path(parent, name)
                if any(all((path / file).is_file() for file in ours) for ours in OURS):
                    listing.left["folders of runs"] += 1
                elif (identity := _identity(path)) in visited:
                    listing.left["links to folders that are there already"] += 1
                else:
                    visited.add(identity)
                    below.append(name)
                    listing.folders.add(path.relative_to(self.path).as_posix())
            folders[:] = below
            yield from (os.path.join(parent, name) for name in set(files) - set(hidden))


@dataclass(frozen=True)
class Archive:
    """The files in a zip archive, which is not unpacked; each process has it open once."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def status(self, name: str) -> tuple[int, int]:
        """Bytes, and the checksum that the archive holds."""
        with suppress(OSError, KeyError, zipfile.BadZipFile):
            info = self._opened().getinfo(name)
            return info.file_size, info.CRC
        return -1, -1

    def read(self, name: str) -> bytes:
        # No more is unpacked than the archive says of the file, whatever is packed there.
        archive = self._opened()
        check_size(archive.getinfo(name).file_size)
        return archive.read(name)

    def place(self, name: str) -> str:
        return f"{name} in {self.path}"

    def holds(self, count: int) -> int:
        """How many pictures there are, at most `count`."""
        return min(count, len(self.listing().pictures))

    def listing(self) -> Listing:
        """The pictures in the archive; hidden files and what macOS adds are left out.

        Raises `UserError` for what cannot be read as an archive, and for an encrypted one.
        """
        listing = Listing()
        try:
            files = {each.filename: each for each in self._opened().infolist()}
        except Exception as error:  # the library raises errors of many types for damaged ones
            raise UserError(
                f"{NAME}: {self.path} cannot be read as a zip archive: {reason(error)}",
                hint="copy or download it again; `unzip -t` tests one",
            ) from error
        for name, info in files.items():
            parts = name.split("/")
            if any(_is_hidden(part) for part in parts):
                listing.left["hidden files and folders"] += not info.is_dir()
                continue
            listing.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
            if info.is_dir():
                continue
            if info.flag_bits & ENCRYPTED:
                raise UserError(
                    f"{NAME}: {self.path} is encrypted",
                    hint="unpack it with its password, and set data.path to the folder",
                )
            listing.add(name)
        listing.pictures.sort()
        return listing

    def _opened(self) -> zipfile.ZipFile:
        status = os.stat(self.path)
        version = (status.st_size, status.st_mtime_ns)
        # A process that was forked must not share the place in the file with its parent.
        return _open_archive(self.path, version, os.getpid())


@lru_cache(maxsize=4)
def _open_archive(path: Path, version: tuple[int, int], process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def is_picture(name: str) -> bool:
    """Whether a file is one of pictures, by its name."""
    return posixpath.splitext(name)[1].lower() in EXTENSIONS


def check_size(size: int) -> None:
    """Raise `ValueError` for a file that is too large for a picture."""
    if size > LARGEST:
        raise ValueError(f"larger than {LARGEST // 2**20} MiB")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == RESOURCES


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def find_source(path: str, data_root: Path) -> Folder | Archive:
    """What `path` means: a folder, or an archive.

    Raises:
        UserError: it is neither in the working directory nor in the data root, or another file.
    """
    found, candidates = find(path, data_root)
    if found is None:
        raise UserError(
            f"{NAME}: there is no folder {' nor '.join(map(str, candidates))}",
            hint="set data.path to a folder of pictures: an absolute path, or one relative to "
            "the working directory or to GANZOO_DATA",
        )
    if os.path.isdir(found):
        return Folder(found)
    if found.suffix.lower() == ".zip" and os.path.isfile(found):
        return Archive(found)
    raise UserError(
        f"{NAME}: {found} is a file",
        hint="set data.path to the folder that holds it, or to a .zip of pictures",
    )


def find(path: str, data_root: Path) -> tuple[Path | None, list[Path]]:
    """A file or folder in the working directory or in the data root, absolute, or None; and the
    places where it was looked for."""
    places = [Path.cwd(), data_root.absolute()]
    candidates = list(dict.fromkeys(place / os.path.expanduser(path) for place in places))
    # Names that are too long raise errors in pathlib.
    return next((each for each in candidates if os.path.exists(each)), None), candidates
