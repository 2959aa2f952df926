"""The folder of a run: its files, written completely or not at all, and read back.

recipe.toml             the resolved recipe; running it again is the same run
environment.json        versions, device, choices of `auto`, fingerprints of the recipe and the data
sources/<component>.py  of a component that a notebook or a script registered
statistics.jsonl        statistics by iteration, the same bytes for the same seed
timing.jsonl            wall-clock seconds by iteration
warnings.jsonl          signs that training goes wrong: `iteration`, `name`, `text`; each name once
samples/<iteration>.png samples from latents that stay the same
checkpoints/<iteration>.pt
snapshots/<iteration>.safetensors weights on the way, for measuring
probes/<probe>.jsonl    values of a probe by iteration
probes/<probe>/<iteration>.png, probes/<probe>.gif its pictures, and all of them as an animation
<network>.safetensors   weights at the end, as they are sampled from: generator.layers.0.weight
start/weights.safetensors weights of another run that it started from: `ganzoo run --from`
priors/<prior>.safetensors priors fitted to the codes of real samples, where the loss knows codes
pictures/<name>.png     of those codes: reconstructions, lines from one to another, fitted priors
evaluation.json         values of the metrics at the end and on the way
measures/<how>.json     values that comparisons measured
status.json             state, iteration, seconds, steps by phase
traceback.txt           of a run that failed by an error in some component
<file>.broken           a file that was found to be damaged, renamed so that nothing reads it
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from ganzoo.errors import UserError
from ganzoo.records import Count, write_text
from ganzoo.unfinished import beside, new_folder, remove_all


class KnownData(TypedDict):
    """See `ganzoo.data.DataDescription`."""

    training_samples: Count
    held_out_samples: Count
    class_shares: tuple[float, ...] | None
    digest: str
    source: str
    class_names: NotRequired[tuple[str, ...]]


class Plan(TypedDict):
    """How long a run was to be: see `ganzoo.plans`."""

    fingerprint: str
    """Of the recipe with that length."""
    iterations: Count


class Parent(TypedDict):
    """The run whose weights another one started from."""

    path: str
    fingerprint: str
    """Of its recipe."""
    iteration: Count
    """After which iteration it had those weights."""


@with_config(ConfigDict(extra="allow"))
class Environment(TypedDict):
    """What others read of environment.json."""

    fingerprint: str
    """Of the recipe."""
    earlier: NotRequired[list[Plan]]
    """What a run that was made longer was to be before, the shortest first."""
    parent: NotRequired[Parent]
    """Where a run started from the weights of another one."""
    data: KnownData
    plugins: dict[str, str]
    """Versions by distribution."""
    torch: str
    choices: dict[str, str]
    """Device, precision, memory format and number of threads."""


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

    def source(self, component: str) -> Path:
        """Source of a component, `loss-mine`, that no plugin offers."""
        return self.path / "sources" / f"{component}.py"

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

    @property
    def start(self) -> Path:
        """The weights of another run that this one started from."""
        return self.path / "start" / "weights.safetensors"

    def prior(self, name: str) -> Path:
        """State of a fitted prior."""
        return self.path / "priors" / f"{name}.safetensors"

    def made_at_the_end(self) -> list[Path]:
        """Weights, priors, pictures and values of metrics, which a longer run makes anew."""
        patterns = ("*.safetensors", "priors/*", "pictures/*", "measures/*", "evaluation.json")
        found = (path for pattern in patterns for path in self.path.glob(pattern))
        return sorted(filter(Path.is_file, found))


FOLDERS = ("samples", "checkpoints", "snapshots", "pictures")
"""Folders that a run has from its start."""


def create_run_folder(
    runs: Path,
    name: str,
    identity: str | None = None,
    *,
    recipe: str | None = None,
    fill: Callable[[RunFolder], None] = lambda folder: None,
) -> RunFolder:
    """Make `runs/name/identity`; by default the identity is the time and six random digits.

    The folder appears with `recipe` as its recipe.toml and what `fill` writes, or not at all. One
    that holds nothing but empty folders is taken up. Raises `UserError` if there is such a run
    already or if none can be made there.
    """
    identity = identity or f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", identity):
        raise UserError(
            f"'{identity}' cannot name a run", hint="letters, digits, '.', '_' and '-' can"
        )
    path = runs / name / identity
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as new, new_folder(new):
            for folder in FOLDERS:
                (new / folder).mkdir()
            if recipe is not None:
                write_text(new / "recipe.toml", recipe)
            fill(RunFolder(new))
            inside = [*path.iterdir()] if path.is_dir() else []
            if all(each.is_dir() and not any(each.iterdir()) for each in inside):
                for empty in inside:
                    empty.rmdir()
            new.rename(path)  # fails where there is anything but an empty folder
    except OSError as error:
        if os.path.exists(path):
            raise UserError(
                f"the run folder {path} exists already",
                hint=f"`ganzoo resume {path}` continues it; another --id starts a new one",
            ) from None
        raise UserError(f"no run folder can be made at {path}: {error.strerror}") from error
    return RunFolder(path)


def find_run_folder(path: str | Path) -> RunFolder:
    """The run in a folder. Raises `UserError` if the folder holds none."""
    folder = RunFolder(Path(path))
    if not os.path.isdir(folder.path):  # False where a name is too long to be looked up
        raise UserError(f"{path} is not a folder", hint="give the folder that `ganzoo run` printed")
    if not folder.recipe.is_file():
        found = sorted(folder.path.glob("**/recipe.toml"), key=lambda file: file.stat().st_mtime)
        inside = [file.parent for file in found if not file.parent.name.startswith(".")]
        hint = (
            f"the newest run below it is {inside[-1]}"
            if inside
            else "a run folder holds a recipe.toml"
        )
        raise UserError(f"{path} is no run folder: it has no recipe.toml", hint=hint)
    return folder


def remove_unfinished(folder: RunFolder) -> None:
    """Remove what a killed process was in the middle of writing."""
    remove_all(folder.path)
