"""What evaluation.json and comparison.json hold, field by field. Plain data, no torch.

JSON knows no infinities and no NaN: where a number is not finite, the file has null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator
from typing_extensions import TypedDict

FORMAT = 3
"""Version of comparison.json."""

Direction = Literal["higher", "lower"]
"""Which way a value is better."""
Bounds = tuple[float | None, float | None]
"""The least and the most that a value can be, None where there is no bound."""

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A value of a metric; one that is not finite is null in a file, and NaN when it is read."""


class ExtractorEntry(TypedDict):
    """The feature extractor in whose features values were computed."""

    name: str
    """As values are named: the type and the first digits of the digest, `classifier@3f2a`."""
    type: str
    """Type of the component."""
    digest: str
    """SHA-256 of its weights, hexadecimal; empty where there are none."""
    note: str
    """What a reader of the values has to know of it."""
    table: dict[str, Any]
    """Its table of a recipe, with the type qualified by the distribution."""


class SampleCounts(TypedDict):
    """Sizes of a data set."""

    train: int
    """Training samples."""
    held_out: int
    """Held-out samples, 0 where there are none."""


class Snapshot(TypedDict):
    """Values at one iteration."""

    iteration: int
    values: dict[str, Number]
    """By name."""


class Best(TypedDict):
    """The best value over all snapshots."""

    value: float
    iteration: int
    """Where it was; the first of several."""


class Measures(TypedDict):
    """The values of the metrics for one run: evaluation.json."""

    extractor: ExtractorEntry | None
    """None where no metric reads features."""
    data: SampleCounts
    generated: int
    """Generated samples that each metric was given."""
    real: int
    """Real samples that each metric was given."""
    real_from: Literal["held out", "train"]
    """Which real samples these are."""
    prior: str
    """Type of the prior from which latents were drawn."""
    iteration: int
    """The last iteration."""
    values: dict[str, Number]
    """Values at the last iteration."""
    history: list[Snapshot]
    """Values at each snapshot; the last iteration is one of them."""
    best: dict[str, Best]
    """By name of those values of which it is known which way is better."""
    better: dict[str, Direction]
    """By name of value."""
    bounds: dict[str, Bounds]
    """By name of value."""
    collapse: list[str]
    """A sentence for each value that was much better at some snapshot than at the end."""
    other_priors: dict[str, dict[str, Number]]
    """Values at the last iteration with the other priors of the recipe, by type of prior."""
    left_out: dict[str, str]
    """By type, why a metric was not computed."""


def headline(measures: Mapping[str, Any]) -> tuple[str, float] | None:
    """Name and value at the end of the metric that stands for a run.

    It is the first one of which it is known which way is better. None where nothing was measured.
    """
    better = measures.get("better", {})
    return next((item for item in measures.get("values", {}).items() if item[0] in better), None)


def headline_column(
    columns: Sequence[ColumnEntry], models: Sequence[ModelEntry]
) -> ColumnEntry | None:
    """The column of the value that stands for a comparison.

    As for one run it is the first one of which it is known which way is better, here of those that
    all models have, but for models of which nothing was measured; where a recipe is sampled from
    several priors, the first that does not say the same of all of them, as a likelihood does. None
    where there is none.
    """
    measured = [model["summaries"] for model in models if model["summaries"]]
    everywhere = [
        column
        for column in columns
        if column["better"] and all(column["name"] in each for each in measured)
    ]
    telling = (column for column in everywhere if not _same_for_priors(column["name"], models))
    return next(telling, everywhere[0] if everywhere else None)


def _same_for_priors(name: str, models: Sequence[ModelEntry]) -> bool:
    """Whether a value is the same for all priors of a recipe that has several."""
    means: dict[str, list[float]] = {}
    for model in models:
        if name in model["summaries"]:
            means.setdefault(model["name"], []).append(model["summaries"][name]["mean"])
    return any(len(each) > 1 and len(set(each)) == 1 for each in means.values())


class RunMeasures(Measures):
    """The same for a run of a comparison, with what sampling costs: measures/<how>.json."""

    parameters: dict[str, int]
    """Weights of each network, by name."""
    sampling_seconds: float
    """Wall-clock time in which 1,000 samples are drawn."""


class Cost(TypedDict):
    """What a run cost, or means over the runs of a model."""

    seconds: float | None
    """Wall-clock time of training."""
    steps: dict[str, float]
    """Steps by phase."""
    images: float | None
    """Real samples read."""
    images_per_second: float | None
    peak_memory_mb: float | None
    """Peak memory of the process on the CPU, of the device otherwise."""
    sampling_seconds: float | None
    """Wall-clock time in which 1,000 samples are drawn."""


class StatisticsEntry(TypedDict):
    """What was logged of a run at one iteration."""

    iteration: int
    images: int
    """Real samples that were read up to there."""
    seconds: float | None
    """Wall-clock time of training up to there; None where it was not kept."""
    statistics: dict[str, Number]
    """By name: `generator/loss`."""


