"""The training loop.

    batch ──► for each group of phases: forward, backward, step ──► average ──► log, save

Which phases an iteration has is the schedule's business, what they minimise the loss's, and
what the networks are is the recipe's. Nothing here asks whether this is a GAN or a VAE.
"""

from __future__ import annotations

import time
import traceback
from contextlib import nullcontext

import torch
from filelock import FileLock, Timeout

from ganzoo.engine.backend import arithmetic, choose_device
from ganzoo.engine.checkpoints import check_same_data, newest_checkpoint
from ganzoo.engine.events import Events, Listener
from ganzoo.engine.health import check_finite
from ganzoo.engine.interruption import Interruption
from ganzoo.engine.process_group import ProcessGroup, group_from_environment, joined
from ganzoo.engine.recording import recording
from ganzoo.engine.session import Session, prepare
from ganzoo.engine.state import load_state_dict, state_dict
from ganzoo.errors import GanzooError, InterruptedRun, RunError, describe
from ganzoo.plugins import Plugins
from ganzoo.recipe import Recipe
from ganzoo.recipe.model import shortages
from ganzoo.runs import RunFolder


def train(session: Session, folder: RunFolder, events: Events, interruption: Interruption) -> None:
    """Train from where the session stands to the end of the recipe, or to an interruption."""
    recipe, counters = session.recipe, session.counters
    last, snapshots = recipe.train.iterations, recipe.snapshots
    clock = time.perf_counter()
    while counters.iteration < last:
        run_iteration(session)
        counters.iteration += 1
        now = time.perf_counter()
        counters.seconds, clock = counters.seconds + now - clock, now
        events.emit("advanced", session)
        ended = counters.iteration == last
        logging = ended or counters.iteration % recipe.log.every == 0
        stopping = stop_requested(session.group, interruption, logging)
        saving = ended or stopping or counters.iteration % recipe.checkpoint.every == 0
        keeping = counters.iteration in snapshots
        if logging or saving or keeping:
            check_finite(session, folder)
        if logging:
            log(session, events)
        if saving:
            events.emit("saving", session, state_dict(session))
        if keeping:
            events.emit("kept", session)
        if stopping and not ended:
            raise InterruptedRun(
                f"stopped after iteration {counters.iteration} of {last}; "
                f"the checkpoint is in {folder.path}",
                hint=f"`ganzoo resume {folder.path}` continues it",
            )


def run_iteration(session: Session) -> None:
    """One iteration: the groups of phases that the schedule names, each on a batch of its own."""
    iteration, phases = session.iteration, session.recipe.loss.spec.phases
    session.parts.values.advance(iteration)
    session.optimizers.advance(iteration)
    for group in session.schedule.phases(iteration, session.observation.latest):
        real = any(phases[phase].reads_data for phase in group)
        batch = session.batches.next(iteration, real=real)
        with session.probed(group):
            session.updater.run(group, batch, iteration)
        session.counters.steps.update(group)
    if session.average is not None:
        session.average.update(iteration)
    session.observation.advance(iteration, session.group)


def log(session: Session, events: Events) -> None:
    """Read the statistics from the device and pass them on."""
    statistics = session.statistics.read(session.group)  # host sync: once a logging interval
    session.signs.read(session.group)
    values = session.parts.values.current(session.iteration - 1)
    events.emit("logged", session, {**statistics, **values})


def stop_requested(group: ProcessGroup, interruption: Interruption, logging: bool) -> bool:
    """Whether the run should end now; several processes agree on it at the logging interval."""
    if group.size == 1:
        return interruption.requested
    return logging and any(group.gather(interruption.requested))


def train_recipe(
    recipe: Recipe,
    folder: RunFolder,
    plugins: Plugins,
    progress: Listener,
    *,
    resume: bool = False,
) -> None:
    """Train a recipe in a run folder, from the start or from the newest valid checkpoint.

    Raises `UserError` where the data or the device are not there, `RunError` where the data are
    others than the run began with or the run cannot continue, and `InterruptedRun` after Ctrl-C.
    The folder then says how far it came.
    """
    group = group_from_environment()
    device = choose_device(recipe.engine.device, group.local_rank)
    # Only the first process writes files and shows progress.
    events = recording(recipe, folder, plugins, progress) if group.first else Events([])
    lock = FileLock(folder.lock, timeout=0) if group.first else nullcontext()
    try:
        with (
            lock,
            arithmetic(device, deterministic=recipe.engine.deterministic),
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            joined(group, device),
        ):
            session = prepare(recipe, device, group)
            if resume:
                if group.first:
                    check_same_data(folder, session.parts.description)
                if (state := newest_checkpoint(folder, progress.warned)) is not None:
                    load_state_dict(session, state)
            generated, real = recipe.evaluate.samples, session.parts.description.real_samples
            for name, reason in shortages(recipe.metrics, generated, real).items():
                events.emit("warned", f"metric '{name}' will be left out: {reason}")
            with Interruption() as interruption:
                events.emit("started", session, folder)
                train(session, folder, events, interruption)
            events.emit("finished", session)
            events.emit("ended", "done", None, None)
    except Timeout:
        raise RunError(f"another process is training {folder.path}") from None
    except InterruptedRun as stop:
        events.emit("ended", "interrupted", stop.message, None)
        raise
    except KeyboardInterrupt:
        events.emit("ended", "interrupted", "stopped at once", None)
        raise InterruptedRun(
            f"stopped at once, without a new checkpoint, in {folder.path}",
            hint=f"`ganzoo resume {folder.path}` continues from the last one",
        ) from None
    except GanzooError as error:
        events.emit("ended", "failed", error.message, None)
        raise
    except Exception as error:
        events.emit("ended", "failed", describe(error), traceback.format_exc())
        raise RunError(
            f"the run failed: {describe(error)}",
            hint=f"the traceback is in {folder.traceback}",
        ) from error
