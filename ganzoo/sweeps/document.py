"""What sweep.json holds, field by field. Plain data, no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from ganzoo.evaluation.document import (
    BudgetEntry,
    ComparisonDocument,
    Direction,
    Number,
    Paired,
    Summary,
)

FORMAT = 1
"""Version of sweep.json."""


class KeyEntry(TypedDict):
    """A key that is varied."""

    key: str
    """Dotted: `optimizer.lr`."""
    name: str
    """What it is called in labels: its last name, where that tells it from the others."""
    values: list[str]
    """In TOML; empty for a range."""
    low: float | None
    """Lower end of a range; None for values."""
    high: float | None
    log: bool
    """Whether the range is logarithmic."""


class PointEntry(TypedDict):
    """One value for each key, and what became of it."""

    label: str
    """`lr=1e-4, gamma=0.1`."""
    values: dict[str, str]
    """By key, in TOML."""
    state: Literal["done", "failed", "pruned"]
    """`failed` where a run of it failed or has no finite value of the metric."""
    message: str | None
    """Why it failed, or where it was pruned."""
    rank: int | None
    """From 1, by the mean over seeds; None for a point that is not done."""
    summary: Summary | None
    """The metric over the seeds that have it; None where it was pruned or none has it."""
    paired: Paired | None
    """The difference from the best point at equal seeds; None for the best and without a rank."""
    model: int | None
    """Its place among the models of `comparison`; None where it was pruned."""
    iteration: int | None
    """Where it was pruned."""
    value: Number | None
    """The mean of the metric over seeds where it was pruned."""
    picture: str | None
    """The newest picture of samples, of the first seed."""


class LevelEntry(TypedDict):
    """One value of a key, averaged over the other keys."""

    value: str
    """In TOML."""
    summary: Summary
    """Over seeds, of the mean over points."""
    paired: Paired | None
    """The difference from the first value at equal seeds and equal other keys; the first has
    none."""


class EffectEntry(TypedDict):
    """The main effect of a key: the metric at each value, over the same values of the others."""

    key: str
    points: int
    """How many points each value is averaged over."""
    left_out: int
    """Done points that have no counterpart at the other values, and so take no part."""
    levels: list[LevelEntry]


class SurfaceEntry(TypedDict):
    """The metric over two keys, averaged over the others."""

    rows: str
    """Key."""
    columns: str
    """Key."""
    row_values: list[str]
    column_values: list[str]
    points: int
    """How many points each cell is averaged over."""
    cells: list[list[Summary | None]]
    """By row and column; None where no point is done."""


class BestEntry(TypedDict):
    """The best point."""

    point: int
    """Its place in `points`."""
    separate: bool
    """Whether it is better than the second at equal seeds: the interval of the mean difference
    excludes zero."""
    recipe: str
    """The recipe that was written of it."""


class SearchEntry(TypedDict):
    """How points were chosen."""

    points: int
    """How many were asked for."""
    seed: int
    """Of the sampler."""
    shares: list[float]
    """Where in training points were judged to be pruned, as shares of the run; empty where none
    could be."""


class Identity(TypedDict):
    """What makes two sweeps the same one, which may be repeated or given further values."""

    recipe: str
    """The recipe as it was named."""
    keys: list[str]
    """The keys that are varied."""
    fixed: list[str]
    """Changes to all points."""
    metric: str
    """The metric without its extractor: `fid`, `modes/kl`."""
    budget: BudgetEntry | None
    searched: bool


@with_config(ConfigDict(extra="allow"))
class Kept(TypedDict):
    """What is read of a sweep.json that is there already, of whatever version."""

    title: str
    identity: Identity


class SweepDocument(TypedDict):
    """sweep.json."""

    format: int
    """Version of this layout, `FORMAT`."""
    title: str
    identity: Identity
    command: str
    """The command line that repeats the sweep."""
    keys: list[KeyEntry]
    metric: str
    """Full name of the value by which points are ranked: `fid[classifier@3f2a]`."""
    label: str
    """What people call it."""
    better: Direction
    meaning: str
    """One sentence on the metric."""
    seeds: list[int]
    points: list[PointEntry]
    """By rank; then those that failed, then those that were pruned."""
    best: BestEntry | None
    """None where no point is done."""
    effects: list[EffectEntry]
    """By key; empty for a search, whose points are no grid."""
    surfaces: list[SurfaceEntry]
    """A pair of keys each; empty for a search."""
    search: SearchEntry | None
    """None for a grid."""
    comparison: ComparisonDocument
    """All that was measured: a model for each point that was not pruned."""
