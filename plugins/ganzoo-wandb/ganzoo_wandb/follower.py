"""The listener: a run of ganzoo as one run on Weights & Biases."""

from __future__ import annotations

import json
import re
import secrets
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganzoo.api import RunInfo, UserError, hookimpl

if TYPE_CHECKING:
    from wandb import Run

FINISH_SECONDS = 60.0
"""How long the end of a run waits for the upload; `wandb sync` sends what is left."""


class Follower:
    """Follows one run.

    Rows are logged over a column `iteration` and not by W&B's own step, which cannot go back: what
    a resumed run computes again from an older checkpoint is there twice, with the same values.
    Nothing is logged of a run that could not be started on W&B.
    """

    def __init__(
        self,
        *,
        project: str,
        entity: str | None = None,
        mode: Literal["online", "offline"] | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self.project, self.entity, self.mode = project, entity, mode
        self.group, self.tags = group, tuple(tags)
        self._tried = False
        self._run: Run | None = None

    @hookimpl
    def ganzoo_run_started(self, run: RunInfo) -> None:
        """Begin the W&B run, or continue it."""
        self._open(run)

    @hookimpl
    def ganzoo_statistics_logged(
        self, iteration: int, images: int, statistics: Mapping[str, float]
    ) -> None:
        """A row of all statistics, under their names."""
        if self._run is not None:
            self._run.log({**statistics, "images": images, "iteration": iteration})

    @hookimpl
    def ganzoo_samples_drawn(self, iteration: int, picture: Path) -> None:
        """The picture."""
        if self._run is not None:
            import wandb

            self._run.log({"samples": wandb.Image(str(picture)), "iteration": iteration})

    @hookimpl
    def ganzoo_run_finished(self, run: RunInfo, state: str) -> None:
        """Say how the run ended. One that is still to be measured stays open until then."""
        if self._run is None:
            return
        self._run.summary["state"] = state
        if state != "done" or not run.recipe.get("metrics"):
            self._close(exit_code=0 if state == "done" else 1)

    @hookimpl
    def ganzoo_evaluated(self, run: RunInfo, values: Mapping[str, float]) -> None:
        """Put the values of the metrics into the summary; also of a run that is measured later."""
        if not self._tried:
            self._open(run)
        if self._run is not None:
            self._run.summary.update({**values, "state": "done"})
            self._close(exit_code=0)

    def _open(self, run: RunInfo) -> None:
        """Begin or continue the W&B run. Raises `UserError` as `_mode` does."""
        import wandb

        self._tried = True
        self._run = wandb.init(
            id=run_id(run.folder),
            resume="allow",
            reinit="create_new",  # whatever else this process does on W&B is left alone
            dir=str(run.folder.absolute()),  # its process may work in another folder
            mode=_mode(self.mode),
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            name=f"{run.name}/{run.folder.name}",
            config=configuration(run),
            allow_val_change=True,  # a run may be made longer, or continue on another device
            # Console: wandb would replace the streams on which progress is shown.
            settings=wandb.Settings(console="off", quiet=True, finish_timeout=FINISH_SECONDS),
        )
        # One that is not measured to its end is closed with the listener.
        self._abandoned = weakref.finalize(self, self._run.finish, exit_code=1)
        self._abandoned.atexit = False  # wandb's own hook does it
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def _close(self, *, exit_code: int) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            self._abandoned.detach()
            run.finish(exit_code=exit_code)


def run_id(folder: Path) -> str:
    """The id of a run's W&B run, from the file `wandb/run-id` of its folder.

    It is drawn where there is none yet, not with a generator that a seed has a say in.
    """
    file = folder / "wandb" / "run-id"
    if file.is_file() and re.fullmatch(r"[a-z0-9]+", kept := file.read_text("utf-8").strip()):
        return kept
    new = secrets.token_hex(6)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{new}\n", encoding="utf-8")
    return new


def configuration(run: RunInfo) -> dict[str, Any]:
    """The resolved recipe, without its listeners; environment.json and the folder of the run."""
    recipe = {name: table for name, table in run.recipe.items() if name != "listeners"}
    file = run.folder / "environment.json"
    environment = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return {**recipe, "environment": environment, "folder": str(run.folder.absolute())}


def _mode(wanted: Literal["online", "offline"] | None) -> Literal["online", "offline"] | None:
    """The mode of a run, or None for that of wandb's own settings; nothing is asked on a terminal.

    A run is offline where the server cannot be reached or does not know the key: wandb could not
    begin it a second time once that has failed. Raises `UserError` where nobody is logged in and
    the run is to be online.
    """
    import wandb

    if (wanted or wandb.setup().settings.mode) != "online":
        return wanted
    try:
        # A run that is under way shows that somebody is logged in, and then `login` does nothing.
        if wandb.run is not None or wandb.login(prompt=False):
            return "online"
    except wandb.Error as error:
        wandb.termwarn(f"The run is kept offline: {error}")
        return "offline"
    if wanted == "online":
        raise UserError(
            "nobody is logged in to W&B", hint='`wandb login`, or mode = "offline" in the recipe'
        )
    wandb.termlog("Nobody is logged in (`wandb login`): the run is kept offline.")
    return "offline"
