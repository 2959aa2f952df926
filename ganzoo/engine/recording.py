"""The listeners that write a run's files, and the one that calls plugins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganzoo.engine.backend import peak_memory
from ganzoo.engine.checkpoints import save_checkpoint, save_snapshot, save_weights
from ganzoo.engine.codes import finish_codes
from ganzoo.engine.environment import environment, provenance
from ganzoo.engine.events import Events, Listener
from ganzoo.engine.health import Health
from ganzoo.engine.networks import evaluating
from ganzoo.engine.session import Session
from ganzoo.engine.start import read_start
from ganzoo.errors import RunError
from ganzoo.pictures import has_picture, image_grid, point_plot, save_animation, save_png
from ganzoo.plugins import Plugins
from ganzoo.protocols import RunInfo
from ganzoo.recipe import Recipe
from ganzoo.records import append_row, cut_rows, read_json, write_json, write_text
from ganzoo.runs import RunFolder, remove_unfinished
from ganzoo.status import Status as RunStatus
from ganzoo.streams import warn

POINTS_PER_SAMPLE = 32
"""A picture of points shows this many times as many samples as one of images."""


def recording(recipe: Recipe, folder: RunFolder, plugins: Plugins, progress: Listener) -> Events:
    """All that listens to a run: its files, the plugins and the display, in the order in which
    they need each other."""
    events = Events([])
    status = Status(recipe, folder, events)
    events.listeners = (
        Rows(folder),
        Health(folder, events),
        Weights(recipe, folder, events),
        status,
        PluginHooks(recipe, folder, plugins, status),
        Pictures(recipe, folder, events),
        progress,
    )
    return events


class Rows(Listener):
    """What the run is made with, and what is logged: statistics, times, values of probes."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._previous = (0, 0.0)

    def started(self, session: Session, folder: RunFolder) -> None:
        """What the run is made with; what a run resumed here will write again is dropped."""
        if session.iteration == 0 or not folder.environment.exists():
            description, size = session.parts.description, session.group.size
            made_with = environment(session.recipe, session.backend, description, size)
            plans = {"earlier": session.earlier} if session.earlier else {}
            start = read_start(folder)
            parent = {} if start is None else {"parent": start[1]}
            own = {"fingerprint": session.fingerprint, **plans, **parent}
            write_json(folder.environment, {**made_with, **own})
        remove_unfinished(folder)
        probes = [folder.probe(each.type) for each in session.probes]
        for rows in (folder.statistics, folder.timing, folder.warnings, *probes):
            cut_rows(rows, session.iteration)
        self._previous = (session.iteration, session.counters.seconds)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """A row in each of the two."""
        iteration, seconds = session.iteration, session.counters.seconds
        row = {"iteration": iteration, "images": session.images, "statistics": dict(statistics)}
        append_row(self.folder.statistics, row)
        before, then = self._previous
        self._previous = (iteration, seconds)
        rate = (iteration - before) / max(seconds - then, 1e-9)
        timing = {"seconds": round(seconds, 3), "iterations_per_second": round(rate, 3)}
        append_row(self.folder.timing, {"iteration": iteration, **timing})

    def advanced(self, session: Session) -> None:
        """A row and a picture of each probe that has measured."""
        for each in session.probes:
            if each.due(session.iteration):
                row = {"iteration": session.iteration, "values": dict(each.probe.compute())}
                append_row(self.folder.probe(each.type), row)
                if (picture := each.probe.draw()) is not None:
                    save_png(picture, self.folder.frame(each.type, session.iteration))

    def finished(self, session: Session) -> None:
        """All pictures of a probe as one animation."""
        for each in session.probes:
            save_animation(self.folder.frames(each.type), self.folder.animation(each.type))


class Weights(Listener):
    """Checkpoints, snapshots, the weights at the end, and what is made of codes."""

    def __init__(self, recipe: Recipe, folder: RunFolder, events: Events) -> None:
        self.recipe, self.folder, self.events = recipe, folder, events
        self._notes: Mapping[str, str] = {}

    def started(self, session: Session, folder: RunFolder) -> None:
        """What the files of weights will say of the run."""
        self._notes = provenance(self.recipe, folder, session.fingerprint)

    def saving(self, session: Session, state: Mapping[str, Any]) -> None:
        """Write a checkpoint."""
        path = save_checkpoint(self.folder, state, self.recipe.checkpoint.keep)
        self.events.emit("saved", session, path)

    def kept(self, session: Session) -> None:
        """Write a snapshot."""
        modules = {**session.parts.modules, **session.sampled_networks()}
        save_snapshot(self.folder, session.iteration, modules, self._notes)

    def finished(self, session: Session) -> None:
        """Write the weights that are sampled from, and fit priors to codes where there are any."""
        for name, module in {**session.parts.modules, **session.sampled_networks()}.items():
            save_weights(self.folder, name, module, self._notes)
        if "codes" in self.recipe.loss.spec.capabilities:
            finish_codes(session, self.folder, self._notes)


