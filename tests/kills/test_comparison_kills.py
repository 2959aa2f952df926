"""Comparisons that are killed in every stage, and repeated, give an undisturbed one's figures."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
from killing import COMMON, VAE, Process, Several, Tally, prepare, share, torment
from remains import content, remains
from tiny import tiny

from ganzoo import local
from ganzoo.runs import RunFolder
from ganzoo.status import read_status

pytestmark = [pytest.mark.kills, pytest.mark.timeout(3600)]

COMMAND = [sys.executable, "-m", "ganzoo"]
PAUSE = """
import os, time
from pathlib import Path
from ganzoo import runs
from ganzoo.api import hookimpl

write_text = records.write_text

def pausing(path, text):
    if path.name == "recipe.toml" and "PAUSE" in os.environ:
        Path("paused").touch()
        time.sleep(600)
    write_text(path, text)

records.write_text = pausing

@hookimpl
def ganzoo_losses():
    return []
"""
"""A plugin that stops for good between making the folder of a run and writing its recipe."""

STAGES = ("making", "training", "measuring", "training", "measuring", "reporting", "anywhere")
"""When a comparison is killed, one after the other."""


def stage_reached(stage: str, folder: Path) -> bool:
    """Whether a comparison of two recipes has come so far, and no further."""
    runs = [RunFolder(path.parent) for path in folder.glob("runs/*/*/status.json")]
    measured = list(folder.glob("runs/*/*/measures/*.json"))
    if stage == "making":
        return (folder / "paused").exists()
    if stage == "training":
        return any(read_status(run).get("state") == "running" for run in runs)
    if stage == "measuring":
        done = [run for run in runs if read_status(run).get("state") == "done"]
        return len(done) > len(measured)
    return len(measured) == 2 and not (folder / "comparison" / "comparison.json").exists()


def remains_of_comparison(folder: Path) -> dict[str, object]:
    """Both runs, the figures, and which files there are.

    A run that was trained when the comparison was killed, but not measured by its own recipe, is
    measured by the comparison alone; `ganzoo resume` does the rest.
    """
    found: dict[str, object] = {}
    for run in folder.glob("runs/*/*"):
        place = run.relative_to(folder)
        files = remains(RunFolder(run))
        files.pop("evaluation.json", None)
        found |= {f"{place}/{name}": each for name, each in files.items()}
    found["comparison.json"] = content(folder / "comparison" / "comparison.json")
    return found | {path.name: "" for path in (folder / "comparison").iterdir()} | found


@pytest.mark.parametrize("kind", ["comparison"])
def test_comparison(kind: str, tally: Tally, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(tiny(**COMMON))
    (tmp_path / "vae.toml").write_text(tiny(**{**COMMON, **VAE, "name": '"vae"'}))
    (tmp_path / "pause.py").write_text(PAUSE)
    variables = {local.VARIABLE: str(tmp_path / "pause.py")}
    command = [*COMMAND, "compare", "recipe.toml", "vae.toml"]
    whole = tmp_path / "whole"
    prepare(whole)
    began = time.monotonic()
    process = Several(whole, command, variables)
    assert process.wait(None)
    seconds = time.monotonic() - began
    process.end()
    expected = remains_of_comparison(whole)
    assert {"report.html", "comparison.md"} <= set(expected)
    moments, kills = random.Random(kind), iter(range(10**6))
    stage = ""

    def start(folder: Path) -> Process:
        nonlocal stage
        stage = STAGES[next(kills) % len(STAGES)]
        (folder / "paused").unlink(missing_ok=True)
        pause = {"PAUSE": "1"} if stage == "making" and tally.kills < share(kind) else {}
        return Several(folder, command, {**variables, **pause})

    def moment(process: Process, folder: Path) -> bool:
        assert isinstance(process, Several)
        if stage == "anywhere":
            return not process.wait(moments.uniform(0, seconds))
        reached = process.wait_for(lambda: stage_reached(stage, folder))
        return reached and not process.wait(moments.uniform(0, 0.7))

    torment(tally, tmp_path, start, moment, remains_of_comparison, expected)
