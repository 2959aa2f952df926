"""Builds what is checked, whatever its kind, and watches what that does to the process."""

from __future__ import annotations

import functools
import io
import random
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from ganzoo.engine.context import data_root
from ganzoo.engine.random import seeded
from ganzoo.errors import GanzooError
from ganzoo.specs import BuildContext, ComponentSpec, DatasetSpec
from ganzoo.testing.checks import Skip, Subject, Wrong
from ganzoo.testing.importing import BLANKET, ENVIRONMENT, differences, snapshot
from ganzoo.testing.stand_in import measured, told
from ganzoo.testing.surroundings import CPU, LATENT_DIM, make_spec, missing_data, worlds

UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python shows to nobody who has not asked for them."""

STEERING = re.compile(rf"{ENVIRONMENT} (CUDA|PYTORCH|OMP|MKL|OPENBLAS|GANZOO|PYTHON)")
"""Variables that steer the run. Libraries set some of their own when they are imported."""


@dataclass
class Watch:
    """What happened to the process while something was built."""

    out: str = ""
    """Text on stdout."""
    err: str = ""
    """Text on stderr."""
    warned: list[str] = field(default_factory=list)
    """Texts of warnings."""
    changed: list[str] = field(default_factory=list)
    """Changes of global state."""


@contextmanager
def watched() -> Iterator[Watch]:
    """Note what is printed, warned of and changed in here."""
    watch, out, err = Watch(), io.StringIO(), io.StringIO()
    before = snapshot()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        inside = snapshot()
        with redirect_stdout(out), redirect_stderr(err):
            yield watch
        changed = differences({**before, BLANKET: inside[BLANKET]}, snapshot())
    watch.out, watch.err = out.getvalue(), err.getvalue()
    watch.warned = [str(each.message) for each in caught if not issubclass(each.category, UNSEEN)]
    watch.changed = [change for change in changed if _is_the_plugins(change)]


def _is_the_plugins(change: str) -> bool:
    """Whether a change is one that no library makes when a network's file imports it."""
    if change.startswith(ENVIRONMENT):
        return STEERING.match(change) is not None
    return not change.startswith(("warning filters", "sys.path")) or change.startswith(BLANKET)


@dataclass(frozen=True)
class Making:
    """A component's declaration and all that it is told: it can be built as often as wanted."""

    spec: ComponentSpec
    context: BuildContext
    first: Watch
    """What happened when it was built for the first time."""

    def build(self, seed: int = 0) -> Any:
        """The component, from a random stream of its own.

        Raises `Skip` for a data set whose files are not on this machine.
        """
        return self.watch(seed)[0]

    def watch(self, seed: int = 0) -> tuple[Any, Watch]:
        """The component, and what happened while it was built."""
        with seeded(seed, "initialisation", device=CPU), watched() as watch:
            build = _build_data if self.spec.kind == "dataset" else _build
            made = build(self.spec, self.context)
        return made, watch


@functools.lru_cache(maxsize=1)
def making(subject: Subject) -> Making:
    """How a subject is built, in the first of the kit's worlds that it does not refuse."""
    with watched() as watch:
        spec = make_spec(subject)
        if spec.kind == "dataset":
            made = Making(*declared_data(spec), watch)
        elif spec.kind == "metric":
            made = Making(*measured(spec), watch)
        else:
            made = Making(*told(worlds(subject)[0]), watch)
        made.build()
    return made


def ready(subject: Subject) -> Making:
    """`making`, for checks of what has been built; raises `Skip` where it cannot be."""
    try:
        return making(subject)
    except Skip:
        raise
    except Exception as error:
        raise Skip("it cannot be built; see the check `builds`") from error


def declared_data(spec: ComponentSpec) -> tuple[ComponentSpec, BuildContext]:
    """A data set's declaration and context. One with a key `download` is not to do so."""
    assert isinstance(spec, DatasetSpec)
    if isinstance(getattr(spec, "download", None), bool):
        spec = spec.model_copy(update={"download": False})
    context = BuildContext(
        sample_shape=spec.sample_shape,
        latent_dim=LATENT_DIM,
        num_classes=spec.num_classes,
        iterations=100,
        data_root=data_root().absolute(),
    )
    return spec, context


def _build(spec: ComponentSpec, context: BuildContext) -> Any:
    return spec.build(context)


def _build_data(spec: ComponentSpec, context: BuildContext) -> Any:
    """A data set. Raises `Skip` where its files are not on this machine."""
    try:
        with no_network():
            return spec.build(context)
    except GanzooError as error:
        if missing_data(error, context.data_root):
            raise Skip(f"its files are not on this machine: {error.message}") from error
        raise Wrong(
            f"cannot be built: {error.message}; where files are missing, the message should name "
            "the folder in which they were looked for, context.data_root"
        ) from error


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse connections to other machines: a check downloads nothing."""

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise OSError("the conformance kit does not use the network")

    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse()
        return super(socket.socket, self).connect(address)

    with (
        patch.object(socket, "getaddrinfo", refuse),
        patch.object(socket.socket, "connect", connect, create=True),
    ):
        yield


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