class Pictures(Listener):
    """Pictures of samples from latents that stay the same."""

    def __init__(self, recipe: Recipe, folder: RunFolder, events: Events) -> None:
        self.count, self.folder, self.events = recipe.log.samples, folder, events

    def started(self, session: Session, folder: RunFolder) -> None:
        """The first picture of a new run."""
        if session.iteration == 0:
            self._draw(session)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """One more."""
        self._draw(session)

    def _draw(self, session: Session) -> None:
        points = len(session.batches.batch.x.shape) == 2
        samples, labels = session.sample_fixed(self.count * (POINTS_PER_SAMPLE if points else 1))
        self.events.emit("sampled", session, samples, labels)
        picture = draw(session, samples, labels)
        if picture is not None:
            path = self.folder.samples(session.iteration)
            save_png(picture, path)
            self.events.emit("drew", session, path)


def draw(session: Session, samples: Tensor, labels: Tensor | None) -> Image.Image | None:
    """A picture of samples `(N, *sample_shape)`; None of points in three or more dimensions, and
    of images with channels that have no colours.

    Images of a conditional run stand in rows of one class.
    """
    shape = tuple(samples.shape[1:])
    if has_picture(shape):
        columns = None if labels is None else int((labels == labels[0]).sum())
        return image_grid(samples, columns)
    if len(shape) == 3 or shape[0] > 2:
        return None
    discriminator = session.parts.networks.get("discriminator")
    view = session.parts.plain_view
    plain = "discriminator" not in view.conditional and view.pack == 1
    if shape[0] == 2 or discriminator is None or not plain:
        return point_plot(samples, session.data)
    with evaluating(discriminator):
        return point_plot(samples, session.data, discriminator)


class Status(Listener):
    """`status.json`, and the traceback of a run that failed."""

    def __init__(self, recipe: Recipe, folder: RunFolder, events: Events) -> None:
        self.recipe, self.folder, self.events = recipe, folder, events
        self._status: dict[str, Any] = {**read_json(folder.status, RunStatus)}
        self._warnings: list[str] = self._status.get("warnings", [])

    def started(self, session: Session, folder: RunFolder) -> None:
        """The run is under way."""
        self._write(session)

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """How far it is."""
        self._write(session)

    def saved(self, session: Session, checkpoint: Path) -> None:
        """The same."""
        self._write(session)

    def warned(self, text: str) -> None:
        """What somebody may not have seen; written with the next event."""
        self._warnings.append(text)

    def finished(self, session: Session) -> None:
        """How far it came, and what it took."""
        self._write(session)
        self._status["peak_memory_mb"] = peak_memory(session.backend.device)

    def ended(self, state: str, message: str | None, traceback: str | None) -> None:
        """How it ended; also where it failed before it began."""
        self._status["state"] = state
        if message:
            self._status["message"] = message
        self._keep_warnings()
        try:
            if traceback:
                write_text(self.folder.traceback, traceback)
            write_json(self.folder.status, self._status)
        except RunError as error:
            # A full disk must not hide the reason for which the run ended.
            self.events.emit("warned", error.message)

    def _write(self, session: Session) -> None:
        self._status = {
            "state": "running",
            "iteration": session.iteration,
            "iterations": self.recipe.train.iterations,
            "images": session.images,
            "steps": dict(session.counters.steps),
            "seconds": round(session.counters.seconds, 3),
        }
        self._keep_warnings()
        write_json(self.folder.status, self._status)

    def _keep_warnings(self) -> None:
        if self._warnings:
            self._status["warnings"] = self._warnings


class PluginHooks(Listener):
    """Calls the lifecycle hooks of all plugins, and those of the recipe's listeners."""

    def __init__(self, recipe: Recipe, folder: RunFolder, plugins: Plugins, status: Status) -> None:
        self.recipe, self.folder, self.plugins, self.status = recipe, folder, plugins, status
        self._run = RunInfo(folder.path, recipe.name, recipe.tables(), 0)
        self._iteration = 0

    def started(self, session: Session, folder: RunFolder) -> None:
        """`ganzoo_run_started`."""
        start = self._iteration = session.iteration
        self._run = RunInfo(folder.path, self.recipe.name, self.recipe.tables(), start)
        self._call("ganzoo_run_started")

    def logged(self, session: Session, statistics: Mapping[str, float]) -> None:
        """`ganzoo_statistics_logged`."""
        self._iteration = session.iteration
        self._call(
            "ganzoo_statistics_logged",
            iteration=session.iteration,
            images=session.images,
            statistics=statistics,
        )

    def drew(self, session: Session, picture: Path) -> None:
        """`ganzoo_samples_drawn`."""
        self._call("ganzoo_samples_drawn", iteration=session.iteration, picture=picture)

    def saved(self, session: Session, checkpoint: Path) -> None:
        """`ganzoo_checkpoint_written`."""
        self._iteration = session.iteration
        self._call("ganzoo_checkpoint_written", iteration=session.iteration, checkpoint=checkpoint)

    def ended(self, state: str, message: str | None, traceback: str | None) -> None:
        """`ganzoo_run_finished`."""
        self._call("ganzoo_run_finished", iteration=self._iteration, state=state)

    def _call(self, hook: str, **arguments: Any) -> None:
        self.plugins.notify(hook, self._tell, run=self._run, **arguments)

    def _tell(self, text: str) -> None:
        """Print a warning, with or without a display, and keep it."""
        warn(text)
        self.status.warned(text)
