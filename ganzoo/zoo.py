"""The Python face of ganzoo: what the command line does, as functions."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import plugins, registry, runs
from ganzoo.errors import GanzooError, RunError, UserError, describe
from ganzoo.protocols import RunInfo
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.runs import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.engine.events import Listener


class Run:
    """A run that was made, read from its folder."""

    def __init__(self, folder: RunFolder, recipe: Recipe | None = None) -> None:
        self.folder = folder
        self.recipe: Recipe = load_recipe(folder.recipe) if recipe is None else recipe

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def status(self) -> dict[str, Any]:
        """State (`running`, `done`, `failed`, `interrupted`), iteration, seconds, steps."""
        status: dict[str, Any] = runs.read_json(self.folder.status)
        return status

    @property
    def statistics(self) -> list[dict[str, Any]]:
        """One row for each logging interval: `iteration`, `images`, `statistics`."""
        return runs.read_rows(self.folder.statistics)

    @property
    def evaluation(self) -> dict[str, Any]:
        """What the metrics gave, `values` of the end among it, or an empty dictionary."""
        evaluation: dict[str, Any] = runs.read_measures(self.folder.evaluation)
        return evaluation

    def sample(
        self, num: int, *, seed: int = 0, prior: str | None = None, label: int | None = None
    ) -> Tensor:
        """Samples float32 `(num, *sample_shape)` on the CPU, images in [-1, 1].

        The same seed gives the same samples, however many are drawn. `prior` is the type of one of
        the recipe's priors, by default the one that it samples from; `label` a class of a
        conditional run, by default all classes with their shares in the data. Raises `RunError`
        before the first checkpoint and for a prior that was not fitted, `UserError` for a class or
        a prior that the run does not have.
        """
        from ganzoo.sampling import Sampler

        sampler = Sampler(self.recipe, self.folder)
        return sampler.sample(num, seed=seed, prior=prior, label=label).cpu()

    def decode(self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """What the generator makes of latents `(N, latent_dim)` of one's choice.

        Samples are float32 `(N, *sample_shape)` on the CPU, images in [-1, 1]. `labels`, int64
        `(N,)`, are the classes of a conditional run, by default drawn with their shares in the
        data. `seed` fixes these, and the noise of a generator that is random. Raises `RunError`
        before the first checkpoint, `UserError` for latents or labels that do not fit the run.

        >>> import ganzoo, torch
        >>> recipe = ganzoo.load_recipe("recipes/digits-mlp-gan.toml", "train.iterations=2")
        >>> run = ganzoo.train(recipe, runs=tmp)
        >>> ends = torch.randn(2, recipe.latent.dim)
        >>> path = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, 7)[:, None])
        >>> run.decode(path).shape
        torch.Size([7, 1, 8, 8])
        """
        from ganzoo.sampling import Sampler

        return Sampler(self.recipe, self.folder).decode(z, labels, seed=seed).cpu()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def open_run(path: str | Path) -> Run:
    """The run in a folder, finished or not. Raises `UserError` if the folder holds none.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("recipes/digits-mlp-gan.toml", "train.iterations=2")
    >>> run = ganzoo.train(recipe, runs=tmp)
    >>> ganzoo.open_run(run.path).sample(5).shape
    torch.Size([5, 1, 8, 8])
    """
    return Run(runs.find_run_folder(path))


def train(
    recipe: Recipe,
    *,
    runs: str | Path = "runs",
    identity: str | None = None,
    progress: Listener | None = None,
) -> Run:
    """Train a recipe in a new folder below `runs` and measure the result.

    `identity` names the folder (by default the time and a random number); `progress` shows how it
    proceeds (by default nothing is shown). Raises `UserError` where the data or the
    device are not there, `RunError` where the run cannot go on.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("recipes/digits-mlp-gan.toml", "train.iterations=2")
    >>> run = ganzoo.train(recipe, runs=tmp)
    >>> run.status["state"], run.status["iteration"]
    ('done', 2)
    """
    from ganzoo.engine.process_group import group_from_environment
    from ganzoo.runs import create_run_folder, write_text

    if group_from_environment().first:
        folder = create_run_folder(Path(runs), recipe.name, identity)
        write_text(folder.recipe, recipe.to_toml())
    else:
        folder = RunFolder(Path(runs))  # only rank 0 writes
    try:
        return _run(recipe, folder, progress, resume=False)
    except UserError:
        # What the user gave is not there: the run has not begun, and nothing of it stays.
        if group_from_environment().first and not folder.environment.exists():
            shutil.rmtree(folder.path)
        raise


def resume(path: str | Path, *, progress: Listener | None = None) -> Run:
    """Continue a run from its newest valid checkpoint, or from the start if it has none.

    The end is the same, to the byte, as if the run had never been interrupted. A run that is
    trained but was stopped before it was measured is measured. Raises
    `UserError` if the folder holds no run or one that is done.
    """
    run = open_run(path)
    if run.status.get("state") == "done":
        if run.recipe.metrics and not run.evaluation:
            with plugins.installed().listening(_listeners(run.recipe)):
                _measure(run.recipe, run.folder, progress)
            return run
        raise UserError(
            f"{path} is done: there is nothing to resume",
            hint="`ganzoo run` with train.iterations=... makes a longer run",
        )
    recorded = runs.read_json(run.folder.environment).get("fingerprint")
    if recorded not in (None, run.recipe.fingerprint):
        raise RunError(
            f"{run.folder.recipe} is not the recipe that this run was started with",
            hint=f"`ganzoo run {run.folder.recipe}` makes a new run of it",
        )
    return _run(run.recipe, run.folder, progress, resume=True)


def _run(recipe: Recipe, folder: RunFolder, progress: Listener | None, *, resume: bool) -> Run:
    from ganzoo.engine.events import Listener
    from ganzoo.engine.process_group import group_from_environment
    from ganzoo.engine.training import train_recipe

    loaded, first = plugins.installed(), group_from_environment().first
    with loaded.listening(_listeners(recipe) if first else {}):
        train_recipe(recipe, folder, loaded, progress or Listener(), resume=resume)
        if recipe.metrics and first:
            _measure(recipe, folder, progress)
    # Processes other than the first have no folder that they could read the recipe from.
    return Run(folder, recipe)


def _listeners(recipe: Recipe) -> dict[str, Any]:
    """The recipe's listeners, built, by the names that messages give them."""
    from ganzoo.engine.parts import base_context

    context = base_context(recipe)
    return {
        f"{each.plugin.name} (listener '{each.name}')": each.spec.build(context)
        for each in recipe.listeners
    }


def _measure(recipe: Recipe, folder: RunFolder, progress: Listener | None) -> None:
    """Write the metrics of a run; an error in one becomes a message and a traceback file."""
    from ganzoo.engine.events import Listener
    from ganzoo.engine.memory import is_out_of_memory, out_of_memory
    from ganzoo.evaluation.measure import measure

    warn = (progress or Listener()).warned
    try:
        measures = measure(recipe, folder, recipe.metrics, warn=warn)
        runs.write_json(folder.evaluation, measures)
    except GanzooError:
        raise
    except Exception as error:
        runs.write_text(folder.traceback, traceback.format_exc())
        if is_out_of_memory(error):
            device = recipe.engine.device
            raise out_of_memory(recipe, "to measure", device, "evaluate.samples") from error
        raise RunError(
            f"{folder.path} is trained, but measuring it failed: {describe(error)}",
            hint=f"the traceback is in {folder.traceback}",
        ) from error
    for name, reason in measures["left_out"].items():
        warn(f"metric '{name}' is left out: {reason}")
    run = RunInfo(folder.path, recipe.name, recipe.tables(), 0)
    plugins.installed().notify(
        "ganzoo_evaluated", run=run, iteration=measures["iteration"], values=measures["values"]
    )


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
