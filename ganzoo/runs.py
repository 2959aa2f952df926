"""The folder of a run: its files, written completely or not at all, and read back.

recipe.toml             the resolved recipe; running it again is the same run
environment.json        versions, device, choices of `auto`, the recipe's fingerprint; what is known
                        of the data: how many samples, the shares of the classes, a hash, where
statistics.jsonl        statistics by iteration, the same bytes for the same seed
timing.jsonl            wall-clock seconds by iteration
warnings.jsonl          signs that training goes wrong: `iteration`, `name`, `text`; each name once
samples/<iteration>.png samples from latents that stay the same
checkpoints/<iteration>.pt
snapshots/<iteration>.safetensors weights on the way, for measuring
probes/<probe>.jsonl    values of a probe by iteration
probes/<probe>/<iteration>.png, probes/<probe>.gif its pictures, and all of them as an animation
<network>.safetensors   weights at the end; those that are sampled from are the moving average
priors/<prior>.safetensors priors fitted to the codes of real samples, where the loss knows codes
pictures/<name>.png     of those codes: reconstructions, lines from one to another, fitted priors
evaluation.json         values of the metrics at the end and on the way
measures/<how>.json     values that comparisons measured
status.json             state, iteration, seconds, steps by phase
traceback.txt           of a run that failed by an error in some component
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from ganzoo.errors import RunError, UserError


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of a run. Make one with `create_run_folder` or `find_run_folder`."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Versions and choices."""
        return self.path / "environment.json"

    @property
    def statistics(self) -> Path:
        """Statistics by iteration."""
        return self.path / "statistics.jsonl"

    @property
    def timing(self) -> Path:
        """Wall-clock seconds by iteration."""
        return self.path / "timing.jsonl"

    @property
    def warnings(self) -> Path:
        """Signs that training goes wrong."""
        return self.path / "warnings.jsonl"

    def probe(self, name: str) -> Path:
        """Values of a probe by iteration."""
        return self.path / "probes" / f"{name}.jsonl"

    def frame(self, name: str, iteration: int) -> Path:
        """A probe's picture of one iteration."""
        return self.path / "probes" / name / f"{iteration:06d}.png"

    def frames(self, name: str) -> list[Path]:
        """All pictures of a probe, oldest first."""
        found = self.frame(name, 0).parent.glob("*.png")
        return sorted(path for path in found if path.stem.isdecimal())

    def animation(self, name: str) -> Path:
        """All pictures of a probe, one after the other."""
        return self.path / "probes" / f"{name}.gif"

    @property
    def status(self) -> Path:
        """Where the run stands."""
        return self.path / "status.json"

    @property
    def evaluation(self) -> Path:
        """Values of the metrics."""
        return self.path / "evaluation.json"

    def measures(self, key: str) -> Path:
        """Values that a comparison measured, by a hash of how."""
        return self.path / "measures" / f"{key}.json"

    @property
    def traceback(self) -> Path:
        """Traceback of a run that failed."""
        return self.path / "traceback.txt"

    @property
    def lock(self) -> Path:
        """Held by the process that trains the run."""
        return self.path / ".lock"

    def samples(self, iteration: int) -> Path:
        """The picture of one iteration."""
        return self.path / "samples" / f"{iteration:06d}.png"

    def checkpoint(self, iteration: int) -> Path:
        """The checkpoint of one iteration."""
        return self.path / "checkpoints" / f"{iteration:06d}.pt"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, newest first."""
        found = (self.path / "checkpoints").glob("*.pt")
        numbered = (path for path in found if path.stem.isdecimal())
        return sorted(numbered, key=lambda path: int(path.stem), reverse=True)

    def snapshot(self, iteration: int) -> Path:
        """All weights at one iteration, the generator's as they are sampled from."""
        return self.path / "snapshots" / f"{iteration:06d}.safetensors"

    def snapshots(self) -> list[int]:
        """Iterations of which there is a snapshot, in order."""
        found = (self.path / "snapshots").glob("*.safetensors")
        return sorted(int(path.stem) for path in found if path.stem.isdecimal())

    def picture(self, name: str) -> Path:
        """A picture made at the end."""
        return self.path / "pictures" / f"{name}.png"

    def weights(self, slot: str) -> Path:
        """Weights of one network, or of a loss."""
        return self.path / f"{slot}.safetensors"

    def prior(self, name: str) -> Path:
        """State of a fitted prior."""
        return self.path / "priors" / f"{name}.safetensors"


