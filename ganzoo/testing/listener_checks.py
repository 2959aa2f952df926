"""Checks of listeners, and of plugins whose module follows runs itself."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import pluggy
from PIL import Image

from ganzoo.errors import describe
from ganzoo.plugins import hook_manager
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
    """The implementations of lifecycle hooks by name, in the order of a run; raises `Wrong` for
    what is marked as a hook and is none."""
    manager = hook_manager()
    try:
        manager.register(listener, name="listener")
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        text = " ".join(str(error).split())
        raise Wrong(f"{text}; use the hooks and the arguments of ganzoo.hookspecs") from error
    callers = {each.name: each for each in manager.get_hookcallers(listener) or ()}
    return {name: callers[name].get_hookimpls()[0] for name in LIFECYCLE if name in callers}


@check("listener", on=first)
def listener_hooks(bench: Bench) -> None:
    """A listener without a hook is built in every run and never called."""
    if not lifecycle_hooks(bench.component):
        remedy = "mark one with @hookimpl, such as ganzoo_run_finished(self, run)"
        raise Wrong(f"has no method that is a lifecycle hook; {remedy}")


@check("listener", "plugin")
def hooks_can_be_called(subject: Subject) -> None:
    """A hook that fails is called no more in its run, and its files stay unfinished."""
    if subject.declared is None:
        listener = importlib.import_module(subject.plugin.module)
    else:
        listener = first(subject)[0].component
    hooks = lifecycle_hooks(listener)
    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(Path(folder))
        for name, hook in hooks.items():
            try:
                hook.function(**{key: arguments[key] for key in hook.argnames})
            except Exception as error:
                remedy = "take what the hook is given, in the order of a run"
                raise Wrong(f"{name} fails: {describe(error)}; {remedy}") from error


def _arguments(folder: Path) -> dict[str, Any]:
    """Arguments such as a short run in a folder calls the hooks with."""
    recipe = Bench(ReferenceGenerator(), (1, 8, 8)).recipe.tables()
    picture, checkpoint = folder / "samples.png", folder / "checkpoint.pt"
    Image.new("RGB", (8, 8)).save(picture)
    checkpoint.touch()
    return {
        "run": RunInfo(folder, "kit", recipe, 0),
        "iteration": 10,
        "images": 80,
        "statistics": {"discriminator/loss": 0.7, "optimizer.generator.lr": 1e-3},
        "picture": picture,
        "checkpoint": checkpoint,
        "values": {"fid": 12.0},
        "state": "done",
    }
