"""What a comparison was asked for, and whether a folder holds the answer to something else."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from ganzoo import local
from ganzoo.comparison.budget import Budget
from ganzoo.errors import UserError
from ganzoo.evaluation.document import RequestEntry
from ganzoo.records import read_json


@with_config(ConfigDict(extra="allow"))
class Kept(TypedDict):
    """What is read of a comparison.json that is there already, of whatever version."""

    command: str
    request: NotRequired[RequestEntry]


@dataclass(frozen=True)
class Request:
    """What a comparison was asked for."""

    targets: tuple[str, ...]
    """As they were given."""
    meant: tuple[str, ...]
    """The same without names that mean another run tomorrow: recipes, and folders of runs."""
    overrides: tuple[str, ...]
    seeds: int | None
    budget: Budget | None

    def entry(self) -> RequestEntry:
        """As comparison.json has it."""
        return {
            "targets": list(self.meant),
            "overrides": list(self.overrides),
            "seeds": self.seeds,
            "budget": None if self.budget is None else self.budget.option,
        }

    def command(self, out: Path, runs: Path, launcher: str) -> str:
        """The command line that repeats the comparison."""
        return self.command_of(["compare", *self.targets, *self.overrides], out, runs, launcher)

    def command_of(self, words: Sequence[str], out: Path, runs: Path, launcher: str) -> str:
        """The command line of `words`, a command and its own arguments, with the options that
        commands of many runs share."""
        words = ["ganzoo", *words]
        if self.seeds is not None:
            words += ["--seeds", str(self.seeds)]
        if self.budget is not None:
            words += ["--budget", self.budget.option]
        if launcher != "local":
            words += ["--launcher", launcher]
        for plugin in local.named():
            words += ["--plugin", str(plugin.path)]
        return shlex.join([*words, "--runs", str(runs), "--out", str(out)])

    def includes(self, before: RequestEntry) -> bool:
        """Whether all that was asked for before is asked for again: the same, further targets or
        further seeds, under the same conditions."""
        now = self.entry()
        if any(now[key] != before[key] for key in ("overrides", "budget")):
            return False
        if now["seeds"] is None or before["seeds"] is None:
            further = now["seeds"] == before["seeds"]
        else:
            further = now["seeds"] >= before["seeds"]
        return further and set(before["targets"]) <= set(now["targets"])


def check_folder(out: Path, request: Request) -> None:
    """Raise `UserError` where a folder holds a comparison that the new one would replace.

    One that asks for the same again, or for more, takes its place. Raises `RunError` where the
    comparison.json that is there is damaged.
    """
    kept: Kept = read_json(out / "comparison.json", Kept)
    if not kept or ("request" in kept and request.includes(kept["request"])):
        return
    what = "another comparison" if "request" in kept else "a comparison by an earlier version"
    raise UserError(
        f"{out} holds {what}: {kept['command']}",
        hint="--out names another folder; --replace gives up the one that is there",
    )