def create_run_folder(runs: Path, name: str, identity: str | None = None) -> RunFolder:
    """Make `runs/name/identity`; by default the identity is the time and six random digits.

    Raises `UserError` if there is such a folder already or if none can be made there.
    """
    identity = identity or f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", identity):
        raise UserError(
            f"'{identity}' cannot name a run", hint="letters, digits, '.', '_' and '-' can"
        )
    path = runs / name / identity
    try:
        path.mkdir(parents=True)
        (path / "samples").mkdir()
        (path / "checkpoints").mkdir()
        (path / "snapshots").mkdir()
        (path / "pictures").mkdir()
    except FileExistsError:
        raise UserError(
            f"the run folder {path} exists already",
            hint=f"`ganzoo resume {path}` continues it; another --id starts a new one",
        ) from None
    except OSError as error:
        raise UserError(f"no run folder can be made at {path}: {error.strerror}") from error
    return RunFolder(path)


def find_run_folder(path: str | Path) -> RunFolder:
    """The run in a folder. Raises `UserError` if the folder holds none."""
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise UserError(f"{path} is not a folder", hint="give the folder that `ganzoo run` printed")
    if not folder.recipe.is_file():
        found = sorted(folder.path.glob("**/recipe.toml"), key=lambda file: file.stat().st_mtime)
        inside = [file.parent for file in found]
        hint = (
            f"the newest run below it is {inside[-1]}"
            if inside
            else "a run folder holds a recipe.toml"
        )
        raise UserError(f"{path} is no run folder: it has no recipe.toml", hint=hint)
    return folder


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is whole or absent: beside its place, to the disk, then renamed.

    Raises `RunError` where the disk is full or refuses; the old file, if any, stays as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:
        # torch.save hides what the system said behind an error of its own.
        if isinstance(error.__context__, OSError):
            raise cannot_write(path, error.__context__) from error
        raise


def cannot_write(path: Path, error: OSError) -> RunError:
    """The message for a write that the system refused."""
    run = next((up for up in path.parents if (up / "recipe.toml").exists()), None)
    again = (
        "" if run is None else f", then `ganzoo resume {run}` continues from the last checkpoint"
    )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"no space left to write {path}", hint=f"make room{again}")
    return RunError(
        f"{path} cannot be written: {error.strerror or error}", hint=f"make it writable{again}"
    )


def write_json(path: Path, value: Any) -> None:
    """Write plain data as an indented JSON file, whole or not at all.

    JSON knows no infinities and nothing that is not a number: they are written as null.
    """
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def remove_unfinished(folder: RunFolder) -> None:
    """Remove what a killed process was in the middle of writing."""
    for path in folder.path.glob("**/.*"):
        if re.fullmatch(r"\..+\.\d+", path.name):
            path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file, or an empty dictionary where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def read_measures(path: Path) -> Any:
    """The same of evaluation.json or measures/<how>.json, with NaN where a value is null."""
    measures = read_json(path)
    rows = [measures, *measures.get("history", ())] if measures else []
    tables = [(row, "values") for row in rows]
    tables += [(measures["other_priors"], prior) for prior in measures.get("other_priors", ())]
    for owner, key in tables:
        values = owner[key].items()
        owner[key] = {name: math.nan if value is None else value for name, value in values}
    return measures


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a JSON-lines file, in one write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(row) + "\n").encode())
    except OSError as error:
        raise cannot_write(path, error) from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; a line cut short by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def cut_rows(path: Path, iteration: int) -> None:
    """Drop the rows after `iteration`, which a resumed run will write again."""
    if path.exists():
        rows = [row for row in read_rows(path) if row["iteration"] <= iteration]
        with whole_file(path) as file:
            file.writelines((json.dumps(row) + "\n").encode() for row in rows)
