"""Trains what is not trained yet, measures all alike, and says what the figures can bear.

    targets ──► entrants ──► jobs ──► launcher ──► outcomes ──► comparison.json ──► report

The comparison is plain data; `ganzoo.evaluation.report` turns it into pages.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import local, registry
from ganzoo.comparison.budget import Budget, iterations_for_images
from ganzoo.comparison.jobs import Job, Outcome, iterations_per_second
from ganzoo.comparison.launchers import Launcher, in_own_process, make_launcher
from ganzoo.errors import InterruptedRun, RunError, UserError
from ganzoo.plugins import CORE
from ganzoo.recipe import Component, Recipe, load_recipe
from ganzoo.runs import RunFolder, find_run_folder, read_json, write_json

if TYPE_CHECKING:
    from ganzoo.engine.recorder import Progress
    from ganzoo.specs import MetricSpec

FORMAT = 1
"""Version of comparison.json."""


@dataclass
class Entrant:
    """One model of a comparison: a recipe, and a run of it for each seed."""

    recipe: Recipe
    """With the budget, but whatever seed."""
    folders: dict[int, Path] = field(default_factory=dict)
    """The run of each seed, there or to be made."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What `compare` made."""

    data: Mapping[str, Any]
    """What comparison.json holds."""
    out: Path
    """Folder of report.html, comparison.json and comparison.md."""


