"""What is compared: recipes and runs, and for each recipe the runs that it needs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import PositiveFloat

from ganzoo.comparison.budget import Budget, iterations_for_images
from ganzoo.comparison.jobs import Outcome, iterations_per_second
from ganzoo.comparison.workers import in_own_process
from ganzoo.errors import GanzooError, UserError
from ganzoo.plans import earlier_plans, run_fingerprint
from ganzoo.recipe import Recipe, load_recipe
from ganzoo.recipe.model import OBSERVING
from ganzoo.recipe.shipped import recipe_file
from ganzoo.records import read_json, write_json
from ganzoo.references import find_run
from ganzoo.run import check_done, check_own, own_recipe, says_how_to_compute, table_of
from ganzoo.runs import Environment, RunFolder
from ganzoo.status import read_status

MEASURING = frozenset({"evaluate", "extractor", "metrics"})
"""Tables of a recipe that say how runs are measured."""


@dataclass
class Entrant:
    """One recipe of a comparison, and a run of it for each seed."""

    recipe: Recipe
    """With the budget; its seed means nothing."""
    folders: dict[int, Path] = field(default_factory=dict)
    """The folder of the run of each seed, whether it exists or not."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By seed, what became of the runs."""
    file: Path | None = None
    """The recipe's file; None for runs that are trained."""
    overrides: tuple[str, ...] = ()
    """What is changed of the recipe, or of how runs that are trained are measured."""
    label: str | None = None
    """What it is called where recipes of one name differ; None for the recipe's name."""

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return self.label or self.recipe.name

    def notes(self) -> tuple[str, ...]:
        """What is unwise about the recipe with its budget; nothing of runs that are trained."""
        if self.file is None:
            return ()
        length = f"train.iterations={self.recipe.train.iterations}"
        return load_recipe(self.file, *self.overrides, length).notes


def enter(targets: Sequence[str | Path], overrides: Sequence[str]) -> list[Entrant]:
    """An entrant for each recipe; runs that differ in nothing but the seed are one entrant.

    Raises `UserError` for a target that is no recipe and no finished run, and for one that is
    there twice.
    """
    if not targets:
        raise UserError("nothing to compare", hint="give two recipes, or folders of runs")
    entrants: dict[str, Entrant] = {}
    for target in targets:
        if (run := run_of(target)) is not None:
            enter_run(run, entrants, overrides)
            continue
        path = Path(target)
        recipe = load_recipe(path, *overrides)
        fingerprint = with_seed(recipe, 0).fingerprint
        if fingerprint in entrants:
            raise UserError(
                f"{path} trains the same model as a recipe before it", hint="give it once"
            )
        entrants[fingerprint] = Entrant(recipe, file=path, overrides=tuple(overrides))
    return list(entrants.values())


def run_of(target: str | Path) -> RunFolder | None:
    """The run that a target means, None for a recipe. Raises `UserError` where it means neither."""
    path = Path(target)
    there = os.path.exists(recipe_file(path))
    if not os.path.isdir(path) and (there or path.suffix == ".toml"):
        return None
    try:
        found = find_run(target)
    except UserError as error:
        if os.path.isdir(target):
            raise
        raise UserError(f"there is no recipe and no run {target}", hint=error.hint) from error
    return found.whole()


def enter_run(folder: RunFolder, entrants: dict[str, Entrant], overrides: Sequence[str]) -> None:
    """Add a run to the entrant of its recipe and its versions, or as a new one."""
    path = folder.path
    check_done(folder, "compared")
    recipe = own_recipe(folder, *filter(leaves_runs_alone, overrides))
    environment: Environment = read_json(folder.environment, Environment)
    recorded = environment.get("plugins", {})
    used = {name: recorded.get(name) for name in deciding_versions(recipe)}
    parent = environment.get("parent")
    start = f" from {parent['fingerprint']} {parent['iteration']}" if parent else ""
    identity = f"run {with_seed(recipe, 0).fingerprint} {used}{start}"
    entrant = entrants.setdefault(identity, Entrant(recipe, overrides=tuple(overrides)))
    seed = recipe.train.seed
    if seed in entrant.folders:
        raise UserError(
            f"{path} and {entrant.folders[seed]} are runs of one recipe with the seed {seed}",
            hint="they are the same run twice: give one of them",
        )
    entrant.folders[seed] = path


def leaves_runs_alone(override: str) -> bool:
    """Whether an override changes nothing but how runs are measured, and where."""
    return table_of(override) in MEASURING or says_how_to_compute(override)


