"""A run that was made, read from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import records
from ganzoo.errors import RunError, UserError
from ganzoo.plans import run_fingerprint, written_iterations, written_tables
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.references import BEST, find_run
from ganzoo.runs import RunFolder
from ganzoo.status import Status, read_status

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

    from ganzoo.sampling import Sampler


class Run:
    """A run that was made, read from its folder, with its weights at the end or at a snapshot."""

    def __init__(
        self, folder: RunFolder, recipe: Recipe | None = None, iteration: int | None = None
    ) -> None:
        self.folder = folder
        self.recipe: Recipe = own_recipe(folder) if recipe is None else recipe
        self.iteration = iteration
        """The snapshot whose weights are sampled from; None for those of the end."""

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def status(self) -> Status:
        """State (`running`, `done`, `failed`, `interrupted`, `killed`), iteration, seconds, steps.

        Empty before the run has begun. A run is `killed` if its process ended without a word, as
        far as the file system tells: see `ganzoo.status.read_status`. Raises `RunError` where the
        file is damaged.
        """
        return read_status(self.folder)

    @property
    def statistics(self) -> list[dict[str, Any]]:
        """One row for each logging interval: `iteration`, `images`, `statistics`."""
        return records.read_rows(self.folder.statistics, records.StatisticsRow)

    @property
    def evaluation(self) -> dict[str, Any]:
        """What the metrics gave, `values` of the end among it, or an empty dictionary."""
        from ganzoo.evaluation.document import Measures

        evaluation: dict[str, Any] = records.read_json(self.folder.evaluation, Measures)
        return evaluation

    @property
    def headline(self) -> tuple[str, float] | None:
        """Name and value at the end of the metric that stands for the run, the first one of which
        it is known which way is better; None where nothing was measured."""
        from ganzoo.evaluation.document import headline

        return headline(self.evaluation)

    def snapshots(self) -> list[int]:
        """The iterations of which the weights were kept, in order."""
        return self.folder.snapshots()

    def at(self, iteration: int) -> Run:
        """The run with the weights of a snapshot. Raises `UserError` where there is none."""
        if iteration not in (kept := self.snapshots()):
            there = ", ".join(map(str, kept))
            raise UserError(
                f"{self.path} has no snapshot of iteration {iteration}",
                hint=f"it has {there}" if kept else "evaluate.snapshots=10 keeps ten of a run",
            )
        return Run(self.folder, self.recipe, iteration)

    def best(self, metric: str | None = None) -> Run:
        """The run with the weights of the snapshot at which a metric was best.

        `metric` is the name of one of its values, such as `fid`, by default the headline. Raises
        `UserError` where it was not measured.
        """
        best = self.evaluation.get("best", {})
        named = [name for name in best if metric in (None, name, name.partition("[")[0])]
        if metric is None and (headline := self.headline):
            named = [name for name in named if name == headline[0]]
        if not named:
            raise UserError(
                f"{self.path} was not measured" + ("" if metric is None else f" by '{metric}'"),
                hint="its values are " + ", ".join(best)
                if best
                else "[[metrics]] in the recipe names what is measured",
            )
        return self.at(best[named[0]]["iteration"])

    def sample(
        self, num: int, *, seed: int = 0, prior: str | None = None, label: int | str | None = None
    ) -> Tensor:
        """Samples float32 `(num, *sample_shape)` on the CPU, images in [-1, 1].

        The same seed gives the same samples, however many are drawn. `prior` is the type of one of
        the recipe's priors, by default the one that it samples from; `label` the number or the name
        of a class of a conditional run, by default all with their shares in the data. Raises
        `RunError` before the first checkpoint and for a prior that was not fitted, `UserError` for
        a class or a prior that the run does not have.
        """
        return self._sampler.sample(num, seed=seed, prior=prior, label=label).cpu()

    def picture(
        self, num: int = 64, *, seed: int = 0, prior: str | None = None, label: int | None = None
    ) -> Image:
        """A picture of `num` samples, which a notebook shows: images in a grid, points in a plot.

        The arguments are those of `sample`. Raises as it does, and `UserError` for samples that
        have no picture.
        """
        from ganzoo.pictures import picture_of

        return picture_of(self.sample(num, seed=seed, prior=prior, label=label))

    def _repr_png_(self) -> bytes | None:
        """The last picture of the run, for a notebook."""
        pictures = sorted(self.folder.samples(0).parent.glob("*.png"), key=lambda path: path.name)
        if self.iteration is not None:
            pictures = [self.folder.samples(self.iteration)]
        return pictures[-1].read_bytes() if pictures and pictures[-1].exists() else None

    def sample_each(
        self, seeds: Sequence[int], *, prior: str | None = None, label: int | str | None = None
    ) -> Tensor:
        """One sample of each seed, float32 `(len(seeds), *sample_shape)` on the CPU: what
        `sample(1, seed=...)` gives. Raises as `sample` does."""
        return self._sampler.sample_each(seeds, prior=prior, label=label).cpu()

    def decode(self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """What the generator makes of latents `(N, latent_dim)` of one's choice.

        Samples are float32 `(N, *sample_shape)` on the CPU, images in [-1, 1]. `labels`, int64
        `(N,)`, are the classes of a conditional run, by default drawn with their shares in the
        data. `seed` fixes these, and the noise of a generator that is random. Raises `RunError`
        before the first checkpoint, `UserError` for latents or labels that do not fit the run.

        >>> import ganzoo, torch
        >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "train.iterations=2")
        >>> run = ganzoo.train(recipe, runs=tmp)
        >>> ends = torch.randn(2, recipe.latent.dim)
        >>> path = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, 7)[:, None])
        >>> run.decode(path).shape
        torch.Size([7, 1, 8, 8])
        """
        return self._sampler.decode(z, labels, seed=seed).cpu()

    def encode(self, x: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Codes `(N, latent_dim)` of samples `(N, *sample_shape)`, images in [-1, 1], on the CPU.

        `labels`, int64 `(N,)`, are the classes of a conditional run; `seed` fixes the noise of an
        encoder that is random. Raises `UserError` for a run whose loss knows no codes of samples
        that it was not trained on, and for samples of another shape.
        """
        return self._sampler.encode(x, labels, seed=seed).cpu()

    def reconstruct(self, x: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """What the codes of samples decode to, float32 `(N, *sample_shape)` on the CPU.

        Raises `UserError` as `encode` does.
        """
        sampler = self._sampler
        return sampler.decode(sampler.encode(x, labels, seed=seed), labels, seed=seed).cpu()

    def interpolate(
        self,
        stops: int = 5,
        steps: int = 12,
        *,
        count: int = 1,
        seed: int = 0,
        prior: str | None = None,
        label: int | str | None = None,
    ) -> Tensor:
        """Samples along closed walks through latents, on the CPU, images in [-1, 1].

        They are `(count, stops * steps, *sample_shape)`. A walk goes from each of `stops` random
        latents to the next in `steps` equal steps, and from the last one back to the first: on
        great circles where latents are normal (White 2016, arXiv:1609.04468, section 2.1), else on
        lines. The other arguments are those of `sample`; without `label` each walk is of one
        class, which the seed chooses.
        """
        walks = self._sampler.walk(count, stops, steps, seed=seed, prior=prior, label=label)
        return walks.cpu()

    def generator(self) -> nn.Module:
        """The generator as it is sampled from, a plain module in evaluation mode.

        It maps latents `(N, latent_dim)`, and classes `(N,)` in a conditional run, to samples
        `(N, *sample_shape)`, images in [-1, 1], on the device of `engine.device`.
        """
        return self._sampler.plain_generator()

    @cached_property
    def _sampler(self) -> Sampler:
        """The trained parts, read when they are first used: open the run anew for later weights."""
        from ganzoo.sampling import Sampler

        sampler = Sampler(self.recipe, self.folder)
        if self.iteration is not None:
            sampler.load(self.iteration)
        return sampler

    def __repr__(self) -> str:
        snapshot = "" if self.iteration is None else f", iteration={self.iteration}"
        return f"Run({str(self.path)!r}{snapshot})"


def open_run(path: str | Path, *overrides: str) -> Run:
    """A run, finished or not: its folder, or `latest`, `NAME`, `NAME@-2`, and `@ITERATION` or
    `@best` after it for a snapshot. Names are those of recipes, below the folder `runs`.

    `overrides` say how it is computed here, such as `engine.device=cpu`. Raises `UserError` for
    what means no run and for other overrides, `RunError` where the recipe in the folder is no
    longer the run's.

    >>> import ganzoo
    >>> recipe = ganzoo.load_recipe("digits-mlp-gan", "train.iterations=2")
    >>> run = ganzoo.train(recipe, runs=tmp)
    >>> ganzoo.open_run(run.path).sample(5).shape
    torch.Size([5, 1, 8, 8])
    """
    hint = "engine.* can be set for a run that has begun, such as engine.device=cpu"
    refuse_overrides(overrides, path, says_how_to_compute, hint)
    folder, snapshot = find_run(path)
    run = Run(folder, own_recipe(folder, *overrides))
    if snapshot == BEST:
        return run.best()
    return run if snapshot is None else run.at(int(snapshot))


load = open_run
"""The same by the name under which model cards know it."""


def refuse_overrides(
    overrides: Iterable[str], run: str | Path, taken: Callable[[str], bool], hint: str
) -> None:
    """Raise `UserError` for the first override that cannot be set for a run that has begun."""
    for override in overrides:
        if not taken(override):
            raise UserError(f"'{override}' would change the run {run}", hint=hint)


def check_done(folder: RunFolder, what: str) -> None:
    """Raise `UserError` where a run is not done, and so cannot be `what`: measured, compared."""
    state = read_status(folder).get("state")
    if state == "done":
        return
    stands = f"is {state}" if state else "has not begun"
    running = state == "running"
    finish = "wait for its end" if running else f"`ganzoo resume {folder.path}` finishes it"
    raise UserError(f"{folder.path} {stands}: only a run that is done can be {what}", hint=finish)


def own_recipe(folder: RunFolder, *overrides: str) -> Recipe:
    """The recipe of a run, and what overrides make of it. Raises `RunError` as `check_own` does."""
    recipe = load_recipe(folder.recipe)
    check_own(folder, recipe)
    return load_recipe(folder.recipe, *overrides) if overrides else recipe


def check_own(folder: RunFolder, recipe: Recipe) -> None:
    """Raise `RunError` where a run's recipe.toml is not the one that it was started with.

    What decides no weights may have changed. `recipe` is what the file ought to hold.
    """
    recorded = run_fingerprint(folder)
    if recorded is None:
        return
    newest = max([0, *(int(path.stem) for path in folder.checkpoints())])
    # A run that was made longer has plans before, but does not go back to them.
    ahead = newest > written_iterations(folder)
    if not ahead and recorded == recipe.fingerprint_as_written(written_tables(folder)):
        return
    # Keys that were left out of the file are as they were where their defaults are.
    if ahead or recorded != load_recipe(folder.recipe).fingerprint:
        raise RunError(
            f"{folder.recipe} is not the recipe that this run was started with",
            hint=f"restore it from a copy; `ganzoo run {folder.recipe}` makes a new run of it",
        )


def says_how_to_compute(override: str) -> bool:
    """Whether an override changes nothing but where and in which precision a run is computed."""
    return table_of(override) == "engine"


def table_of(override: str) -> str:
    """The table of a recipe that an override changes."""
    return override.partition("=")[0].strip().partition(".")[0]
