"""Everything that a run leaves behind: statistics, pictures, checkpoints, weights, status."""

from __future__ import annotations

import math
from typing import Any

import torch
from PIL import Image

from ganzoo.engine.backend import peak_memory
from ganzoo.engine.checkpoints import save_checkpoint, save_snapshot, save_weights
from ganzoo.engine.codes import finish_codes
from ganzoo.engine.environment import environment
from ganzoo.engine.networks import evaluating
from ganzoo.engine.pictures import density_plot, image_grid, point_plot, save_animation, save_png
from ganzoo.engine.ranks import Ranks
from ganzoo.engine.session import Session
from ganzoo.errors import RunError
from ganzoo.plugins import Plugins
from ganzoo.protocols import RunInfo
from ganzoo.recipe import Recipe
from ganzoo.runs import (
    RunFolder,
    append_row,
    cut_rows,
    read_json,
    remove_unfinished,
    write_json,
    write_text,
)

POINTS_PER_SAMPLE = 32
"""A picture of points shows this many times as many samples as one of images."""


class Progress:
    """What is shown of a run while it goes on; this one shows nothing."""

    def started(self, recipe: Recipe, folder: RunFolder, session: Session) -> None:
        """The run begins, or goes on."""

    def advanced(self, session: Session) -> None:
        """An iteration is complete."""

    def logged(self, session: Session, statistics: dict[str, float]) -> None:
        """Statistics were read."""

    def warn(self, text: str) -> None:
        """Something is not as it should be, but the run goes on."""

    def ended(self) -> None:
        """The run is over, in whatever way."""


