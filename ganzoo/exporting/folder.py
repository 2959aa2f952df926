"""A folder that the Hugging Face hub takes as it is, and that is itself a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from ganzoo import records, runs
from ganzoo.engine.checkpoints import copy_weights
from ganzoo.errors import UserError
from ganzoo.exporting.card import card, read_comparison
from ganzoo.pictures import has_picture, write_samples
from ganzoo.plans import written_tables
from ganzoo.run import Run
from ganzoo.runs import RunFolder
from ganzoo.unfinished import beside, new_folder

SHOWN = 64
"""Samples in the picture."""


def export_folder(run: Run, out: Path, *, license: str, comparison: Path | None) -> None:
    """Write all that the run is sampled from, with a model card and a picture of samples.

    Raises `UserError` for a run that is not done, unless a snapshot of it is meant, and for a
    folder that holds anything; `RunError` where a file of the run is missing or damaged.
    """
    check_empty(out)
    at_end = run.iteration in (None, run.status.get("iteration")) and is_done(run)
    if not at_end and run.iteration is None:
        raise UserError(
            f"{run.path} is {run.status.get('state', 'not begun')}, so its weights may change",
            hint=f"`ganzoo resume {run.path}` finishes it; a snapshot of it can be exported, "
            "such as RUN@4000",
        )
    document = None if comparison is None else read_comparison(comparison)
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as new, new_folder(new):
        folder = RunFolder(new)
        copy_weights(run.folder, run.recipe, None if at_end else run.iteration, folder)
        records.write_json(folder.environment, public_environment(run.folder))
        records.write_json(folder.status, dict(run.status) if at_end else status_of_snapshot(run))
        measures = run.evaluation if at_end else measures_at(run)
        if measures:
            records.write_json(folder.evaluation, measures)
        last = run.recipe.train.iterations if run.iteration is None else run.iteration
        for row in records.read_rows(run.folder.warnings):
            if row["iteration"] <= last:
                records.append_row(folder.warnings, row)
        exported = Run(folder, run.recipe)
        picture = draw(exported, new / "samples.png")
        text = card(exported, license=license, picture=picture, comparison=document)
        records.write_text(new / "README.md", text)
        # Last, as what fails in a folder with a recipe is called a run that can be resumed.
        records.write_text(folder.recipe, tomli_w.dumps(without_snapshots(run.folder)))
        new.rename(out)


def check_empty(out: Path) -> None:
    """Raise `UserError` for a place where there is something."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        what = "is not empty" if out.is_dir() else "is there, and no folder"
        raise UserError(f"{out} {what}", hint="take a new folder")


def is_done(run: Run) -> bool:
    """Whether its weights will stay as they are."""
    return run.status.get("state") == "done"


def without_snapshots(folder: RunFolder) -> dict[str, Any]:
    """The tables of a run's recipe.toml, for a folder that holds the weights of one iteration.

    How many snapshots are kept decides no weights, and commands look for those it says there are.
    """
    tables = written_tables(folder)
    return {**tables, "evaluate": {**tables.get("evaluate", {}), "snapshots": 0}}


def public_environment(folder: RunFolder) -> dict[str, Any]:
    """The run's environment.json without the folders of the machine that it was made on, and
    without the lengths that it had before, of which nothing is exported."""
    environment: dict[str, Any] = records.read_json(folder.environment, runs.Environment)
    environment.pop("earlier", None)
    files: Mapping[str, str] = environment.get("plugin_files", {})
    return {
        **environment,
        "data": {**environment["data"], "source": ""},
        "plugin_files": {name: Path(path).name for name, path in files.items()},
    }


def status_of_snapshot(run: Run) -> dict[str, Any]:
    """A status that is not `done`: no command takes such weights for those of the end."""
    last = run.recipe.train.iterations
    message = f"exported at iteration {run.iteration} of {last}"
    return {
        "state": "interrupted",
        "message": message,
        "iteration": run.iteration,
        "iterations": last,
    }


def measures_at(run: Run) -> dict[str, Any]:
    """What of the run's evaluation.json is of its snapshot; nothing where it was not measured."""
    measures = run.evaluation
    rows = [row for row in measures.get("history", []) if row["iteration"] == run.iteration]
    if not rows:
        return {}
    # The best on the way and the values of other priors are of other weights.
    return {
        **measures,
        **rows[0],
        "history": rows,
        "best": {},
        "collapse": [],
        "other_priors": {},
    }


def draw(run: Run, path: Path) -> bool:
    """Draw samples as one picture, if samples of their shape have one."""
    shape = run.recipe.data.spec.sample_shape
    if not (has_picture(shape) if len(shape) == 3 else shape[0] <= 2):
        return False
    write_samples(run.sample(SHOWN if len(shape) == 3 else 32 * SHOWN), path)
    return True
