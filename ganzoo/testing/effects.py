"""Contexts in which components are built and called, and where in a plugin their errors are."""

from __future__ import annotations

import functools
import random
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from ganzoo.errors import GanzooError
from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.imports import snapshot


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
        remedy = "the message should name the folder in which they were looked for"
        problem = f"cannot be built: {error.message}; where files are missing"
        raise Wrong(f"{problem}, {remedy}, context.data_root") from error


@contextmanager
def streams_at(seed: int) -> Iterator[Callable[[], str]]:
    """Let the default random streams of Python, numpy and torch's CPU stand somewhere for a while.

    Yields a function that names one that has moved, or gives nothing.
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        begin = _streams()
        try:
            yield lambda: next((name for name, at in _streams().items() if at != begin[name]), "")
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _streams() -> dict[str, object]:
    others = {name: state for name, state in snapshot().items() if "random stream" in name}
    return {"torch's default random stream": torch.get_rng_state().numpy().tobytes(), **others}


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
    places = [
        f" ({Path(frame.f_code.co_filename).name}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(ours)
    ]
    return places[-1] if places else ""