def compare(
    *targets: str | Path,
    seeds: int | None = None,
    budget: Budget | None = None,
    overrides: Sequence[str] = (),
    out: str | Path = "comparison",
    runs: str | Path = "runs",
    launcher: str = "local",
    display: Callable[[], Progress] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Compare recipes, or finished runs, on the data that they share.

    Each recipe is trained once for each of the seeds 0 to `seeds` - 1 (by default for its own
    seed), for its own length or for the budget. Runs below `runs` that were made by the same
    recipe with the same versions are taken and not repeated; interrupted ones are resumed. A
    target that is a run folder stands for that run alone. `overrides` change every recipe, and
    those of its table [evaluate] say how runs are measured too; `launcher` is `local` or `ray`.
    Writes `report.html`, `comparison.json` and `comparison.md` into `out`.

    Runs are made in processes of their own: a script that calls this does so below
    `if __name__ == "__main__":`. Raises `UserError` for targets that cannot be compared,
    `InterruptedRun` after Ctrl-C and `RunError` if every run fails. A run that fails beside
    others is named in the result.
    """
    from ganzoo.evaluation.report import write_report

    making = make_launcher(launcher)
    out, runs = Path(out), Path(runs)
    entrants = enter(targets, overrides)
    check_something_is_asked_of_recipes(entrants, seeds, budget, overrides)
    check_same_data(entrants)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"no report can be written to {out}: {error.strerror}", hint="--out names a folder"
        ) from error
    command = describe_command(targets, seeds, budget, overrides, out, runs, launcher)
    try:
        for entrant in entrants:
            if not entrant.folders:
                plan(entrant, seeds, budget, out, runs)
        run_all(entrants, making, display, tell)
    except KeyboardInterrupt:
        raise InterruptedRun(
            "the comparison was stopped", hint=f"`{command}` goes on from the runs' checkpoints"
        ) from None
    data = assemble(entrants, budget, command)
    write_json(out / "comparison.json", data)
    write_report(data, out)
    return Comparison(data, out)


def enter(targets: Sequence[str | Path], overrides: Sequence[str]) -> list[Entrant]:
    """An entrant for each recipe; runs that differ in nothing but the seed are one entrant."""
    if not targets:
        raise UserError("nothing to compare", hint="give two recipes, or folders of runs")
    entrants: dict[str, Entrant] = {}
    for target in targets:
        path = Path(target)
        if path.is_dir():
            enter_run(path, entrants, overrides)
            continue
        if not path.exists() and path.suffix != ".toml":
            raise UserError(
                f"there is no recipe and no run {path}",
                hint="give files of recipes, or the folders that `ganzoo run` printed",
            )
        recipe = load_recipe(path, *overrides)
        same = with_seed(recipe, 0).fingerprint
        if same in entrants:
            raise UserError(f"{path} says the same as a recipe before it: give it once")
        entrants[same] = Entrant(recipe)
    return list(entrants.values())


def enter_run(path: Path, entrants: dict[str, Entrant], overrides: Sequence[str]) -> None:
    """Add a run to `entrants`, to the runs of its recipe and its versions if there are any."""
    folder = find_run_folder(path)
    if read_json(folder.status).get("state") != "done":
        raise UserError(
            f"{path} is not done: it cannot be compared",
            hint=f"`ganzoo resume {path}` finishes it",
        )
    recipe = load_recipe(folder.recipe, *filter(says_how_to_measure, overrides))
    plugins = read_json(folder.environment).get("plugins")
    same = f"run {with_seed(recipe, 0).fingerprint} {plugins}"
    entrant = entrants.setdefault(same, Entrant(recipe))
    seed = recipe.train.seed
    if seed in entrant.folders:
        raise UserError(
            f"{path} and {entrant.folders[seed]} are runs of one recipe with the seed {seed}",
            hint="they are the same run twice: give one of them",
        )
    entrant.folders[seed] = path


def says_how_to_measure(override: str) -> bool:
    """Whether an override changes nothing but how runs are measured."""
    return override.partition("=")[0].strip().partition(".")[0] == "evaluate"


def check_something_is_asked_of_recipes(
    entrants: Sequence[Entrant],
    seeds: int | None,
    budget: Budget | None,
    overrides: Sequence[str],
) -> None:
    """Raises `UserError` where runs that are trained already are asked to be others."""
    folders = [path for entrant in entrants for path in entrant.folders.values()]
    if budget is not None and folders:
        raise UserError(
            f"{folders[0]} is trained already: a budget is for recipes",
            hint="give its recipe, or leave out --budget",
        )
    changes = [override for override in overrides if not says_how_to_measure(override)]
    if all(entrant.folders for entrant in entrants) and (seeds or changes):
        what = changes[0] if changes else f"--seeds {seeds}"
        raise UserError(
            f"'{what}' is for recipes, but {folders[0]} is trained already",
            hint="give its recipe, or leave it out",
        )


def check_same_data(entrants: Sequence[Entrant]) -> None:
    """Raises `UserError` where two recipes are about different data."""
    first = entrants[0].recipe
    theirs = first.data.table(qualified=True)
    for entrant in entrants[1:]:
        mine = entrant.recipe.data.table(qualified=True)
        if mine != theirs:
            keys = sorted(key for key in mine | theirs if mine.get(key) != theirs.get(key))
            raise UserError(
                f"'{entrant.recipe.name}' and '{first.name}' are about different data: "
                + ", ".join(f"data.{key}" for key in keys),
                hint="a figure tells models apart only on the same data",
            )


def plan(entrant: Entrant, seeds: int | None, budget: Budget | None, out: Path, runs: Path) -> None:
    """Say for a recipe which runs it needs."""
    if budget is not None:
        entrant.recipe = within(budget, entrant.recipe, out)
    for seed in range(seeds) if seeds else [entrant.recipe.train.seed]:
        entrant.folders[seed] = place(with_seed(entrant.recipe, seed), runs)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another seed."""
    return recipe.changed(train={"seed": seed})


def within(budget: Budget, recipe: Recipe, out: Path) -> Recipe:
    """The recipe, as long as the budget lets it be.

    Seconds are turned into iterations by training for a few seconds here; the speed is kept in
    `out`, so that the same comparison asks for the same runs when it is repeated.
    """
    if budget.kind == "iterations":
        iterations = budget.amount
    elif budget.kind == "images":
        iterations = iterations_for_images(recipe, budget.amount)
    else:
        kept = out / "speeds.json"
        speeds = read_json(kept)
        key = f"{recipe.name} {recipe.fingerprint}"
        if key not in speeds:
            speeds[key] = in_own_process(iterations_per_second, recipe.to_toml())
            write_json(kept, speeds)
        iterations = max(1, round(budget.amount * speeds[key]))
    return recipe.changed(train={"iterations": iterations})


def place(recipe: Recipe, runs: Path) -> Path:
    """The folder of a recipe's run: one that is there and fits, else a new one."""
    from ganzoo.engine.environment import versions

    plugins = versions(component.plugin for _, component in recipe.components())
    fitting = []
    for file in sorted((runs / recipe.name).glob("*/environment.json")):
        made = read_json(file)
        if made.get("fingerprint") == recipe.fingerprint and made.get("plugins") == plugins:
            done = read_json(RunFolder(file.parent).status).get("state") == "done"
            fitting.append((not done, file.parent))
    if fitting:
        return min(fitting)[1]
    made_of = json.dumps([recipe.fingerprint, plugins])
    digest = hashlib.sha256(made_of.encode()).hexdigest()
    return runs / recipe.name / f"seed-{recipe.train.seed}-{digest[:8]}"


def run_all(
    entrants: Sequence[Entrant],
    launcher: Launcher,
    display: Callable[[], Progress] | None,
    tell: Callable[[str], None],
) -> None:
    """Have every run made and measured, and keep the outcomes."""
    # All are measured in one way, even where their recipes say different things about it.
    evaluate = entrants[0].recipe.evaluate.model_dump(mode="json")
    metrics = choose_metrics(entrants)
    jobs, owners = [], []
    for entrant in entrants:
        tables = tuple(
            metric.table(qualified=True)
            for metric in metrics
            if entrant.recipe.meets(metric.spec.needs)
        )
        for seed, folder in entrant.folders.items():
            recipe = with_seed(entrant.recipe, seed)
            jobs.append(Job(recipe.to_toml(), str(folder), tables, evaluate, display))
            owners.append((entrant, seed))
    for number, (outcome, (entrant, seed)) in enumerate(
        zip(launcher.launch(jobs), owners, strict=True), start=1
    ):
        entrant.outcomes[seed] = outcome
        state = f"failed: {outcome.message}" if outcome.message else "measured"
        tell(f"{number}/{len(jobs)}  {entrant.recipe.name}, seed {seed}: {state}")


def choose_metrics(entrants: Sequence[Entrant]) -> list[Component[MetricSpec]]:
    """The metrics that some recipe names, as the first of them sets them, and all those that
    comparisons take by themselves, in the order in which plugins declare them."""
    named: dict[str, Component[MetricSpec]] = {}
    for entrant in entrants:
        for metric in entrant.recipe.metrics:
            named.setdefault(f"{metric.plugin.distribution}:{metric.spec.type}", metric)
    chosen = []
    for entry in registry.installed().declared("metric"):
        spec: Any = entry.spec
        complete = not any(key.is_required() for key in spec.model_fields.values())
        if entry.qualified in named:
            chosen.append(named[entry.qualified])
        elif spec.compared and complete:
            chosen.append(Component(entry.qualified, spec(), entry.plugin))
    return chosen


def describe_command(
    targets: Sequence[str | Path],
    seeds: int | None,
    budget: Budget | None,
    overrides: Sequence[str],
    out: Path,
    runs: Path,
    launcher: str,
) -> str:
    """The command line that repeats the comparison."""
    words = ["ganzoo", "compare", *(str(target) for target in targets), *overrides]
    if seeds is not None:
        words += ["--seeds", str(seeds)]
    if budget is not None:
        words += ["--budget", f"{budget.kind}={budget.amount}"]
    if launcher != "local":
        words += ["--launcher", launcher]
    for plugin in local.named():
        words += ["--plugin", str(plugin.path)]
    return shlex.join([*words, "--runs", str(runs), "--out", str(out)])


def assemble(entrants: Sequence[Entrant], budget: Budget | None, command: str) -> dict[str, Any]:
    """Everything that was measured, and what follows from it, as plain data."""
    from ganzoo.comparison.tables import differences, metric_columns, model_rows, winners
    from ganzoo.engine.environment import versions

    measures, extractor = shared_measures(entrants)
    rows = model_rows(entrants)
    columns = metric_columns(entrants, rows)
    first = entrants[0].recipe
    environments = [
        made
        for entrant in entrants
        for folder in entrant.folders.values()
        if (made := read_json(RunFolder(folder).environment))
    ]
    plugins = ChainMap(
        *(each["plugins"] for each in environments),
        versions(metric.plugin for metric in choose_metrics(entrants)),
    )
    return {
        "format": FORMAT,
        "title": ", ".join(entrant.recipe.name for entrant in entrants),
        "created": f"{datetime.now():%Y-%m-%dT%H:%M:%S}",
        "command": command,
        "ganzoo": version(CORE),
        "device": environments[0]["choices"]["device"],
        "versions": {"torch": environments[0]["torch"], **dict(sorted(plugins.items()))},
        "budget": None
        if budget is None
        else {"kind": budget.kind, "amount": budget.amount, "text": str(budget)},
        "seeds": sorted({seed for entrant in entrants for seed in entrant.folders}),
        "data": {
            "name": first.data.name,
            "sample_shape": list(first.data.spec.sample_shape),
            "num_classes": first.data.spec.num_classes,
            **measures["data"],
        },
        "extractor": extractor,
        "generated": measures["generated"],
        "real": measures["real"],
        "real_from": measures["real_from"],
        "metrics": columns,
        "models": rows,
        "differences": differences(entrants),
        "winners": winners(rows, columns),
    }


def shared_measures(entrants: Sequence[Entrant]) -> tuple[Mapping[str, Any], Any]:
    """The measures of some run, for what they say of all runs, and the extractor.

    Raises `RunError` where no run was measured, and where not all were in the same features.
    """
    outcomes = [each for entrant in entrants for each in entrant.outcomes.values()]
    measures = [each.measures for each in outcomes if each.measures]
    if not measures:
        reasons = sorted({str(each.message) for each in outcomes})
        raise RunError("every run failed: " + "; ".join(reasons))
    extractors = {
        each["extractor"]["name"]: each["extractor"] for each in measures if each["extractor"]
    }
    if len(extractors) > 1:
        raise RunError(
            f"runs were measured in different features: {', '.join(extractors)}",
            hint="a run without its folder measures/ is measured anew; "
            "several machines need one GANZOO_CACHE",
        )
    return measures[0], next(iter(extractors.values()), None)
