"""What happens to the process while a component is built or called."""

from __future__ import annotations

import functools
import io
import random
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from ganzoo.errors import GanzooError
from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.imports import BLANKET, ENVIRONMENT, differences, snapshot

HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python does not show by default."""

STEERING = re.compile(rf"{ENVIRONMENT} (CUDA|PYTORCH|OMP|MKL|OPENBLAS|GANZOO|PYTHON)")
"""Variables that steer the run. Libraries set some of their own when they are imported."""


class Effects(AbstractContextManager["Effects"]):
    """What is printed, warned of and changed in a context."""

    def __enter__(self) -> Effects:
        self._before, self._stack = snapshot(), ExitStack()
        self._caught = self._stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("default")
        self._before = {**self._before, BLANKET: snapshot()[BLANKET]}
        self._out = self._stack.enter_context(redirect_stdout(io.StringIO()))
        self._err = self._stack.enter_context(redirect_stderr(io.StringIO()))
        return self

    def __exit__(self, *error: object) -> None:
        after = snapshot()
        self._stack.close()
        self.out, self.err = self._out.getvalue(), self._err.getvalue()
        """Texts on stdout and stderr."""
        self.warned = [str(w.message) for w in self._caught if not issubclass(w.category, HIDDEN)]
        """Texts of warnings."""
        self.changed = [each for each in differences(self._before, after) if _is_the_plugins(each)]
        """Changes of global state."""


def _is_the_plugins(change: str) -> bool:
    """Whether a change is one that no library makes when a network's file imports it."""
    if change.startswith(ENVIRONMENT):
        return STEERING.match(change) is not None
    return not change.startswith(("warning filters", "sys.path")) or change.startswith(BLANKET)


@contextmanager
def no_network(root: Path | None = None) -> Iterator[None]:
    """Build something without connections to other machines: a check downloads nothing.

    Raises `Skip` where it wants to download, or where the files of a data set are not below
    `root`, and `Wrong` for other errors of a data set.
    """
    refused = []

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        refused.append(arguments)
        raise OSError("the conformance kit does not use the network")

    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse()
        return super(socket.socket, self).connect(address)

    try:
        with (
            patch.object(socket, "getaddrinfo", refuse),
            patch.object(socket.socket, "connect", connect, create=True),
        ):
            yield
    except Exception as error:
        if (refused and root is None) or (root and str(root) in str(error)):
            text = error.message if isinstance(error, GanzooError) else one_line(error)
            raise Skip(f"its files are not on this machine: {text}") from error
        if root is None or not isinstance(error, GanzooError):
            raise
        raise Wrong(
            f"cannot be built: {error.message}; where files are missing, the message should name "
            "the folder in which they were looked for, context.data_root"
        ) from error


@contextmanager
def streams_at(seed: int) -> Iterator[Callable[[], str]]:
    """Let the default random streams of Python, numpy and torch's CPU stand somewhere for a while.

    Yields a function that names one that has moved, or gives nothing.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    begin = _streams()

    def moved() -> str:
        return next((name for name, state in _streams().items() if state != begin[name]), "")

    try:
        yield moved
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _streams() -> dict[str, object]:
    state = np.random.get_state(legacy=False)["state"]
    return {
        "torch's default random stream": torch.get_rng_state().numpy().tobytes(),
        "Python's random stream": random.getstate(),
        "numpy's random stream": (state["key"].tobytes(), state["pos"]),
    }


@contextmanager
def no_draws(seed: int, what: str, remedy: str) -> Iterator[None]:
    """The same as `streams_at`; raises `Wrong` where one of the streams has moved."""
    with streams_at(seed) as moved:
        yield
        if stream := moved():
            raise Wrong(f"{what} draws from {stream}; {remedy}")


def one_line(error: BaseException) -> str:
    """`KeyError: 'x' (file.py:12)`: an error in one line, with the place in the plugin."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{plugin_place(error)}"


def plugin_place(error: BaseException) -> str:
    """` (file.py:12)`: the last line outside of torch, the engine and the kit."""
    core = Path(__file__).parent.parent
    own = (core / "engine", core / "testing", core / "protocols.py", Path(torch.__file__).parent)
    ours = ("<", functools.__file__, *map(str, own))
    place, traceback = "", error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(ours):
            place = f" ({Path(file).name}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place
