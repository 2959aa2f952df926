"""Where the runs of a comparison are trained: here, several at once, or by Ray on a cluster."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Protocol

from ganzoo.comparison.jobs import Job, Outcome, kept_outcome, load_text, run_job
from ganzoo.comparison.machine import available_memory, jobs_for, memory_of, threads_for
from ganzoo.comparison.screen import Kind, Screen, lines_to, telling
from ganzoo.comparison.workers import Answer, DeadWorker, Sender, Worker, stop
from ganzoo.errors import GanzooError, UserError
from ganzoo.output import talks, tell
from ganzoo.plugins import VARIABLES

TRIES = 2
"""How often a run whose process dies is started; it resumes from its last checkpoint."""
SECONDS = 2.0
"""After so long it is asked again whether there is memory for a further run."""

Outcomes = Generator[tuple[int, Outcome], None, None]
"""Outcomes as they come, each with the place of its job among the jobs."""


class Launcher(Protocol):
    """Trains and measures the runs of jobs."""

    def launch(self, jobs: Sequence[Job]) -> Outcomes:
        """An outcome for each job. None is lost, and none raises.

        Runs that are under way when the generator is closed, or a signal comes, are stopped with a
        checkpoint.
        """
        ...

    def opened(self) -> AbstractContextManager[int]:
        """Keep what the runs are trained on from one `launch` to the next; how many points a
        search is to try at once."""
        ...


def carry_out(
    jobs: Sequence[Job],
    launcher: Launcher,
    done: Callable[[int, Outcome], None] = lambda place, outcome: None,
) -> list[Outcome]:
    """The outcomes of jobs, in their order; `done` is called with each as it comes.

    Those whose runs are trained and measured already cost no process.
    """
    outcomes: dict[int, Outcome] = {}
    left: list[int] = []
    for place, job in enumerate(jobs):
        if (outcome := kept_outcome(job)) is None:
            left.append(place)
        else:
            outcomes[place] = outcome
            done(place, outcome)
    if left:
        with closing(launcher.launch([jobs[place] for place in left])) as launched:
            for number, outcome in launched:
                outcomes[left[number]] = outcome
                done(left[number], outcome)
    return [outcomes[place] for place in range(len(jobs))]


@dataclass
class Running:
    """A job that is under way, and how often it has been started."""

    place: int
    job: Job
    worker: Worker
    tries: int


class Local:
    """On this machine, several runs at once, each in a process of its own.

    A run takes the same threads, and so writes the same bytes, whatever runs beside it.
    """

    def __init__(self, jobs: int | None = None, progress: bool = False) -> None:
        """At most `jobs` runs at once, by default as many as the machine is good for."""
        self.jobs = jobs
        self.progress = progress

    def opened(self) -> AbstractContextManager[int]:
        """See `Launcher`. Points that are tried at once are chosen without knowing of one another,
        so there are several only where somebody asks for it: a search is the same on every
        machine."""
        return nullcontext(self.jobs or 1)

    def launch(self, jobs: Sequence[Job]) -> Outcomes:
        """See `Launcher`."""
        at_once = min(self.jobs or good_for(jobs), len(jobs))
        screen = Screen(progress=self.progress)
        if at_once > 1 and self.progress and talks():
            tell(f"{len(jobs)} runs, {at_once} at once: each is slower than it would be alone")
        crew = Crew(jobs, at_once, screen)
        try:
            while crew.waiting or crew.running:
                crew.start()
                yield from crew.outcomes()
        finally:
            stop([each.worker for each in crew.running])
            screen.close()


def good_for(jobs: Sequence[Job]) -> int:
    """How many of the runs of jobs this machine is good for at once."""
    recipes = [load_text(job.recipe).changed(train={"seed": 0}) for job in jobs]
    different = {recipe.fingerprint: recipe for recipe in recipes}
    return jobs_for({threads_for(recipe) for recipe in different.values()})


class Crew:
    """The workers of a launch."""

    def __init__(self, jobs: Sequence[Job], at_once: int, screen: Screen) -> None:
        self.running: list[Running] = []
        self.waiting = deque((place, job, 1) for place, job in enumerate(jobs))
        """Places of jobs, jobs, and which try it is."""
        self._at_once = at_once
        self._screen = screen
        self._reported: frozenset[tuple[str, str]] = frozenset()
        self._most = 0
        """Most bytes that a worker has held so far."""

    def start(self) -> None:
        """Start workers, as many as there may be at once and as there is memory for."""
        while len(self.running) < self._at_once and (not self.running or self._has_memory()):
            folders = {each.job.folder for each in self.running}
            # Two jobs may be about one run, where it is given by its folder and by its recipe.
            ready = [each for each in self.waiting if each[1].folder not in folders]
            if not ready:
                return
            self.waiting.remove(ready[0])
            place, job, tries = ready[0]
            job = replace(job, reported=self._reported)
            worker = Worker(_run_job, job, self._screen.kind)
            self.running.append(Running(place, job, worker, tries))

    def _has_memory(self) -> bool:
        """Whether there is memory for one more, if all come to hold as much as any has so far."""
        held = [memory_of(each.worker.process.pid) for each in self.running]
        self._most = max(self._most, *(most for _, most in held))
        available = available_memory()
        growth = sum(self._most - now for now, _ in held)
        return available is None or available - growth >= self._most

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of the workers that have ended by now, after waiting for messages."""
        full = len(self.running) == self._at_once or not self.waiting
        connections = {each.worker.connection: each for each in self.running}
        for ready in wait(list(connections), None if full else SECONDS):
            each = connections[ready]  # type: ignore[index]
            try:
                message = each.worker.receive()
            except DeadWorker as error:
                self._end(each)
                if each.tries < TRIES:
                    self.waiting.appendleft((each.place, each.job, each.tries + 1))
                    continue
                yield each.place, Outcome(each.job.folder, f"{error.message}; tried {TRIES} times")
                continue
            if not isinstance(message, Answer):
                self._screen.show(each.job.title, message)
                continue
            self._end(each)
            outcome = message.value
            if isinstance(outcome, GanzooError):
                outcome = Outcome(each.job.folder, outcome.message)
            self._reported |= outcome.reported
            yield each.place, outcome

    def _end(self, each: Running) -> None:
        self.running.remove(each)
        self._screen.ended(each.job.title)


