"""Checks of listeners, and of plugins whose module follows runs itself."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pluggy
from PIL import Image

from ganzoo import hookspecs
from ganzoo.errors import describe
from ganzoo.protocols import RunInfo
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first
from ganzoo.testing.checks import Subject, Wrong, check
from ganzoo.testing.reference import ReferenceGenerator

LIFECYCLE = (
    "ganzoo_run_started",
    "ganzoo_statistics_logged",
    "ganzoo_samples_drawn",
    "ganzoo_checkpoint_written",
    "ganzoo_run_finished",
    "ganzoo_evaluated",
)
"""The hooks of a run, in the order in which they are called."""


def lifecycle_hooks(listener: Any) -> dict[str, Any]:
    """The implementations of lifecycle hooks by name; raises `Wrong` for marked strangers."""
    manager = pluggy.PluginManager("ganzoo")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(listener, name="listener")
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        text = " ".join(str(error).split())
        raise Wrong(f"{text}; use the hooks and the arguments of ganzoo.hookspecs") from error
    callers = manager.get_hookcallers(listener) or ()
    return {each.name: each.get_hookimpls()[0] for each in callers if each.name in LIFECYCLE}


@contextmanager
def arguments_of_a_run() -> Iterator[dict[str, Any]]:
    """Arguments such as a short run calls the hooks with, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Bench(ReferenceGenerator(), (1, 8, 8)).recipe.tables()
        picture, checkpoint = Path(folder, "samples.png"), Path(folder, "checkpoint.pt")
        Image.new("RGB", (8, 8)).save(picture)
        checkpoint.write_bytes(b"")
        yield {
            "run": RunInfo(Path(folder), "kit", recipe, 0),
            "iteration": 10,
            "images": 80,
            "statistics": {"discriminator/loss": 0.7, "optimizer.generator.lr": 1e-3},
            "picture": picture,
            "checkpoint": checkpoint,
            "values": {"fid": 12.0},
            "state": "done",
        }


@check("listener", on=first)
def listener_hooks(bench: Bench) -> None:
    """A listener without a hook is built in every run and never called."""
    if not lifecycle_hooks(bench.component):
        raise Wrong(
            "has no method that is a lifecycle hook; mark one with @hookimpl, such as "
            "ganzoo_run_finished(self, run)"
        )


@check("listener", "plugin")
def hooks_can_be_called(subject: Subject) -> None:
    """A hook that fails is called no more in its run, and its files stay unfinished."""
    if subject.declared is None:
        listener = importlib.import_module(subject.plugin.module)
    else:
        listener = first(subject)[0].component
    hooks = lifecycle_hooks(listener)
    with arguments_of_a_run() as arguments:
        for name in LIFECYCLE:
            if name in hooks:
                try:
                    hooks[name].function(**{key: arguments[key] for key in hooks[name].argnames})
                except Exception as error:
                    raise Wrong(
                        f"{name} fails: {describe(error)}; take what the hook is given, in the "
                        "order of a run"
                    ) from error
