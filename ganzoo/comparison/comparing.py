"""Trains what is not trained yet, measures all runs in one way, and writes a report.

    targets ──► entrants ──► jobs ──► launcher ──► outcomes ──► comparison.json ──► report

The comparison is plain data; `ganzoo.evaluation.report` turns it into pages.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import registry
from ganzoo.comparison.budget import Budget
from ganzoo.comparison.drawn import kept_document
from ganzoo.comparison.entrants import (
    Entrant,
    check_options_apply,
    check_same_data,
    enter,
    plan,
    run_of,
    with_seed,
)
from ganzoo.comparison.jobs import Job, Outcome, known_data
from ganzoo.comparison.launchers import Launcher, carry_out, make_launcher
from ganzoo.comparison.request import Request, check_folder
from ganzoo.errors import InterruptedRun, UserError
from ganzoo.folders import KEEP, why_nothing_is_kept
from ganzoo.interruption import handled, number_of
from ganzoo.recipe import Component
from ganzoo.recipe.model import shortages
from ganzoo.records import write_json
from ganzoo.run import says_how_to_compute

if TYPE_CHECKING:
    from ganzoo.data import DataDescription
    from ganzoo.evaluation.document import ComparisonDocument
    from ganzoo.recipe.settings import Evaluate
    from ganzoo.specs import ExtractorSpec, MetricSpec


@dataclass(frozen=True)
class Comparison:
    """A comparison that was written."""

    data: ComparisonDocument
    """What comparison.json holds."""
    out: Path
    """Folder of report.html, comparison.json and comparison.md."""

    def _repr_markdown_(self) -> str:
        """The tables, for a notebook."""
        return (self.out / "comparison.md").read_text(encoding="utf-8")

    @property
    def headline(self) -> str:
        """What the comparison shows, in one sentence."""
        from ganzoo.evaluation.report_headline import sentence

        return sentence(self.data)


@dataclass(frozen=True)
class Protocol:
    """How all runs of a comparison are measured."""

    evaluate: Evaluate
    metrics: Sequence[Component[MetricSpec]]
    extractor: Component[ExtractorSpec] | None
    """None where no metric reads features."""

    @property
    def components(self) -> list[Component[Any]]:
        """The metrics and the extractor."""
        return [*self.metrics, *([self.extractor] if self.extractor else [])]


def compare(
    *targets: str | Path,
    seeds: int | None = None,
    budget: Budget | None = None,
    overrides: Sequence[str] = (),
    out: str | Path = "comparison",
    runs: str | Path = "runs",
    launcher: str = "local",
    export: Sequence[str] = (),
    replace: bool = False,
    jobs: int | None = None,
    progress: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Compare recipes, or finished runs, on the data that they share.

    Each recipe is trained once for each of the seeds 0 to `seeds` - 1 (by default for its own
    seed), for its own length or for the budget. Runs below `runs` of the same recipe by the same
    versions are used and not repeated, whatever these recipes say on how a run is logged, drawn
    and measured; interrupted ones are resumed. A target that is a run folder stands for that run
    alone. `overrides` change every recipe; those of [evaluate], [extractor] and [[metrics]] also
    say how finished runs are measured. `launcher` is `local` or `ray`. The local one trains `jobs`
    runs at once, by default as many as there are cores, and one on a GPU; a run writes the same
    bytes whatever `jobs` is. `progress=True` shows on stderr how the runs proceed, and `report` is
    called with a sentence for what is unwise about a recipe, and for each run that is measured or
    has failed. Writes
    `report.html`, `comparison.json` and `comparison.md` into `out`, and into `out/exports` the
    table, the values and the plots in the formats `export`: `tex`, `csv`, `svg`, `pdf`.

    Where `out` holds a comparison, only one that asks for the same again, or for more targets or
    seeds, takes its place; others do with `replace`. Each run has a process of its own: a script
    that calls this does so below `if __name__ == "__main__":`. Raises `UserError` for targets that
    cannot be compared, for formats that there are not and for a folder with another comparison,
    `InterruptedRun` after a signal and `RunError` if every run fails. A run that fails beside
    others is named in the result.
    """
    from ganzoo.comparison.assembly import assemble
    from ganzoo.evaluation.exports import check_formats, renew_exports

    check_formats(export)
    chosen_launcher = make_launcher(launcher, jobs, progress)
    out, runs = Path(out), Path(runs)
    entrants = enter(targets, overrides)
    check_options_apply(entrants, seeds, budget, overrides)
    check_same_data(entrants)
    check_found_elsewhere(entrants)
    protocol = choose_protocol(entrants)
    check_cache(entrants, protocol)
    make_folder(out)
    request = requested(targets, overrides, seeds, budget)
    if not replace:
        check_folder(out, request)
    command = request.command(out, runs, launcher)
    told = functools.cache(report)  # the same is not told twice
    with repeatable("comparison", f"{command} --replace" if replace else command):
        description = find_data(entrants)
        protocol = measurable(protocol, description, report)
        data_hash = None if description is None else description.digest
        for entrant in entrants:
            if not entrant.folders:
                plan(entrant, seeds, budget, out, runs, data_hash, told)
            for note in entrant.notes():
                told(f"note: {note}")
        run_all(entrants, protocol, data_hash, chosen_launcher, report)
        data = assemble(entrants, protocol.components, request, command)
        if (kept := kept_document(data, out)) is None:
            # Imported as late as it is needed: this takes a second.
            from ganzoo.evaluation.report import write_report

            write_json(out / "comparison.json", data)
            write_report(data, out)
        else:
            data = kept
        renew_exports(data, out, export, replace=replace)
    return Comparison(data, out)


