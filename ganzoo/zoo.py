"""The Python face of ganzoo: what the command line does, as functions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ganzoo import hookspecs, plugins, registry, runs
from ganzoo.api import hookimpl
from ganzoo.errors import UserError, one_of
from ganzoo.folders import warn_of_cache
from ganzoo.interruption import handled
from ganzoo.measuring import listeners, measure_run
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.records import write_text
from ganzoo.references import find_run
from ganzoo.run import Run, open_run, own_recipe, refuse_overrides, says_how_to_compute
from ganzoo.runs import Parent, RunFolder

if TYPE_CHECKING:
    from ganzoo.engine.events import Listener

Callbacks = Mapping[str, Callable[..., Any]]
"""Functions by the lifecycle hook, without `ganzoo_`, for which they are called."""


def train(
    recipe: Recipe,
    *,
    runs: str | Path = "runs",
    identity: str | None = None,
    progress: Listener | bool = False,
    start: str | Path | Run | None = None,
    callbacks: Callbacks | None = None,
    pause: int | None = None,
) -> Run:
    """Train a recipe in a new folder below `runs` and measure the result.

    `identity` names the folder (by default the time and a random number). `progress=True` shows how
    the run proceeds: a bar on a terminal, a bar and the newest picture in a notebook. `callbacks`
    are functions by what they are called for, the lifecycle hooks without their prefix, such as
    `{"statistics_logged": lambda iteration, statistics: ...}`; they take as many of a hook's
    arguments as they name, and one that raises is named in a warning and not called again. `start`
    is a run, or what `open_run` takes, from whose
    weights this one starts: of each network those of the same name and shape, as that run is
    sampled from, so averaged where it has a moving average. After iteration `pause` the run stops
    with a checkpoint, to be resumed. Raises `UserError` where the data or the device are not there
    or nothing of `start` fits, `RunError` where the run cannot go on, `InterruptedRun` after a
    signal, `PausedRun` where it has paused.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "train.iterations=2")
    >>> run = ganzoo.train(recipe, runs=tmp)
    >>> run.status["state"], run.status["iteration"]
    ('done', 2)
    """
    # What is slow to import is there before there is anything to lose.
    import ganzoo.engine.training  # noqa: F401
    from ganzoo.display import shown
    from ganzoo.engine.process_group import group_from_environment
    from ganzoo.runs import create_run_folder

    listener, called = shown(progress), called_back(callbacks or {})
    with handled("raise"):
        if group_from_environment().first:
            fill = _fill(recipe, start, listener)
            folder = create_run_folder(
                Path(runs), recipe.name, identity, recipe=recipe.to_toml(), fill=fill
            )
        else:
            folder = RunFolder(Path(runs))  # only rank 0 writes
        try:
            return _run(recipe, folder, listener, called, resume=False, pause=pause)
        except UserError:
            # What the user gave is not there: the run has not begun, and nothing of it stays.
            if group_from_environment().first and not folder.environment.exists():
                shutil.rmtree(folder.path)
            raise


def _fill(
    recipe: Recipe, start: str | Path | Run | None, progress: Listener
) -> Callable[[RunFolder], None]:
    """What writes into a new run's folder the weights that it is to start from, and the sources of
    components of this process alone."""
    from ganzoo.engine.checkpoints import saved_weights
    from ganzoo.engine.start import write_start
    from ganzoo.plans import run_fingerprint

    def write_sources(folder: RunFolder) -> None:
        for _, each in recipe.components():
            if each.plugin.source:
                path = folder.source(f"{each.spec.kind}-{each.spec.type}")
                path.parent.mkdir(exist_ok=True)
                write_text(path, each.plugin.source)

    if start is None:
        return write_sources
    run = start if isinstance(start, Run) else open_run(start)
    names = [*run.recipe.networks, *(["loss"] if run.recipe.loss.spec.has_weights else [])]
    warn = progress.warned
    tensors, iteration = saved_weights(run.folder, names, run.iteration, warn)
    parent: Parent = {
        "path": str(run.path.absolute()),
        "fingerprint": run_fingerprint(run.folder) or run.recipe.fingerprint,
        "iteration": iteration,
    }

    def fill(folder: RunFolder) -> None:
        write_sources(folder)
        write_start(folder, tensors=tensors, parent=parent)

    return fill


def resume(
    path: str | Path,
    *overrides: str,
    progress: Listener | bool = False,
    callbacks: Callbacks | None = None,
    pause: int | None = None,
) -> Run:
    """Continue a run from its newest whole checkpoint, or from the start if it has none yet.

    The end is the same, to the byte, as if the run had never been interrupted. A run that is
    trained but was stopped before it was measured is measured, and one whose files were damaged
    since gets them again from its last checkpoint. `overrides` say how it is computed from here
    on, such as `engine.device=cpu`; `train.iterations=40_000` makes a run longer, whether it is
    done or not: its weights are then, to the byte, those of a run that was this long from the
    start, unless something in its recipe stretches over the run. `progress` and `callbacks` are
    those of `train`. After iteration `pause` it stops again. Raises `UserError` if the folder holds
    no run or one that is done, `RunError` where every checkpoint is broken, `PausedRun` where it
    has paused.
    """
    from ganzoo.display import shown

    listener, called = shown(progress), called_back(callbacks or {})
    folder = find_run(path).whole()
    hint = "engine.* can be set, such as engine.device=cpu, and a larger train.iterations"
    refuse_overrides(overrides, path, _resumes_with, hint)
    run = Run(folder, own_recipe(folder, *overrides))
    own = load_recipe(folder.recipe)
    if run.recipe.train.iterations != own.train.iterations:
        _check_longer(run, own)
        return _run(run.recipe, folder, listener, called, resume=True, pause=pause)
    # A run that is done, but has lost its environment.json, gets it again.
    begun = folder.environment.exists()
    if run.status.get("state") == "done" and begun and not _lost(folder, own, listener):
        return _resume_done(run, listener, called)
    return _run(run.recipe, folder, listener, called, resume=True, pause=pause)


def _resumes_with(override: str) -> bool:
    """Whether an override can be set for a run that is resumed."""
    longer = override.partition("=")[0].strip() == "train.iterations"
    return longer or says_how_to_compute(override)


def _check_longer(run: Run, own: Recipe) -> None:
    """Raise `UserError` where the recipe of a run would make it shorter than its `own` one, or no
    longer than it is."""
    wanted, planned = run.recipe.train.iterations, own.train.iterations
    trained = run.status.get("iteration", 0)
    if wanted > max(planned, trained):
        return
    done = run.status.get("state") == "done"
    raise UserError(
        f"train.iterations={wanted} does not make {run.path} longer",
        hint=f"it has been trained for {trained} iterations"
        if done
        else f"it is to be trained for {planned} iterations, and stands at {trained}",
    )


def _lost(folder: RunFolder, recipe: Recipe, progress: Listener) -> bool:
    """Whether files of a finished run are broken or missing; broken ones are set aside."""
    from ganzoo.digests import BrokenFile, pass_over
    from ganzoo.engine.checkpoints import broken_files

    warn = progress.warned
    problems = list(broken_files(folder, recipe))
    for problem in problems:
        if isinstance(problem, BrokenFile):
            pass_over(problem, warn)
        else:
            warn(problem.message)
    return bool(problems)


def _resume_done(run: Run, progress: Listener, called: Mapping[str, Any]) -> Run:
    """Measure a run that is trained, where that is still to be done."""
    runs.remove_unfinished(run.folder)
    if not run.recipe.metrics or run.evaluation:
        raise UserError(
            f"{run.path} is done: there is nothing to resume",
            hint=f"`ganzoo resume {run.path} train.iterations=...` trains it for longer",
        )
    with plugins.installed().listening({**listeners(run.recipe), **called}):
        measure_run(run.recipe, run.folder, progress)
    return run


def _run(
    recipe: Recipe,
    folder: RunFolder,
    progress: Listener,
    called: Mapping[str, Any],
    *,
    resume: bool,
    pause: int | None = None,
) -> Run:
    from ganzoo.engine.process_group import group_from_environment
    from ganzoo.engine.training import train_recipe

    loaded, first = plugins.installed(), group_from_environment().first
    if first and recipe.reads_features:
        warn_of_cache()  # said before hours of training
    with handled("raise"), loaded.listening({**listeners(recipe), **called} if first else {}):
        train_recipe(recipe, folder, loaded, progress, resume=resume, pause=pause)
        if recipe.metrics and first:
            measure_run(recipe, folder, progress)
    # Processes other than the first have no folder that they could read the recipe from.
    return Run(folder, recipe)


def called_back(callbacks: Callbacks) -> dict[str, Any]:
    """An object whose lifecycle hooks are functions, by the name that messages give it.

    Raises `UserError` for a name that is none of a hook's.
    """
    known = [
        hook.removeprefix("ganzoo_")
        for hook in vars(hookspecs)
        if hook.startswith("ganzoo_") and hook not in hookspecs.COMPONENT_HOOKS.values()
    ]
    holder = SimpleNamespace()
    for name, function in callbacks.items():
        if name not in known:
            raise UserError(f"nothing calls back '{name}'", hint=f"there is {one_of(known)}")
        setattr(holder, f"ganzoo_{name}", hookimpl(_passing_on(function)))
    return {"callbacks": holder} if callbacks else {}


def _passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that can be marked as a hook, whatever `function` is, with its arguments."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def components(kind: str | None = None) -> Mapping[str, list[str]]:
    """Names of the installed components, by kind; of one kind only if it is given.

    >>> import ganzoo
    >>> "non-saturating" in ganzoo.components("loss")["loss"]
    True
    """
    from ganzoo.specs import KINDS

    if kind is not None and kind not in KINDS:
        raise UserError(f"no kind of component is called '{kind}'", hint=", ".join(KINDS))
    kinds = [kind] if kind else list(KINDS)
    found = registry.installed()
    return {name: list(found.names(name)) for name in kinds}