def _run_job(sender: Sender, job: Job, kind: Kind | None) -> Outcome:
    """Run a job in a process of its own, and tell a screen of it."""
    with lines_to(sender):
        return run_job(job, telling(kind, sender))


class Ray:
    """On a Ray cluster, as many runs at once as it has cores or GPUs.

    The cluster is that at `RAY_ADDRESS`, or one on this machine for the time of the comparison.
    The working directory and the run folders must have the same paths on all of its machines.
    """

    def __init__(self, jobs: int | None = None, progress: bool = False) -> None:
        """Raises `UserError` where Ray is not installed, and for a number of jobs, which a cluster
        decides. What its runs tell stays on their machines, so there is no progress to show."""
        if jobs is not None:
            raise UserError(
                "--jobs is for the launcher 'local'",
                hint="a Ray cluster trains as many runs at once as it has cores or GPUs",
            )
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

    def launch(self, jobs: Sequence[Job]) -> Outcomes:
        """See `Launcher`."""
        ray = self.ray
        with self.opened():
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            # A worker serves one run, so that its peak of memory is the run's own.
            options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": TRIES - 1, "max_calls": 1}
            task = ray.remote(**options)(_run_job_in)
            chosen = {name: os.environ[name] for name in VARIABLES if name in os.environ}
            pending = {
                task.remote(os.getcwd(), chosen, job): place for place, job in enumerate(jobs)
            }
            while pending:
                (reference, *_), _ = ray.wait(list(pending), num_returns=1)
                place = pending.pop(reference)
                folder = jobs[place].folder
                try:
                    yield place, ray.get(reference)
                except ray.exceptions.WorkerCrashedError:
                    yield place, Outcome(folder, f"its process died; tried {TRIES} times")
                except ray.exceptions.RayError as error:
                    reason = str(error).strip().partition("\n")[0]
                    yield place, Outcome(folder, f"Ray could not run it: {reason}")

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


LAUNCHERS: dict[str, Callable[[int | None, bool], Launcher]] = {"local": Local, "ray": Ray}


def make_launcher(name: str, jobs: int | None = None, progress: bool = False) -> Launcher:
    """The launcher of a name, for `jobs` runs at once (by default as many as are good), which shows
    their `progress` on stderr.

    Raises `UserError` for an unknown name, and for a number of jobs that cannot be.
    """
    if name not in LAUNCHERS:
        raise UserError(f"no launcher is called '{name}'", hint=", ".join(LAUNCHERS))
    if jobs is not None and jobs < 1:
        raise UserError(f"{jobs} runs at once are none", hint="jobs=1 is one after the other")
    return LAUNCHERS[name](jobs, progress)
