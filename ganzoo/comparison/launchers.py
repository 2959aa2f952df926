"""Where the runs of a comparison are trained: here one after the other, or by Ray on a cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar, cast

from ganzoo.comparison.jobs import Job, Outcome, run_job
from ganzoo.errors import GanzooError, RunError, UserError, describe
from ganzoo.interruption import blocked, cause_of_death, handled, unblock
from ganzoo.plugins import VARIABLES
from ganzoo.streams import outlast_readers

T = TypeVar("T")

PRELOADED = ("ganzoo.engine.training", "ganzoo.evaluation.measure", "sklearn.mixture")
TRIES = 2
"""How often a run whose process dies is started; it resumes from its last checkpoint."""


class Launcher(Protocol):
    """Trains and measures the runs of jobs."""

    def launch(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """An outcome for each job, in the order of the jobs. None is lost, and none raises."""
        ...

    def opened(self) -> AbstractContextManager[int]:
        """Keep what the runs are trained on from one `launch` to the next; how many runs at once
        it trains."""
        ...


class DeadWorker(RunError):
    """A process ended without a result."""


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a new process, so that its peak memory is its own.

    The process has this one's working directory and environment. After Ctrl-C here, or when this
    process ends, it gets SIGTERM, so that a run that it trains leaves a checkpoint. Raises
    `DeadWorker` if it dies; an exception of the function is raised here as a `GanzooError`.
    """
    # On other systems, libraries may not survive a fork.
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        # Slow imports happen once, in the process from which the others are forked.
        context.set_forkserver_preload(list(PRELOADED))
    receiving, sending = context.Pipe(duplex=False)
    with _STARTING:
        work = (sending, os.getcwd(), dict(os.environ), function, arguments)
        worker: BaseProcess = context.Process(target=_work, args=work)
        resource_tracker.ensure_running()  # it would unblock signals
        # What is started gets no signals, but a worker lets those to itself through.
        with _own_path_only(), blocked():
            worker.start()
    sending.close()
    try:
        answer = receiving.recv()
    except (EOFError, OSError):
        worker.join()
        raise DeadWorker(f"its process died: {cause_of_death(worker.exitcode)}") from None
    except BaseException:
        _stop(worker)
        raise
    finally:
        receiving.close()
    worker.join()
    if isinstance(answer, GanzooError):
        raise answer
    return cast(T, answer)


_STARTING = threading.Lock()
"""One process is started at a time: the environment is changed meanwhile."""


@contextmanager
def _own_path_only() -> Iterator[None]:
    """Processes started meanwhile do not look for modules in the current folder.

    A folder there that is called ganzoo, such as a clone of the repository, would hide the package.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _work(
    sending: Connection,
    folder: str,
    environment: Mapping[str, str],
    function: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    """Call the function in the new process, and send back what it returned or raised."""
    # Ctrl-C on a terminal goes to the whole group; only the waiting process is to get it.
    os.setpgrp()
    outlast_readers()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    with handled("leave"):
        unblock()
        try:
            os.chdir(folder)
            answer = function(*arguments)
        except GanzooError as error:
            answer = error
        except Exception as error:
            answer = RunError(describe(error))
        with suppress(BrokenPipeError):  # the waiting process has ended
            sending.send(answer)


def _end_with_parent() -> None:
    """Stop this process with SIGTERM when its parent has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(worker: BaseProcess) -> None:
    """Wait until a process has written its checkpoint; a second Ctrl-C ends it at once."""
    try:
        worker.terminate()
        worker.join()
    except KeyboardInterrupt:
        worker.kill()
        worker.join()


class Local:
    """One run after the other on this machine, each in a process of its own."""

    def opened(self) -> AbstractContextManager[int]:
        """See `Launcher`."""
        return nullcontext(1)

    def launch(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Launcher`."""
        reported: frozenset[tuple[str, str]] = frozenset()
        for job in jobs:
            outcome = self._launch(replace(job, reported=reported))
            reported |= outcome.reported
            yield outcome

    def _launch(self, job: Job) -> Outcome:
        message = ""
        for _ in range(TRIES):
            try:
                return in_own_process(run_job, job)
            except DeadWorker as error:
                message = f"{error.message}; tried {TRIES} times"
            except GanzooError as error:
                return Outcome(job.folder, error.message)
        return Outcome(job.folder, message)


class Ray:
    """On a Ray cluster, as many runs at once as it has cores or GPUs.

    The cluster is that at `RAY_ADDRESS`, or one on this machine for the time of the comparison.
    The working directory and the run folders must have the same paths on all of its machines.
    """

    def __init__(self) -> None:
        """Raises `UserError` where Ray is not installed."""
        try:
            import ray
        except ImportError as error:
            raise UserError(
                "the launcher 'ray' needs Ray", hint='`pip install "ganzoo-core[ray]"`'
            ) from error
        self.ray = ray

    @contextmanager
    def opened(self) -> Iterator[int]:
        """See `Launcher`."""
        owner = not self.ray.is_initialized()
        if owner:
            self._join_cluster()
        try:
            resources: dict[str, float] = self.ray.cluster_resources()  # type: ignore[no-untyped-call]
            yield max(1, int(resources.get("GPU") or resources.get("CPU", 1)))
        finally:
            if owner:
                self.ray.shutdown()

    def launch(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Launcher`."""
        ray = self.ray
        with self.opened():
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            # A worker serves one run, so that its peak of memory is the run's own.
            options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": TRIES - 1, "max_calls": 1}
            task = ray.remote(**options)(_run_job_in)
            chosen = {name: os.environ[name] for name in VARIABLES if name in os.environ}
            pending = [task.remote(os.getcwd(), chosen, job) for job in jobs]
            for job, reference in zip(jobs, pending, strict=True):
                try:
                    yield ray.get(reference)
                except ray.exceptions.WorkerCrashedError:
                    yield Outcome(job.folder, f"its process died; tried {TRIES} times")
                except ray.exceptions.RayError as error:
                    reason = str(error).strip().partition("\n")[0]
                    yield Outcome(job.folder, f"Ray could not run it: {reason}")

    def _join_cluster(self) -> None:
        address = os.environ.get("RAY_ADDRESS")
        try:
            self.ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            place = f"the Ray cluster at {address} cannot be reached" if address else "Ray failed"
            raise UserError(
                f"{place}: {reason}", hint="RAY_ADDRESS names a cluster; without it one is started"
            ) from error


def _run_job_in(folder: str, environment: Mapping[str, str], job: Job) -> Outcome:
    """Run a job in the working directory `folder` and with the variables that choose plugins."""
    os.chdir(folder)
    os.environ.update(environment)
    return run_job(job)


LAUNCHERS: dict[str, Callable[[], Launcher]] = {"local": Local, "ray": Ray}


def make_launcher(name: str) -> Launcher:
    """The launcher of a name. Raises `UserError` for an unknown name."""
    if name not in LAUNCHERS:
        raise UserError(f"no launcher is called '{name}'", hint=", ".join(LAUNCHERS))
    return LAUNCHERS[name]()
