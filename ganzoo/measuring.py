"""Measures runs by metrics: at the end of a run, and whenever somebody asks later."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import plugins, records, registry, runs
from ganzoo.errors import GanzooError, InterruptedRun, RunError, UserError, describe
from ganzoo.interruption import handled, number_of
from ganzoo.protocols import RunInfo
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.references import find_run
from ganzoo.run import Run, check_done, own_recipe, refuse_overrides, table_of
from ganzoo.runs import RunFolder

if TYPE_CHECKING:
    from ganzoo.engine.events import Listener
    from ganzoo.evaluation.document import Measures

TABLES = ("evaluate", "extractor", "engine")
"""Tables of a recipe that say how a run is measured, and where."""


def measure(
    path: str | Path,
    metrics: Sequence[str] = (),
    *overrides: str,
    progress: Listener | bool = False,
) -> Run:
    """Measure a run that is done, and put the values into its `evaluation.json`.

    `metrics` are types of installed metrics, by default those of the run's recipe. One that the
    recipe names has its keys from there, any other one its defaults. `overrides` of `evaluate.*`,
    `extractor.*` and `engine.*` say how the run is measured. Values that were there stay, unless
    they are measured again, or were measured in another way: then all are replaced, and `progress`
    is warned. Raises `UserError` for a run that is not done, and for a metric that there is not
    or that does not go with the recipe.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "train.iterations=2", "metrics=[]")
    >>> run = ganzoo.measure(ganzoo.train(recipe, runs=tmp).path, ["sharpness"])
    >>> list(run.evaluation["values"])
    ['sharpness', 'sharpness/relative']
    """
    from ganzoo.display import shown

    folder = find_run(path).whole()
    hint = "evaluate.*, extractor.* and engine.* say how it is measured"
    refuse_overrides(overrides, folder.path, lambda override: table_of(override) in TABLES, hint)
    for override in overrides:
        if override.partition("=")[0].strip() == "evaluate.snapshots":
            raise UserError(
                f"'{override}' cannot be set for a run that is trained",
                hint=f"{folder.path} is measured at the snapshots that it kept",
            )
    own = own_recipe(folder)
    check_done(folder, "measured")
    recipe = _with_metrics(folder, own, metrics, overrides)
    order = [each.spec.type for each in own.metrics]
    with plugins.installed().listening(listeners(own)):
        measure_run(recipe, folder, shown(progress), order=order, merging=True)
    return Run(folder, own)


def listeners(recipe: Recipe) -> dict[str, Any]:
    """The recipe's listeners, built, by the names that messages give them."""
    from ganzoo.engine.parts import base_context

    context = base_context(recipe)
    return {
        f"{each.plugin.name} (listener '{each.name}')": each.spec.build(context)
        for each in recipe.listeners
    }


def _with_metrics(
    folder: RunFolder, own: Recipe, names: Sequence[str], overrides: Sequence[str]
) -> Recipe:
    """The recipe of a run, with the metrics that were named. Raises `UserError`."""
    if not names:
        if not own.metrics:
            raise UserError(
                f"the recipe of {folder.path} names no metrics",
                hint="name some, as `ganzoo components metric` lists them",
            )
        return load_recipe(folder.recipe, *overrides)
    found = [registry.installed().find("metric", name) for name in names]
    keys = {each.spec.type: each for each in own.metrics}
    # Loaded with the recipe, so that what a metric needs is checked as always.
    tables = [
        f"{{ type = '{each.qualified}' }}"
        for each in {each.qualified: each for each in found}.values()
        if each.spec.type not in keys
    ]
    loaded = load_recipe(folder.recipe, f"metrics=[{', '.join(tables)}]", *overrides)
    chosen = {**keys, **{each.spec.type: each for each in loaded.metrics}}
    order = dict.fromkeys(each.spec.type for each in found)
    return replace(loaded, metrics=tuple(chosen[name] for name in order))


def measure_run(
    recipe: Recipe,
    folder: RunFolder,
    progress: Listener,
    *,
    order: Sequence[str] = (),
    merging: bool = False,
) -> None:
    """Write the metrics of a run; an error in one becomes a message and a traceback file.

    With `merging`, what was measured before stays; values of the types in `order` come first.
    """
    from ganzoo.engine.memory import is_out_of_memory, out_of_memory
    from ganzoo.evaluation.measure import measure

    warn = progress.warned
    try:
        with handled("raise"):
            measures = measure(recipe, folder, recipe.metrics, warn=warn)
            left_out = measures["left_out"]
            if merging:
                measures = _merge(folder, measures, order, progress)
            else:
                records.write_json(folder.evaluation, measures)
    except GanzooError:
        raise
    except KeyboardInterrupt as stop:
        again = "measure" if merging else "resume"
        raise InterruptedRun(
            f"{folder.path} is trained, but was stopped before it was measured",
            hint=f"`ganzoo {again} {folder.path}` measures it",
            number=number_of(stop),
        ) from None
    except Exception as error:
        records.write_text(folder.traceback, traceback.format_exc())
        if is_out_of_memory(error):
            device = recipe.engine.device
            raise out_of_memory(recipe, "to measure", device, "evaluate.samples") from error
        raise RunError(
            f"{folder.path} is trained, but measuring it failed: {describe(error)}",
            hint=f"the traceback is in {folder.traceback}",
        ) from error
    for name, reason in left_out.items():
        warn(f"metric '{name}' is left out: {reason}")
    run = RunInfo(folder.path, recipe.name, recipe.tables(), 0)
    plugins.installed().notify(
        "ganzoo_evaluated", run=run, iteration=measures["iteration"], values=measures["values"]
    )


def _merge(
    folder: RunFolder, measures: Measures, order: Sequence[str], progress: Listener
) -> Measures:
    """Put measures into evaluation.json; what it then holds."""
    from ganzoo.engine.training import locked
    from ganzoo.evaluation import document
    from ganzoo.evaluation.merging import difference, merged

    # Locked, so that two who measure at a time both leave their values.
    with locked(folder):
        check_done(folder, "measured")
        before: Measures = records.read_json(folder.evaluation, document.Measures)
        if not before:
            result = measures
        elif text := difference(before, measures):
            result = measures
            progress.warned(
                f"the values in {folder.evaluation} were measured in another way ({text}): "
                "those of now replace them all"
            )
        else:
            result = merged(before, measures, order)
        runs.remove_unfinished(folder)
        records.write_json(folder.evaluation, result)
    return result