class RunEntry(TypedDict):
    """One run of a model."""

    path: str
    """Its folder."""
    seed: int
    state: Literal["done", "failed"]
    message: str | None
    """Why it failed."""
    iterations: int
    """Completed iterations."""
    values: dict[str, float]
    """Values at the end with the prior of the model; empty for a run that failed."""
    history: list[Snapshot]
    """Values at each snapshot; empty for a prior other than the recipe's own."""
    best: dict[str, Best]
    """As in `Measures`; empty where there is no history."""
    collapse: list[str]
    """As in `Measures`; empty where there is no history."""
    left_out: dict[str, str]
    """As in `Measures`."""
    warnings: list[dict[str, Any]]
    """The rows of warnings.jsonl: `iteration`, `name` and `text`; empty for a prior other than the
    recipe's own."""
    cost: Cost | None
    """None for a run that failed."""
    statistics: list[StatisticsEntry]
    """The rows of statistics.jsonl with the seconds of timing.jsonl."""


class Summary(TypedDict):
    """A value over the runs of a model."""

    mean: float
    std: float | None
    """Standard deviation over seeds (n - 1 in the denominator); None for one seed."""
    low: float | None
    """Lower end of the 95 % interval of the mean; None for one seed."""
    high: float | None
    """Upper end of the interval."""
    seeds: int
    """Number of runs."""


class Paired(TypedDict):
    """How a value of a model differs from that of the first model at equal seeds."""

    difference: float
    """Mean of model minus first model."""
    low: float | None
    """Lower end of the 95 % interval of the mean difference; None for one common seed."""
    high: float | None
    """Upper end of the interval."""
    verdict: Literal["better", "worse", "no significant difference"] | None
    """`better` and `worse` where the interval excludes zero; None where no way is better."""
    seeds: int
    """Seeds that both models have."""


class ModelEntry(TypedDict):
    """A model: a recipe with one of its priors, and its runs."""

    name: str
    """The recipe's name."""
    label: str
    """Unique in the comparison; it names the prior where a recipe is shown with several."""
    prior: str
    """Type of the prior from which latents are drawn."""
    summary: str
    """The recipe's summary."""
    recipe: dict[str, Any]
    """The resolved recipe without its seed."""
    parameters: dict[str, int]
    """Weights of each network, by name; empty where every run failed."""
    runs: list[RunEntry]
    """By seed."""
    summaries: dict[str, Summary]
    """By name of value, over the runs that have it."""
    cost: Cost
    """Means over the runs."""
    paired: NotRequired[dict[str, Paired]]
    """By name of value; the first model has none."""


class ColumnEntry(TypedDict):
    """One value of the comparison."""

    name: str
    """`fid[classifier@3f2a]`."""
    label: str
    """What people call it: `FID`."""
    better: Direction | None
    """None for a value that describes and does not judge."""
    meaning: str
    """One sentence on the metric."""
    headline: bool
    """Whether it judges: the values in the terminal's table and in the verdicts."""


class HeadlineEntry(TypedDict):
    """What is shown by the value that stands for the comparison."""

    name: str
    """Of the value, the first that judges and that every model has which was measured."""
    ranking: list[str]
    """Labels of the models by their means, the best first; those without a finite mean are left
    out."""
    beaten: list[str]
    """Labels of the models that the first one is shown to be better than: their 95 % intervals do
    not overlap, or that of the difference at equal seeds excludes zero."""


class DifferenceEntry(TypedDict):
    """A key whose values are not the same in all recipes."""

    key: str
    """Dotted: `loss.type`."""
    values: list[Any]
    """One for each recipe, null where it has no such key."""


class RequestEntry(TypedDict):
    """What was asked for: with the same words a comparison is repeated, with more it grows."""

    targets: list[str]
    """Recipes and runs."""
    overrides: list[str]
    """Changes to all recipes."""
    seeds: int | None
    """None where each recipe is trained with its own seed."""
    budget: str | None
    """`iterations=2000`; None where each run is as long as its recipe says."""


class BudgetEntry(TypedDict):
    """What each run was allowed."""

    kind: Literal["iterations", "images", "seconds"]
    amount: int
    text: str
    """In words: `2,000 iterations each`."""


class DataEntry(SampleCounts):
    """The data set of all models."""

    name: str
    sample_shape: list[int]
    """`[C, H, W]` or `[D]`."""
    num_classes: int | None


class ComparisonDocument(TypedDict):
    """comparison.json."""

    format: int
    """Version of this layout, `FORMAT`."""
    title: str
    """The names of the recipes."""
    created: str
    """Local time, `2026-01-31T12:00:00`."""
    command: str
    """The command line that repeats the comparison."""
    request: RequestEntry
    ganzoo: str
    """Version of ganzoo-core."""
    device: str
    """Device of the first run that began."""
    versions: dict[str, str]
    """Of torch and of every distribution whose components were used."""
    budget: BudgetEntry | None
    """None where each run is as long as its recipe says."""
    seeds: list[int]
    data: DataEntry
    extractor: ExtractorEntry | None
    """The one extractor of all runs; None where no metric reads features."""
    generated: int
    """Generated samples that each metric was given, for each run."""
    real: int
    """Real samples that each metric was given."""
    real_from: Literal["held out", "train"]
    """Which real samples these are."""
    headline: HeadlineEntry | None
    """None where no value judges all models."""
    columns: list[ColumnEntry]
    """All values: first those that judge, among these first those that all models have."""
    models: list[ModelEntry]
    """The first is the reference of the paired differences."""
    differences: list[DifferenceEntry]
    winners: dict[str, str | None]
    """By name of value that judges, the label of the model whose interval is separate from all
    others on the better side, or None."""
