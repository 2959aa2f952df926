"""Processes of their own for what a comparison does: one that dies costs its work only."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from ganzoo.errors import GanzooError, RunError, describe
from ganzoo.interruption import blocked, cause_of_death, handled, unblock
from ganzoo.streams import outlast_readers

T = TypeVar("T")

PRELOADED = ("ganzoo.engine.training", "ganzoo.evaluation.measure", "sklearn.mixture")


class DeadWorker(RunError):
    """A process ended without a result."""


@dataclass(frozen=True)
class Answer:
    """The last message of a worker."""

    value: Any
    """What its function returned, or the `GanzooError` that it raised."""


class Sender:
    """What a worker tells the process that waits for it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: object) -> None:
        """Send a message, unless nobody waits any longer.

        One of less than 4 KiB arrives whole, whatever other threads send and whichever signal
        comes.
        """
        with suppress(OSError):
            self._connection.send(message)

    def offer(self, message: object) -> None:
        """Send a small message that may as well be lost: not where it would have to wait, because
        what was sent before has not been read."""
        if select.select([], [self._connection], [], 0)[1]:
            self.send(message)


class Worker:
    """A new process in which a function is called, so that its peak memory is its own.

    The function's first argument is a `Sender` to this process. The worker has this process's
    working directory and environment, and gets SIGTERM when this process ends.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call `function(sender, *arguments)` in a new process."""
        # On other systems, libraries may not survive a fork.
        context: Any = multiprocessing.get_context(
            "forkserver" if sys.platform == "linux" else "spawn"
        )
        if sys.platform == "linux":
            # Slow imports happen once, in the process from which the others are forked.
            context.set_forkserver_preload(list(PRELOADED))
        self.connection: Connection
        self.connection, sending = context.Pipe(duplex=False)
        with _STARTING:
            work = (sending, os.getcwd(), dict(os.environ), function, arguments)
            self.process: BaseProcess = context.Process(target=_work, args=work)
            resource_tracker.ensure_running()  # it would unblock signals
            try:
                # What is started gets no signals, but a worker lets those to itself through.
                with _own_path_only(), blocked():
                    self.process.start()
            except BaseException:
                if self.process.pid is not None:  # a signal came meanwhile
                    stop([self])
                raise
            finally:
                sending.close()

    def receive(self) -> object:
        """The next message, the last of which is an `Answer`, after which the process has ended.

        Raises `DeadWorker` if it died before.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self._close()
            reason = cause_of_death(self.process.exitcode)
            raise DeadWorker(f"its process died: {reason}") from None
        if isinstance(message, Answer):
            self._close()
        return message

    def _close(self) -> None:
        self.connection.close()
        self.process.join()


def stop(workers: Sequence[Worker]) -> None:
    """Wait until workers have written their checkpoints; a second Ctrl-C ends them at once."""
    try:
        for worker in workers:
            worker.connection.close()  # nobody reads it, and it must not hold up who writes
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
    except KeyboardInterrupt:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own, and return what it returns.

    After Ctrl-C here the process gets SIGTERM. Raises `DeadWorker` if it dies; an exception of the
    function is raised here as a `GanzooError`.
    """
    worker = Worker(_call, function, *arguments)
    try:
        answer = worker.receive()
    except DeadWorker:
        raise
    except BaseException:
        stop([worker])
        raise
    assert isinstance(answer, Answer)
    if isinstance(answer.value, GanzooError):
        raise answer.value
    return cast(T, answer.value)


def _call(sender: Sender, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that has nothing to tell on the way."""
    return function(*arguments)


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
    sender = Sender(sending)
    with handled("leave"):
        unblock()
        try:
            os.chdir(folder)
            value = function(sender, *arguments)
        except GanzooError as error:
            value = error
        except Exception as error:
            value = RunError(describe(error))
        sender.send(Answer(value))


def _end_with_parent() -> None:
    """Stop this process with SIGTERM when its parent has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
