"""Damage to files as disks, editors and half-finished copies do it, drawn at random."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings

from ganzoo.errors import GanzooError

SUITE = "GANZOO_FUZZ_EXAMPLES" not in os.environ


def fuzzing(usual: int, part: int = 1, **more: Any) -> settings:
    """Settings of a test on `usual / part` examples, in the suite always the same ones.

    `GANZOO_FUZZ_EXAMPLES` is another number than the usual one; its examples are new each time.
    """
    return settings(
        max_examples=int(os.environ.get("GANZOO_FUZZ_EXAMPLES", usual)) // part,
        deadline=None,
        derandomize=SUITE,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


SECONDS = 60.0
"""A reader that takes longer than this waits for something that never comes."""

DEEP = "[" * 5000 + "]" * 5000
VALUES = [
    *("null", "true", "-1", "0", "0.5", "1e400", "-1e-400", "NaN", "Infinity", "-Infinity"),
    *("9" * 19, "9" * 400, "9" * 5000, "18446744073709551616", '"4"', '""', '"done"', '"running"'),
    *('"\\u001b[31m"', '"\\ud800"', '"\\u0000"', '"' + "x" * 5000 + '"', '"../../x"', '"a\\nb"'),
    *("[]", "{}", "[[]]", "[null]", '{"a": {"b": 1}}', '[1, "a", {}]', DEEP, '{"a":' + DEEP + "}"),
]
"""JSON of every type, numbers at the edges, and what is almost JSON."""
KEYS = ["", "x", "iteration", "état", "\u001b[2J", "values", "state"]
LINES = [
    *VALUES,
    "",
    "{",
    "}",
    '{"iteration": 4}',
    '{"iteration": 4',
    "\ufeff{}",
    "a: 1",
    "\0" * 64,
]
HOLE = "\ue000"

Damage = Callable[[Path], None]
"""Does something to a file."""


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in nested plain data, the whole first."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from paths_of(each, (*path, key))


def changed(text: str, number: int, how: str, value: str, key: str) -> str:
    """A JSON text with one of its values replaced, removed or renamed, or put deep inside."""
    document = json.loads(text)
    places = list(paths_of(document))
    *above, last = places[number % len(places)] or ("",)
    inside = new = copy.deepcopy(document)
    for step in above:
        inside = inside[step]
    if not isinstance(inside, dict | list) or (isinstance(inside, dict) and last not in inside):
        return value
    if how == "value":
        inside[last] = HOLE
    elif how == "missing":
        del inside[last]
    elif how == "key" and isinstance(inside, dict):
        inside[key] = inside.pop(last)
    elif how == "extra" and isinstance(inside, dict):
        inside[key] = HOLE
    else:
        inside[last] = [[[inside[last]]]]
    return json.dumps(new).replace(json.dumps(HOLE), value)


def json_damage(random: Random) -> tuple[str, Damage]:
    """Damage to a JSON file, or to a line of a JSON-lines file, and its name."""
    how = random.choice(["value"] * 4 + ["missing"] * 2 + ["key", "extra", "nested", "line"])
    number, row = random.randrange(10**4), random.randrange(10**4)
    value, key, line = random.choice(VALUES), random.choice(KEYS), random.choice(LINES)

    def damage(file: Path) -> None:
        rows = [file.read_text()]
        if file.suffix == ".jsonl":
            rows = rows[0].splitlines() or [""]
        place = row % len(rows)
        if how == "line" or not rows[place]:
            rows[place] = line
        else:
            rows[place] = changed(rows[place], number, how, value, key)
        text = "\n".join(rows) + "\n" * (file.suffix == ".jsonl")
        file.write_bytes(text.encode(errors="surrogatepass"))

    return f"json: {how}", damage


def byte_damage(random: Random) -> tuple[str, Damage]:
    """Bytes of a file that are other ones, missing or too many, and the name of the damage."""
    how = random.choice(["flip"] * 4 + ["cut", "cut", "longer", "twice", "zeros", "hole"])
    share, bit = random.random(), random.randrange(8)
    end = random.choice(["anywhere", "head", "tail"])

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        size = len(content)
        near = int(share * min(size, 100))
        at = {"anywhere": int(share * size), "head": near, "tail": size - 1 - near}[end]
        if how == "flip":
            content[at] ^= 1 << bit
        elif how == "cut":
            del content[at:]
        elif how == "longer":
            content[at:at] = b"\0" * (1 + bit)
        elif how == "twice":
            content *= 2
        elif how == "zeros":
            content[at:] = b"\0" * (size - at)
        else:
            del content[at : at + 1 + bit]
        file.write_bytes(content)

    return f"bytes: {how}", damage


def _gone(file: Path) -> None:
    file.unlink()


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _filled_folder(file: Path) -> None:
    _folder(file)
    (file / "mine.txt").write_text("mine")


def _link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


PLACES: dict[str, Damage] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (_gone, _empty, _folder, _filled_folder, _link, _loop, _pipe, _device)
}


def place_damage(random: Random) -> tuple[str, Damage]:
    """Something else in the place of a file, and its name."""
    name = random.choice(sorted(PLACES))
    return f"place: {name}", PLACES[name]


class Waiting(BaseException):
    """A reader waits; no `OSError`, which readers expect."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raise `Waiting` where the body waits for something that never comes."""

    def ring(number: int, frame: object) -> None:
        raise Waiting(f"nothing came of it in {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


WRAPPERS = ("the run failed: ", "measuring it failed: ")
"""What stands before an error that nobody has foreseen."""


def check_refusal(error: GanzooError, folder: Path) -> None:
    """The message names a place in the folder, and the error was foreseen."""
    text = str(error)
    assert str(folder) in text, text
    assert not any(wrapper in text for wrapper in WRAPPERS), text
    assert "Traceback" not in text
