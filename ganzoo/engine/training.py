"""The training loop.

    latents, data ──► static batch ──► for each phase: freeze, terms, backward, step ──► average

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
from ganzoo.engine.checkpoints import newest_checkpoint
from ganzoo.engine.interruption import Interruption
from ganzoo.engine.ranks import joined, ranks_from_environment
from ganzoo.engine.recorder import Progress, Recorder
from ganzoo.engine.session import Session, prepare
from ganzoo.errors import GanzooError, InterruptedRun, RunError, describe
from ganzoo.plugins import Plugins
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder


def train(session: Session, recorder: Recorder, interruption: Interruption) -> None:
    """Train from where the session stands to the end of the recipe, or to an interruption."""
    recipe = session.recipe
    last = recipe.train.iterations
    snapshots = recipe.snapshots
    clock = time.perf_counter()
    while session.iteration < last:
        run_iteration(session)
        session.iteration += 1
        now = time.perf_counter()
        session.seconds, clock = session.seconds + now - clock, now
        recorder.advanced(session)
        recorder.probe(session)
        ended = session.iteration == last
        logging = ended or session.iteration % recipe.log.every == 0
        stopping = stop_requested(session, interruption, logging)
        if logging:
            recorder.log(session)
        if ended or stopping or session.iteration % recipe.checkpoint.every == 0:
            recorder.checkpoint(session)
        if session.iteration in snapshots:
            recorder.snapshot(session)
        if stopping and not ended:
            raise InterruptedRun(
                f"stopped after iteration {session.iteration} of {last}; "
                f"the checkpoint is in {recorder.folder.path}",
                hint=f"`ganzoo resume {recorder.folder.path}` goes on from there",
            )


def run_iteration(session: Session) -> None:
    """One iteration: the groups of phases that the schedule names, each on a batch of its own."""
    iteration = session.iteration
    for group in session.schedule.phases(iteration, session.observation):
        session.next_batch(group)
        with session.probed(group):
            # All gradients of a group are taken before any of its networks moves.
            for phase in group:
                session.updates[phase].backward(iteration)
            for phase in group:
                session.updates[phase].step(session.schedule.lr_factor(phase, iteration))
                session.steps[phase] += 1
    if session.average is not None:
        session.average.update(iteration)
    session.observe()


def stop_requested(session: Session, interruption: Interruption, logging: bool) -> bool:
    """Whether the run should end now; several ranks agree on it at the logging interval."""
    if session.ranks.size == 1:
        return interruption.requested
    return logging and any(session.ranks.gather(interruption.requested))


def train_recipe(
    recipe: Recipe,
    folder: RunFolder,
    plugins: Plugins,
    progress: Progress,
    *,
    resume: bool = False,
) -> None:
    """Train a recipe in a run folder, from the start or from the newest whole checkpoint.

    Raises `UserError` where the data or the device are not there, `RunError` where the run
    cannot go on and `InterruptedRun` after Ctrl-C. The folder then says how far it came.
    """
    ranks = ranks_from_environment()
    device = choose_device(recipe.engine.device, ranks.local_rank)
    recorder = Recorder(recipe, folder, plugins, progress if ranks.first else Progress(), ranks)
    lock = FileLock(folder.lock, timeout=0) if ranks.first else nullcontext()
    try:
        with (
            lock,
            arithmetic(device, deterministic=recipe.engine.deterministic),
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            joined(ranks, device),
        ):
            session = prepare(recipe, device, ranks)
            if resume and (state := newest_checkpoint(folder, progress.warn)) is not None:
                session.load_state_dict(state)
            with Interruption() as interruption:
                recorder.start(session)
                train(session, recorder, interruption)
            recorder.finish(session)
    except Timeout:
        raise RunError(f"another process is training {folder.path}") from None
    except InterruptedRun as stop:
        recorder.end("interrupted", stop.message)
        raise
    except KeyboardInterrupt:
        recorder.end("interrupted", "stopped at once")
        raise InterruptedRun(
            f"stopped at once, without a new checkpoint, in {folder.path}",
            hint=f"`ganzoo resume {folder.path}` goes on from the last one",
        ) from None
    except GanzooError as error:
        recorder.end("failed", error.message)
        raise
    except Exception as error:
        recorder.end("failed", describe(error), traceback.format_exc())
        raise RunError(
            f"the run failed: {describe(error)}",
            hint=f"the traceback is in {folder.traceback}",
        ) from error
