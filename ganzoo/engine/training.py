"""The training loop.

    batch ──► for each group of phases: forward, backward, step ──► average ──► log, save

Which phases an iteration has is the schedule's business, what they minimise the loss's, and
what the networks are is the recipe's. Nothing here asks whether this is a GAN or a VAE.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial

import torch
from filelock import FileLock, Timeout

from ganzoo.data import DataDescription
from ganzoo.engine.backend import arithmetic, choose_device
from ganzoo.engine.checkpoints import newest_checkpoint
from ganzoo.engine.environment import changes, check_same_data
from ganzoo.engine.events import Events, Listener
from ganzoo.engine.health import check_run_finite
from ganzoo.engine.longer import make_longer
from ganzoo.engine.memory import is_out_of_memory, out_of_memory
from ganzoo.engine.process_group import Agreement, ProcessGroup, group_from_environment, joined
from ganzoo.engine.recording import recording
from ganzoo.engine.session import Session, prepare
from ganzoo.engine.start import shared_start
from ganzoo.engine.state import load_state_dict, state_dict
from ganzoo.errors import GanzooError, InterruptedRun, PausedRun, RunError, describe
from ganzoo.interruption import Answer, Interruption, handled, number_of
from ganzoo.plans import earlier_plans, run_fingerprint
from ganzoo.plugins import Plugins
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.recipe.model import shortages
from ganzoo.records import read_json
from ganzoo.runs import Environment, RunFolder
from ganzoo.status import read_status
from ganzoo.unfinished import cannot_write

LOCK_SECONDS = 0.5
"""How long the lock of a run is waited for."""


def train(
    session: Session,
    folder: RunFolder,
    events: Events,
    interruption: Interruption,
    pause: int | None = None,
) -> None:
    """Train from where the session stands to the end of the recipe, to an interruption or to
    iteration `pause`."""
    recipe, counters = session.recipe, session.counters
    last, snapshots = recipe.train.iterations, session.snapshots
    agreement = Agreement(session.group, interruption, counters.iteration)
    clock = time.perf_counter()
    while counters.iteration < last:
        run_iteration(session)
        counters.iteration += 1
        now = time.perf_counter()
        counters.seconds, clock = counters.seconds + now - clock, now
        events.emit("advanced", session)
        ended = counters.iteration == last
        logging = ended or counters.iteration % recipe.log.every == 0
        # A run that was further already makes one more iteration.
        pausing = pause is not None and counters.iteration >= pause and not ended
        stopping = stop_requested(agreement, counters.iteration, ended or pausing)
        saving = ended or stopping or pausing or counters.iteration % recipe.checkpoint.every == 0
        keeping = counters.iteration in snapshots
        if logging or saving or keeping:
            check_run_finite(session, folder)
        if logging:
            log(session, events)
        if saving:
            with interruption.held():
                events.emit("saving", session, state_dict(session))
        if keeping:
            # A run that is killed before this writes the snapshot when it is resumed.
            events.emit("kept", session)
        if stopping:
            raise InterruptedRun(
                f"stopped after iteration {counters.iteration} of {last}; "
                f"the checkpoint is in {folder.path}",
                hint=f"`ganzoo resume {folder.path}` continues it",
                number=agreement.number,
            )
        if pausing:
            raise PausedRun(f"paused after iteration {counters.iteration} of {last}")


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


def stop_requested(agreement: Agreement, iteration: int, ended: bool) -> bool:
    """Whether the run should stop after `iteration`, after which it does not go on where it has
    `ended`, be it for now."""
    return agreement.reached(iteration, now=ended)


def restore(session: Session, folder: RunFolder, warn: Callable[[str], None]) -> None:
    """Take a session to the newest whole checkpoint of its run, or leave it at the start of one
    that has none yet; `warn` is told of broken ones, and of what is not as it was.

    Raises `RunError` where the data are others, or the checkpoints are gone or do not fit.
    """
    check_same_data(folder, session.parts.description)
    recorded = run_fingerprint(folder) or load_recipe(folder.recipe).fingerprint
    session.fingerprint, session.earlier = recorded, earlier_plans(folder)
    status = read_status(folder)
    # `running` where the file system shows the lock of this process itself.
    if status.get("state") in ("running", "killed"):
        warn(
            f"the process that trained {folder.path} was killed or crashed; its last words are of "
            f"iteration {status.get('iteration', 0)}"
        )
    if change := changes(folder, session):
        warn(change)
    state = newest_checkpoint(folder, warn, aside=session.group.first)
    if state is None:
        every = session.recipe.checkpoint.every
        weights = any(folder.path.glob("*.safetensors"))
        if weights or status.get("iteration", 0) > every:
            raise RunError(
                f"{folder.path} has been trained, but its checkpoints are gone",
                hint="put one back from a copy of the folder, "
                f"or `ganzoo run {folder.recipe}` makes the run anew",
            )
        environment: Environment = read_json(folder.environment, Environment)
        if "parent" in environment and not folder.start.exists():
            raise RunError(
                f"{folder.start} is gone, from which the run is to start",
                hint="put it back from a copy of the folder, "
                f"or `ganzoo run {folder.recipe} --from {environment['parent']['path']}`",
            )
        return
    # Where environment.json is there, the checkpoint is known to be of the run.
    if not folder.environment.exists() and state["fingerprint"] != recorded:
        raise RunError(
            f"{folder.recipe} is not the recipe that this run was started with",
            hint=f"restore it from a copy; `ganzoo run {folder.recipe}` makes a new run of it",
        )
    try:
        load_state_dict(session, state)
    except GanzooError as error:
        raise RunError(
            f"{folder.path} cannot be resumed: {error.message}", hint=error.hint
        ) from error
    except Exception as error:  # of torch, or of a part with a memory
        raise RunError(
            f"the checkpoint of {folder.path} does not fit its recipe: {describe(error)}",
            hint="a plugin has changed since the run began",
        ) from error


def silent(text: str) -> None:
    """Say nothing: what is told at the start of a run is not told again."""


def train_recipe(
    recipe: Recipe,
    folder: RunFolder,
    plugins: Plugins,
    progress: Listener,
    *,
    resume: bool = False,
    pause: int | None = None,
) -> None:
    """Train a recipe in a run folder, from the start or from the newest valid checkpoint.

    Raises `UserError` where the data or the device are not there, `RunError` where the data are
    others than the run began with or the run cannot continue, `InterruptedRun` after a signal, and
    `PausedRun` after iteration `pause`. The folder then says how far it came.
    """
    group = group_from_environment()
    # Only the first process writes files and shows progress.
    events = recording(recipe, folder, plugins, progress) if group.first else Events([])
    # A rank that leaves alone lets the others wait for it: they stop together, in training.
    answer: Answer = "raise" if group.size == 1 else "note"
    try:
        # How the run ended is written before the lock is free: see `read_status`.
        with handled(answer) as interruption, locked(folder) if group.first else nullcontext():
            _train_recipe(recipe, folder, group, events, interruption, resume=resume, pause=pause)
    except KeyboardInterrupt as stop:  # as the lock was taken
        raise stopped_at_once(folder, Events([]), number_of(stop)) from None


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Let no other process train the run meanwhile. Raises `RunError` where one does."""
    try:
        # Who asks where a run stands has its lock for a moment.
        held = FileLock(folder.lock).acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise RunError(f"another process is training {folder.path}") from None
    except OSError as error:
        raise cannot_write(folder.lock, error) from error
    with held:
        yield