def make_folder(out: Path) -> None:
    """Make the folder of a report. Raises `UserError` where there can be none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"no report can be written to {out}: {error.strerror}", hint="--out names a folder"
        ) from error


@contextmanager
def repeatable(what: str, command: str) -> Iterator[None]:
    """Work that `command` takes up again, which `InterruptedRun` says after a signal."""
    try:
        with handled("raise"):
            yield
    except KeyboardInterrupt as stop:
        raise InterruptedRun(
            f"the {what} was stopped",
            hint=f"`{command}` resumes it from the runs' checkpoints",
            number=number_of(stop),
        ) from None


def check_found_elsewhere(entrants: Sequence[Entrant]) -> None:
    """Raise `UserError` for a component that only this process knows: runs have others."""
    for entrant in entrants:
        for place, component in entrant.recipe.components():
            if component.plugin.source:
                raise UserError(
                    f"{entrant.recipe.name}: {place}: '{component.spec.type}' was registered in "
                    "this process, and runs that are compared have processes of their own",
                    hint="put the class into a file that implements a hook, and name it in the "
                    "environment variable GANZOO_PLUGIN_FILES or with --plugin",
                )


def check_cache(entrants: Sequence[Entrant], protocol: Protocol) -> None:
    """Raise `UserError` where nothing can be kept of what all runs share: a classifier that each
    of them trains anew need not be the same one."""
    images = len(entrants[0].recipe.data.spec.sample_shape) == 3  # points are their own features
    if images and protocol.extractor is not None and (problem := why_nothing_is_kept()):
        raise UserError(f"{problem}, and all runs are measured in the same features", hint=KEEP)


def find_data(entrants: Sequence[Entrant]) -> DataDescription | None:
    """What is known of the data that all share; None where they are not there and all is trained.

    Raises `UserError` where they are not there and a recipe needs them.
    """
    try:
        return known_data(entrants[0].recipe)
    except UserError:
        if all(entrant.folders for entrant in entrants):
            return None
        raise


def measurable(
    protocol: Protocol, data: DataDescription | None, report: Callable[[str], None]
) -> Protocol:
    """The protocol without the metrics for which there are too few samples, which are reported."""
    if data is None:
        return protocol
    short = shortages(protocol.metrics, protocol.evaluate.samples, data.real_samples)
    for name, reason in short.items():
        report(f"metric '{name}' is left out: {reason}")
    return dataclasses.replace(
        protocol, metrics=[m for m in protocol.metrics if m.spec.type not in short]
    )


def choose_protocol(entrants: Sequence[Entrant]) -> Protocol:
    """How all runs are measured: as the first recipe says, with the metrics of all."""
    from ganzoo.evaluation.extractors import chosen_extractor

    first = entrants[0].recipe
    metrics = list(choose_metrics(entrants))
    in_features = any(metric.spec.reads != "samples" for metric in metrics)
    return Protocol(first.evaluate, metrics, chosen_extractor(first) if in_features else None)


def choose_metrics(entrants: Sequence[Entrant]) -> Iterator[Component[MetricSpec]]:
    """The metrics that some recipe names, as the first of them sets them, and those that every
    comparison computes, in the order in which plugins declare them."""
    named: dict[str, Component[MetricSpec]] = {}
    for entrant in entrants:
        for metric in entrant.recipe.metrics:
            named.setdefault(f"{metric.plugin.distribution}:{metric.spec.type}", metric)
    for entry in registry.installed().declared("metric"):
        spec: Any = entry.spec
        complete = not any(key.is_required() for key in spec.model_fields.values())
        if entry.qualified in named:
            yield named[entry.qualified]
        elif spec.compared and complete:
            yield Component(entry.qualified, spec(), entry.plugin)


def run_all(
    entrants: Sequence[Entrant],
    protocol: Protocol,
    data_hash: str | None,
    launcher: Launcher,
    report: Callable[[str], None],
) -> None:
    """Have every run trained and measured, and record the outcomes in the entrants."""
    owners = [(entrant, seed) for entrant in entrants for seed in entrant.folders]
    jobs = [job_of(entrant, seed, protocol, data_hash) for entrant, seed in owners]
    numbers = itertools.count(1)

    def done(place: int, outcome: Outcome) -> None:
        state = f"failed: {outcome.message}" if outcome.message else outcome.note or "measured"
        report(f"{next(numbers)}/{len(jobs)}  {jobs[place].title}: {state}")

    for (entrant, seed), outcome in zip(owners, carry_out(jobs, launcher, done), strict=True):
        entrant.outcomes[seed] = outcome


def job_of(entrant: Entrant, seed: int, protocol: Protocol, data_hash: str | None) -> Job:
    """What is to be done for the run of a seed."""
    extractor = protocol.extractor
    return Job(
        recipe=with_seed(entrant.recipe, seed).to_toml(),
        folder=str(entrant.folders[seed]),
        metrics=tuple(
            metric.table(qualified=True)
            for metric in protocol.metrics
            if entrant.recipe.meets(metric.spec.needs)
        ),
        extractor=None if extractor is None else extractor.table(qualified=True),
        evaluate=protocol.evaluate.model_dump(mode="json"),
        data=data_hash,
        overrides=tuple(filter(says_how_to_compute, entrant.overrides)),
        title=f"{entrant.name}, seed {seed}",
    )


def requested(
    targets: Sequence[str | Path],
    overrides: Sequence[str],
    seeds: int | None,
    budget: Budget | None,
) -> Request:
    """What a comparison is asked for; `targets` are there."""
    runs = [run_of(target) for target in targets]
    meant = [
        os.path.normpath(target if run is None else run.path)
        for target, run in zip(targets, runs, strict=True)
    ]
    return Request(tuple(map(str, targets)), tuple(meant), tuple(overrides), seeds, budget)
