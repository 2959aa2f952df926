"""Reads the batches of a stream in the background, in processes that cannot end a run."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganzoo.data import Stream, check_finite, read
from ganzoo.errors import GanzooError, RunError
from ganzoo.interruption import blocked, cause_of_death

TRIES = 3
"""How often the processes are started for one batch, before a run that loses them is given up."""


class Reader:
    """Batches of a stream by number; those that follow are read ahead.

    A signal to the group of processes is for the one that trains: the workers of its DataLoader
    get none, and end when it does. As a batch follows from its number, workers are replaced when
    one dies, and nothing is lost.
    """

    def __init__(
        self, stream: Stream, indices: Callable[[int], list[int]], *, pin_memory: bool
    ) -> None:
        self._stream, self._indices, self._pin_memory = stream, indices, pin_memory
        self._iterator: Iterator[tuple[Tensor, Tensor] | GanzooError] | None = None
        self._workers: list[BaseProcess] = []
        self._next = -1

    def read(self, number: int, warn: Callable[[str], None]) -> tuple[Tensor, Tensor]:
        """Batch `number`: its samples and labels. `warn` is told of workers that died.

        Raises `RunError` where they die again and again, and what the stream raises.
        """
        if self._iterator is None or number != self._next:
            self._start(number)
        for tries in itertools.count(1):
            cause = self._cause_of_death()
            if cause is None:
                try:
                    batch = next(self._iterator)  # type: ignore[arg-type]
                    break
                except (RuntimeError, OSError, EOFError):
                    # A fault of the stream, or a worker that died with the batch.
                    if (cause := self._cause_of_death(seconds=1)) is None:
                        raise
            lost = f"a process that reads the data died: {cause}"
            if tries == TRIES:
                raise RunError(
                    f"{lost}; tried {TRIES} times",
                    hint="free memory, or mend the data; `ganzoo resume` then continues the run "
                    "from its last checkpoint",
                )
            warn(f"{lost}; it is replaced")
            self._start(number)
        self._next = number + 1
        if isinstance(batch, GanzooError):
            raise batch
        return batch

    def close(self) -> None:
        """End the workers."""
        atexit.unregister(self._kill)
        self._iterator = None  # asks them to end, and waits for some seconds
        self._kill()

    def _start(self, number: int) -> None:
        self.close()
        numbers = itertools.count(number)
        loader = DataLoader(
            _Batches(self._stream),
            batch_size=None,
            sampler=(self._indices(each) for each in numbers),
            num_workers=min(8, max(1, (os.cpu_count() or 1) - 1)),
            # Without one of its own, a loader draws a seed from the noise stream.
            generator=torch.Generator(),
            pin_memory=self._pin_memory,
            worker_init_fn=_end_with_parent,
        )
        with blocked(), _own_handler_of_deaths():
            iterator = iter(loader)
        self._iterator, self._workers = iterator, list(iterator._workers)  # type: ignore[attr-defined]
        # As they do not get SIGTERM, multiprocessing would wait for them for ever.
        atexit.register(self._kill)

    def _kill(self) -> None:
        """End the workers that are left; they have nothing to put in order."""
        for worker in self._workers:
            if worker.is_alive():
                worker.kill()
                worker.join()
        self._workers = []

    def _cause_of_death(self, seconds: float = 0) -> str | None:
        """Why a worker died within some seconds, or None where all live."""
        dead = wait([worker.sentinel for worker in self._workers], seconds)
        for worker in self._workers:
            if worker.sentinel in dead:
                worker.join()
                return cause_of_death(worker.exitcode)
        return None


@contextmanager
def _own_handler_of_deaths() -> Iterator[None]:
    """Keep the handler of SIGCHLD: that of DataLoader raises wherever the program is just then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _end_with_parent(worker: int) -> None:
    """End this worker when the process that trains has ended, however that was.

    DataLoader's own watch sees no more than the process that this one was forked from, which may
    be a server that outlives the other.
    """

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Batches(Dataset[Any]):
    """A stream whose items are the batches of given indices.

    An error for the user is handed over as a value: a worker process would raise it as a text
    with its own traceback.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor] | GanzooError:
        try:
            values, labels = read(self.stream, indices)
            for place, value in zip(indices, values, strict=True):
                check_finite("the stream of training data:", value[None], place)
            return values, labels
        except GanzooError as error:
            return error