def check_options_apply(
    entrants: Sequence[Entrant],
    seeds: int | None,
    budget: Budget | None,
    overrides: Sequence[str],
) -> None:
    """Raise `UserError` for options that only recipes can follow where there are finished runs."""
    folders = [path for entrant in entrants for path in entrant.folders.values()]
    if budget is not None and folders:
        raise UserError(
            f"{folders[0]} is trained already: a budget is for recipes",
            hint="give its recipe, or leave out --budget",
        )
    changes = [override for override in overrides if not leaves_runs_alone(override)]
    if all(entrant.folders for entrant in entrants) and (seeds or changes):
        option = changes[0] if changes else f"--seeds {seeds}"
        raise UserError(
            f"'{option}' is for recipes, but {folders[0]} is trained already",
            hint="give its recipe, or leave it out",
        )


def check_same_data(entrants: Sequence[Entrant]) -> None:
    """Raise `UserError` where two recipes have different data."""
    first = entrants[0].recipe
    expected = first.data.table(qualified=True)
    for entrant in entrants[1:]:
        table = entrant.recipe.data.table(qualified=True)
        if table != expected:
            keys = sorted(key for key in table | expected if table.get(key) != expected.get(key))
            raise UserError(
                f"'{entrant.recipe.name}' and '{first.name}' have different data: "
                + ", ".join(f"data.{key}" for key in keys),
                hint="only models of the same data can be compared",
            )


def plan(
    entrant: Entrant,
    seeds: int | None,
    budget: Budget | None,
    out: Path,
    runs: Path,
    data: str | None,
    report: Callable[[str], None],
) -> None:
    """Choose the folders of the runs that a recipe needs; `report` is told of damaged ones."""
    if budget is not None:
        entrant.recipe = within(budget, entrant.recipe, out)
    for seed in range(seeds) if seeds else [entrant.recipe.train.seed]:
        entrant.folders[seed] = place(with_seed(entrant.recipe, seed), runs, data, report)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another seed."""
    return recipe.changed(train={"seed": seed})


def within(budget: Budget, recipe: Recipe, out: Path) -> Recipe:
    """The recipe with as many iterations as the budget allows.

    Seconds are turned into iterations by training for a few seconds. The speed is written to
    `out`, so that the same comparison has the same runs when it is repeated.
    """
    if budget.kind == "iterations":
        iterations = budget.amount
    elif budget.kind == "images":
        iterations = iterations_for_images(recipe, budget.amount)
    else:
        file = out / "speeds.json"
        speeds: dict[str, float] = read_json(file, dict[str, PositiveFloat])
        key = f"{recipe.name} {recipe.fingerprint}"
        if key not in speeds:
            speeds[key] = in_own_process(iterations_per_second, recipe.to_toml())
            write_json(file, speeds)
        iterations = max(1, round(budget.amount * speeds[key]))
    return recipe.changed(train={"iterations": iterations})


def place(
    recipe: Recipe,
    runs: Path,
    data: str | None,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """The folder of a recipe's run: an existing one, finished if possible, else a new one.

    A run fits if its fingerprint is the recipe's, its data have the hash `data`, and it was made by
    the same versions of all plugins that decide its weights. Folders whose files are damaged, or
    whose recipe was changed since, are passed over.
    """
    versions = deciding_versions(recipe)
    fitting: list[tuple[bool, Path]] = []
    for file in sorted((runs / recipe.name).glob("*/environment.json")):
        try:
            recorded: Environment = read_json(file, Environment)
            done = read_status(RunFolder(file.parent)).get("state") == "done"
            same_versions = versions.items() <= recorded.get("plugins", {}).items()
            same_data = bool(recorded) and recorded["data"]["digest"] == data
            same_recipe = run_fingerprint(RunFolder(file.parent)) == recipe.fingerprint
            # What started from another run is no run of the recipe alone.
            own = "parent" not in recorded
            if own and same_recipe and same_versions and same_data:
                check_own(RunFolder(file.parent), recipe)
                fitting.append((not done, file.parent))
        except GanzooError as error:
            report(f"warning: {file.parent} is passed over: {error.message}")
    if fitting:
        return min(fitting)[1]
    identity = json.dumps([recipe.fingerprint, versions, data])
    digest = hashlib.sha256(identity.encode()).hexdigest()
    path = runs / recipe.name / f"seed-{recipe.train.seed}-{digest[:8]}"
    # A run that was begun as one of this recipe may have been made longer since.
    names = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], names) if not _longer(RunFolder(each)))


def _longer(folder: RunFolder) -> bool:
    """Whether there is a run that was made longer than it was to be."""
    try:
        return bool(earlier_plans(folder))
    except GanzooError:  # damaged, which whoever takes the folder is told
        return False


def deciding_versions(recipe: Recipe) -> dict[str, str]:
    """Versions by distribution of all plugins that decide the weights of a recipe's run."""
    from ganzoo.engine.environment import versions

    return versions(
        component.plugin
        for place, component in recipe.components()
        if place.partition(".")[0] not in OBSERVING
    )