class Recorder:
    """Writes a run's files and tells plugins and the progress display; only rank 0 does."""

    def __init__(
        self, recipe: Recipe, folder: RunFolder, plugins: Plugins, progress: Progress, ranks: Ranks
    ) -> None:
        self.recipe, self.folder, self.progress = recipe, folder, progress
        self._plugins, self._ranks = plugins, ranks
        self._info = RunInfo(folder.path, recipe.name, recipe.tables(), 0)
        self._status: dict[str, Any] = read_json(folder.status)
        self._previous = (0, 0.0)

    def start(self, session: Session) -> None:
        """The run begins, or goes on from the session's iteration."""
        if not self._ranks.first:
            return
        if session.iteration == 0 or not self.folder.environment.exists():
            write_json(
                self.folder.environment,
                environment(self.recipe, session.backend, self._ranks.size),
            )
        remove_unfinished(self.folder)
        probes = [self.folder.probe(probe.type) for probe in session.probes]
        for rows in (self.folder.metrics, self.folder.timing, *probes):
            cut_rows(rows, session.iteration)
        self._info = RunInfo(
            self.folder.path, self.recipe.name, self.recipe.tables(), session.iteration
        )
        self._previous = (session.iteration, session.seconds)
        self._notify("ganzoo_run_started")
        self.progress.started(self.recipe, self.folder, session)
        self._write_status(session, "running")
        if session.iteration == 0:
            self._draw(session)

    def advanced(self, session: Session) -> None:
        """An iteration is complete."""
        self.progress.advanced(session)

    def probe(self, session: Session) -> None:
        """Write down what the probes saw in the iteration, if any looked."""
        for looking in session.probes:
            if not looking.due(session.iteration) or not self._ranks.first:
                continue
            figures = looking.probe.compute()
            row = {"iteration": session.iteration, "figures": dict(figures)}
            append_row(self.folder.probe(looking.type), row)
            if (picture := looking.probe.draw()) is not None:
                save_png(picture, self.folder.frame(looking.type, session.iteration))

    def log(self, session: Session) -> None:
        """Read the statistics from the device, write them down, draw a picture."""
        statistics = session.statistics.read(self._ranks)
        for name, value in statistics.items():
            if not math.isfinite(value):
                raise self._diverged(f"{name} became {value}", session)
        if not self._ranks.first:
            return
        iteration, images = session.iteration, session.images
        row = {"iteration": iteration, "images": images, "statistics": statistics}
        append_row(self.folder.metrics, row)
        rate = self._rate(session)
        append_row(
            self.folder.timing,
            {
                "iteration": iteration,
                "seconds": round(session.seconds, 3),
                "iterations_per_second": round(rate, 3),
            },
        )
        self._notify(
            "ganzoo_statistics_logged", iteration=iteration, images=images, statistics=statistics
        )
        self._draw(session)
        self._write_status(session, "running")
        self.progress.logged(session, statistics)

    def checkpoint(self, session: Session) -> None:
        """Save the state, unless it holds numbers that are not finite."""
        for slot, module in session.modules.items():
            # host sync: a checkpoint copies everything from the device anyway
            if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
                raise self._diverged(f"weights of the {slot} are not finite", session)
        state = session.state_dict()
        if self._ranks.first:
            path = save_checkpoint(self.folder, state, self.recipe.checkpoint.keep)
            self._write_status(session, "running")
            self._notify("ganzoo_checkpoint_written", iteration=session.iteration, checkpoint=path)

    def snapshot(self, session: Session) -> None:
        """Keep the weights, to be measured when the run is done."""
        if self._ranks.first:
            save_snapshot(
                self.folder, session.iteration, {**session.modules, "generator": session.sampler}
            )

    def finish(self, session: Session) -> None:
        """Write the weights: the run is done."""
        if not self._ranks.first:
            return
        for slot, module in session.modules.items():
            save_weights(self.folder, slot, session.sampler if slot == "generator" else module)
        for looking in session.probes:
            save_animation(self.folder.frames(looking.type), self.folder.animation(looking.type))
        if "codes" in self.recipe.loss.spec.provides:
            finish_codes(session, self.folder)
        self._write_status(session, "done")
        self._status["peak_memory_mb"] = peak_memory(session.backend.device)
        self.end("done")

    def end(self, state: str, message: str | None = None, traceback: str | None = None) -> None:
        """Note how the run ended; also called where it failed before it began."""
        if not self._ranks.first:
            return
        self.progress.ended()
        self._status["state"] = state
        if message:
            self._status["message"] = message
        try:
            if traceback:
                write_text(self.folder.traceback, traceback)
            write_json(self.folder.status, self._status)
        except RunError as error:
            # A full disk must not hide the reason for which the run ended.
            self.progress.warn(error.message)
        iteration = int(self._status.get("iteration", 0))
        self._notify("ganzoo_run_finished", iteration=iteration, state=state)

    def _write_status(self, session: Session, state: str) -> None:
        self._status = {
            "state": state,
            "iteration": session.iteration,
            "iterations": self.recipe.train.iterations,
            "images": session.images,
            "steps": dict(session.steps),
            "seconds": round(session.seconds, 3),
        }
        write_json(self.folder.status, self._status)

    def _rate(self, session: Session) -> float:
        """Iterations per second since the last call."""
        iteration, seconds = self._previous
        self._previous = (session.iteration, session.seconds)
        return (session.iteration - iteration) / max(session.seconds - seconds, 1e-9)

    def _draw(self, session: Session) -> None:
        """A picture of samples from the fixed latents, for shapes that can be drawn."""
        picture = draw(session, self.recipe.log.samples)
        if picture is not None:
            path = self.folder.samples(session.iteration)
            save_png(picture, path)
            self._notify("ganzoo_samples_drawn", iteration=session.iteration, picture=path)

    def _notify(self, hook: str, **arguments: Any) -> None:
        self._plugins.notify(hook, run=self._info, **arguments)

    def _diverged(self, what: str, session: Session) -> RunError:
        newest = self.folder.checkpoints()
        kept = f"; {newest[0]} is sound" if newest else ""
        return RunError(
            f"{what} at or before iteration {session.iteration}{kept}",
            hint="a lower learning rate, a gradient penalty or engine.precision=float32 may help",
        )


def draw(session: Session, count: int) -> Image.Image | None:
    """A picture of samples from fixed latents, or None for points in three or more dimensions."""
    shape = session.batch.x.shape[1:]
    if len(shape) == 3:
        return image_grid(session.sample_fixed(count))
    samples = session.sample_fixed(count * POINTS_PER_SAMPLE)
    if shape[0] == 1:
        discriminator = session.networks.get("discriminator")
        if discriminator is None:
            return density_plot(samples, session.data)
        with evaluating(discriminator), torch.no_grad():
            return density_plot(samples, session.data, discriminator)
    return point_plot(samples, session.data) if shape[0] == 2 else None
