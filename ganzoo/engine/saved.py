"""What a checkpoint holds, field by field; `ganzoo.engine.state` writes and restores it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, Field, InstanceOf, TypeAdapter
from torch import Tensor
from typing_extensions import TypedDict

from ganzoo.runs import Plan


def _scalar(value: Tensor) -> Tensor:
    if value.shape or not value.is_floating_point():
        raise ValueError("not a 0-d tensor of floats")
    return value


Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scalar = Annotated[InstanceOf[Tensor], AfterValidator(_scalar)]
Tensors = dict[str, InstanceOf[Tensor]]


class SavedCounters(TypedDict):
    """See `ganzoo.engine.session.Counters`."""

    iteration: Count
    steps: dict[str, Count]
    seconds: Seconds


class SavedBatches(TypedDict):
    """How many batches were read, and the states of the random streams."""

    read: Count
    streams: dict[str, dict[str, Any]]


class SavedOptimizer(TypedDict):
    """As torch has it; the options in `param_groups` are the recipe's business."""

    state: dict[int, Tensors]
    param_groups: list[dict[str, Any]]


class _Statistics(TypedDict):
    sums: dict[str, Scalar]
    counts: dict[str, Count]


def _of_the_same(value: _Statistics) -> _Statistics:
    if value["sums"].keys() != value["counts"].keys():
        raise ValueError("sums and counts of different values")
    return value


SavedStatistics = Annotated[_Statistics, AfterValidator(_of_the_same)]
"""Sums since the last reading, and of how many values."""


class SavedSigns(TypedDict):
    """See `ganzoo.engine.health.Signs`."""

    gradients: SavedStatistics
    streak: Scalar
    first: InstanceOf[Tensor] | None


class SavedObservation(TypedDict):
    """See `ganzoo.engine.statistics.Observation`."""

    latest: dict[str, float]
    statistics: SavedStatistics


class SavedProcess(TypedDict):
    """What one process has of its own."""

    buffers: dict[str, dict[str, Any]]
    parts: dict[str, Any]
    """By place in the recipe, what each part with a memory gave."""
    statistics: SavedStatistics
    signs: SavedSigns
    observation: SavedObservation
    noise: Tensors
    """States of torch's default random streams, by kind of device."""


class SavedState(TypedDict):
    """The whole state of a run."""

    fingerprint: str
    earlier: NotRequired[list[Plan]]
    """Of a run that was made longer, its plans before."""
    counters: SavedCounters
    batches: SavedBatches
    networks: dict[str, Tensors]
    average: dict[str, Tensors] | None
    """None where there is no moving average."""
    optimizers: dict[str, SavedOptimizer]
    processes: list[SavedProcess]
    """By rank."""


SAVED_STATE = TypeAdapter(SavedState)
