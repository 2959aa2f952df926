"""What is known of the files of a source of pictures: whether they can be read, and their hashes.

Every file is decoded once. What came of it is kept in the cache, and holds as long as the file has
the same size and time, or the same checksum where the source has them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image, UnidentifiedImageError, features

from .deep import peak_of
from .messages import announce, reason
from .sources import Source

T = TypeVar("T")

MANY = 20_000
"""Number of pictures above which reading them is announced, because it takes a while."""
DECODERS = {".avif": "avif", ".jp2": "jpg_2000", ".webp": "webp"}
"""Kinds of pictures that not every Pillow reads, and what Pillow calls their decoders."""
VERSION = 1
"""Increased when entries have another meaning, so that old ones are not used."""


class Entry(NamedTuple):
    """What is known of a file."""

    size: int
    """In bytes."""
    mark: int
    """Changes with its content: when it was changed, in nanoseconds, or a checksum."""
    digest: str
    """Hash of its bytes, 16 hexadecimal digits."""
    failure: str
    """Why it cannot be read as a picture, or nothing."""
    peak: int = 0
    """See `peak_of`."""


class Catalogue:
    """The entries of the files of a source, by their names."""

    def __init__(self, source: Source, cache_root: Path, name: str) -> None:
        """`name` stands before messages."""
        self.source, self.name = source, name
        place = hashlib.sha256(source.where.encode()).hexdigest()[:16]
        self._file = cache_root / f"pictures-{place}-v{VERSION}.json"

    def entries(self, names: Sequence[str]) -> Mapping[str, Entry]:
        """The entries of some files; those of new and changed files are made."""
        known = self._read()
        status = with_threads(self.source.status, names)
        missing = [name for name in names if known.get(name, ())[:2] != status[name]]
        if len(missing) > MANY:
            announce(f"{self.name}: checking {len(missing)} pictures in {self.source.where}")
        if missing:
            known |= with_threads(self._check, missing)
            self._write(known)
        return {name: known[name] for name in names}

    def first_readable(self, names: Sequence[str], limit: int) -> tuple[list[str], dict[str, str]]:
        """The first `limit` of the names that can be read, and those before them that cannot, with
        the reasons."""
        readable: list[str] = []
        failures: dict[str, str] = {}
        while len(readable) < limit and len(readable) + len(failures) < len(names):
            start = len(readable) + len(failures)
            for name, entry in self.entries(names[start : start + limit - len(readable)]).items():
                if entry.failure:
                    failures[name] = entry.failure
                else:
                    readable.append(name)
        return readable, failures

    def digest(self, names: Iterable[str]) -> str:
        """A hash of the names and the content of some files, in their order."""
        names = list(names)
        lines = (f"{name} {entry.digest}" for name, entry in self.entries(names).items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _check(self, name: str) -> Entry:
        size, mark = self.source.status(name)
        try:
            content = self.source.read(name)
            digest = hashlib.sha256(content).hexdigest()[:16]
            with Image.open(io.BytesIO(content)) as image:
                image.load()
            peak = peak_of(content)
        except Exception as error:  # Pillow's decoders raise errors of any type
            return Entry(size, mark, "", picture_reason(error, name))
        return Entry(size, mark, digest, "", peak)

    def _read(self) -> dict[str, Entry]:
        """What is kept; nothing where the file is not there or damaged."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            text = self._file.read_text(encoding="utf-8")
            digest, _, content = text.partition("\n")
            if digest == hashlib.sha256(content.encode()).hexdigest():
                return {name: Entry(*entry) for name, entry in json.loads(content).items()}
        return {}

    def _write(self, entries: Mapping[str, Entry]) -> None:
        """Keep the entries; where that is impossible, files are checked again next time."""
        content = json.dumps(entries)
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}")
            beside.replace(self._file)
        except OSError as error:
            announce(
                f"{self.name}: nothing can be kept in the cache folder {self._file.parent}: "
                f"{reason(error)}; every picture is decoded again next time. To keep what is known "
                "of them, set GANZOO_CACHE to a folder that can be written"
            )


def with_threads(action: Callable[[str], T], names: Sequence[str]) -> dict[str, T]:
    """What an action gives for each name; Pillow decodes without holding Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(action, names), strict=True))


def picture_reason(error: Exception, name: str) -> str:
    """Why a file of a name could not be read as a picture."""
    if not isinstance(error, UnidentifiedImageError):
        return reason(error)
    ending = posixpath.splitext(name)[1].lower()
    decoder = DECODERS.get(ending)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older Pillow does not know the name
        if decoder is not None and not features.check(decoder):
            return f"this Pillow reads no {ending}"
    return "not a picture"
