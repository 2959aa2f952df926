"""Files of tensors that carry a digest of themselves, checked whenever they are read.

A state is a file that `torch.load` reads: the SHA-256 of all that torch wrote is the comment of its
zip archive. Tensors by name are safetensors: the SHA-256 of the whole file, taken with 64 zeros in
the place of the digest, is the first entry of `__metadata__`. No byte is left out.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ganzoo.errors import RunError
from ganzoo.files import read_regular
from ganzoo.unfinished import whole_file

DIGITS = 64
"""Hexadecimal digits of a SHA-256."""
COMMENT = DIGITS.to_bytes(2, "little")
"""Length of a zip archive's comment, the last field before it; torch writes none, so zero."""
HEAD = b'{"__metadata__":{"sha256":"'
"""How the header of our safetensors begins, after the eight bytes of its length."""


class BrokenFile(RunError):
    """A file that is not as it was written, or not the one that belongs in its place.

    `path` is the file, `reason` says what is wrong with it.
    """

    def __init__(self, path: Path, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path} is broken: {reason}", hint=hint)
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[object, ...]:
        return _broken_file, (self.path, self.reason, self.hint)


def _broken_file(path: Path, reason: str, hint: str | None) -> BrokenFile:
    """An error that has crossed from another process."""
    return BrokenFile(path, reason, hint=hint)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain data, nested, as `torch.save` does."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getbuffer()
    with whole_file(path) as file:
        file.write(content[:-2])
        file.write(COMMENT + _digest(content))


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote, on the CPU.

    Raises `FileNotFoundError` where there is no file, and `BrokenFile`.
    """
    content = _content(path)
    if content[-DIGITS - 2 : -DIGITS] != COMMENT:
        raise _without_digest(path, content)
    written = memoryview(content)[: -DIGITS - 2]
    if content[-DIGITS:] != _digest(written, b"\0\0"):
        raise BrokenFile(path, "its digest does not fit its content")
    with _readable(path):
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), weights_only=True, map_location="cpu"
        )
        return {**state}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors by name as safetensors; `notes` go into their `__metadata__`.

    The same tensors and notes are the same bytes. Missing folders are made.
    """
    raw = safetensors.torch.save(dict(tensors))
    end = 8 + int.from_bytes(raw[:8], "little")
    # The library writes its metadata in an order that is not the same twice.
    metadata = {"sha256": "0" * DIGITS, **dict(sorted(notes.items()))}
    header = {"__metadata__": metadata, **json.loads(raw[8:end])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    content = bytearray(len(text).to_bytes(8, "little") + text + raw[end:])
    place = slice(8 + len(HEAD), 8 + len(HEAD) + DIGITS)
    content[place] = _digest(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the notes that `write_tensors` wrote.

    Raises `FileNotFoundError` where there is no file, and `BrokenFile`.
    """
    content = _content(path)
    start = 8 + len(HEAD)
    if content[8:start] != HEAD:
        raise _without_digest(path, content)
    found, rest = content[start : start + DIGITS], memoryview(content)[start + DIGITS :]
    if found != _digest(content[:start], b"0" * DIGITS, rest):
        raise BrokenFile(path, "its digest does not fit its content")
    with _readable(path):
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        notes: dict[str, str] = header["__metadata__"]
        del notes["sha256"]
        return safetensors.torch.load(content), notes


def set_aside(path: Path) -> Path:
    """Rename a broken file to one that nothing reads, `000010.pt.broken`; it is kept."""
    number, aside = 1, path.with_name(f"{path.name}.broken")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{number}.broken")
    path.rename(aside)
    return aside


def passed_over(error: BrokenFile) -> str:
    """The warning for a file that is not read."""
    return f"{error.path} cannot be read and is passed over: {error.reason}"


def pass_over(error: BrokenFile, warn: Callable[[str], None]) -> None:
    """Set a broken file aside, and say so."""
    try:
        where = f"; it is kept as {set_aside(error.path).name}"
    except OSError:  # in a place where nothing can be renamed, or another process was faster
        where = ""
    warn(passed_over(error) + where)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, most=None)
    except FileNotFoundError:
        if path.is_symlink():
            raise BrokenFile(path, "it is a link that leads nowhere") from None
        raise
    except IsADirectoryError:
        raise BrokenFile(path, "it is a folder") from None
    except OSError as error:
        raise BrokenFile(path, f"it cannot be read: {error.strerror or error}") from error


def _digest(*parts: bytes | bytearray | memoryview) -> bytes:
    """SHA-256 of the parts, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()


def _without_digest(path: Path, content: bytes) -> BrokenFile:
    reason = "it has no digest: it was cut short, or ganzoo did not write it" if content else ""
    return BrokenFile(path, reason or "it is empty")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a library says of a file whose digest fits, but which is none of its kind."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenFile(path, f"it cannot be read: {reason}") from error