def _train_recipe(
    recipe: Recipe,
    folder: RunFolder,
    group: ProcessGroup,
    events: Events,
    interruption: Interruption,
    *,
    resume: bool,
    pause: int | None,
) -> None:
    """Train a run whose lock this process holds, and say how it ended."""
    device = choose_device(recipe.engine.device, group.local_rank)
    warn = partial(events.emit, "warned")
    try:
        with (
            arithmetic(device, deterministic=recipe.engine.deterministic),
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            joined(group, device),
            closing(
                prepare(
                    recipe,
                    device,
                    group,
                    warn,
                    shared_start(folder, group, silent if resume else warn),
                )
            ) as session,
        ):
            if resume:
                restore(session, folder, warn)
                make_longer(session, folder, warn)
            for sentence in unwise(recipe, session.parts.description):
                events.emit("warned", sentence)
            with interruption.answering("note"):
                events.emit("started", session, folder)
                if session.iteration in session.snapshots:
                    events.emit("kept", session)
                train(session, folder, events, interruption, pause)
            events.emit("finished", session)
            events.end("done")
    except (InterruptedRun, PausedRun) as stop:
        with suppress(KeyboardInterrupt):  # from somebody in a hurry
            events.end("interrupted", stop.message)
        raise
    except KeyboardInterrupt as stop:
        raise stopped_at_once(folder, events, number_of(stop)) from None
    except GanzooError as error:
        events.end("failed", error.message)
        raise
    except Exception as error:
        events.end("failed", describe(error), traceback.format_exc())
        if is_out_of_memory(error):
            raise out_of_memory(recipe, "to train", device) from error
        raise RunError(
            f"the run failed: {describe(error)}",
            hint=f"the traceback is in {folder.traceback}",
        ) from error


def unwise(recipe: Recipe, data: DataDescription) -> Iterator[str]:
    """What turns out to be unwise about a recipe when its data are there, in sentences."""
    if data.training_samples < (size := recipe.train.batch_size):
        yield (
            f"a batch of {size} is more than the {data.training_samples} samples there are to train"
            " on, and holds some of them twice: a smaller train.batch_size may help"
        )
    # Of generated ones there are as many as the recipe says, which it was checked for.
    for name, reason in shortages(recipe.metrics, sys.maxsize, data.real_samples).items():
        yield f"metric '{name}' will be left out: {reason}"


def stopped_at_once(folder: RunFolder, events: Events, number: int) -> InterruptedRun:
    """What is raised, and told to listeners, for a run that ends without a new checkpoint."""
    with suppress(KeyboardInterrupt):
        events.end("interrupted", "stopped at once")
    begun = bool(folder.checkpoints())
    return InterruptedRun(
        f"stopped at once, without a new checkpoint, in {folder.path}",
        hint=f"`ganzoo resume {folder.path}` "
        + ("continues from the last one" if begun else "starts it again"),
        number=number,
    )
