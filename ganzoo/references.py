"""What people call a run: its folder, `latest`, `digits-dcgan`, `digits-dcgan@-2`, and after a
further `@` one of its snapshots: `@4000`, `@best`."""

from __future__ import annotations

import difflib
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ganzoo.errors import UserError, one_of
from ganzoo.runs import RunFolder, find_run_folder

LATEST = "latest"
BEST = "best"

RUNS = Path("runs")
"""Where runs are looked for by name."""


class Reference(NamedTuple):
    """A run and, where one was named, its snapshot."""

    folder: RunFolder
    snapshot: int | str | None = None
    """An iteration, or `best`; None for the end."""

    def whole(self) -> RunFolder:
        """The folder. Raises `UserError` where a snapshot of it was named."""
        if self.snapshot is not None:
            raise UserError(
                f"'@{self.snapshot}' names a snapshot, and {self.folder.path} is meant as a whole",
                hint="`ganzoo sample` takes snapshots",
            )
        return self.folder


def run_folders(runs: Path = RUNS) -> list[RunFolder]:
    """All runs below a folder, in the order in which they were begun."""
    begun = []
    for file in runs.glob("*/*/recipe.toml"):
        path = file.parent
        if not path.name.startswith("."):
            with suppress(FileNotFoundError):  # a run that failed before it began is removed
                # Written once, at the start; a folder's name may be anything.
                begun.append((file.stat().st_mtime_ns, path))
    return [RunFolder(path) for _, path in sorted(begun)]


def find_run(reference: str | Path, runs: Path = RUNS) -> Reference:
    """The run, and the snapshot of it, that somebody means.

    A folder that is there is always meant by its path. Raises `UserError` for what means no run,
    with those that there are.
    """
    text = str(reference)
    if os.path.isdir(text):
        return Reference(find_run_folder(text))
    name, *suffixes = re.split(r"@(?=-?\d+$|-?\d+@|best$)", text)
    number = int(suffixes.pop(0)) if suffixes and suffixes[0].startswith("-") else None
    if len(suffixes) > 1 or (suffixes and suffixes[0].startswith("-")):
        raise UserError(
            f"'{text}' names no run",
            hint="write RUN@-2 for the run before the last, RUN@4000 or RUN@best for a snapshot",
        )
    snapshot = suffixes[0] if suffixes else None
    folder = _named(name, number, text, runs)
    return Reference(folder, int(snapshot) if snapshot and snapshot.isdecimal() else snapshot)


def _named(name: str, number: int | None, text: str, runs: Path) -> RunFolder:
    """The run number -1, -2, ... of those with a name, from the newest on; by default the newest,
    or the run in a folder."""
    if "/" in name or "\\" in name or os.path.isdir(name):
        if number is not None:
            raise UserError(
                f"there is no run '{text}': {name} is a folder, which is one run",
                hint="@-2 goes with the name of a recipe, @4000 and @best with a folder too",
            )
        return find_run_folder(name)
    number = -1 if number is None else number
    every = run_folders(runs)
    found = [each for each in every if name in (LATEST, each.path.parent.name)]
    if len(found) >= -number > 0:
        return found[number]
    if not every:
        raise UserError(
            f"there is no run '{text}', and none at all in {runs.absolute()}",
            hint="`ganzoo run RECIPE` makes one; one that lies elsewhere is meant by its folder",
        )
    if found:
        count = f"{len(found)} run{'s' * (len(found) != 1)}"
        raise UserError(f"there is no run '{text}': '{name}' has {count}", hint="see `ganzoo runs`")
    names = sorted({each.path.parent.name for each in every})
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there is {one_of([*names, LATEST])}"
    raise UserError(f"there is no run '{text}'", hint=hint)
