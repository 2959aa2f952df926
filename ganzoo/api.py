"""The one module that a plugin's declarations import.

    from ganzoo.api import BuildContext, GeneratorSpec, hookimpl

It imports neither torch nor the engine. Whatever is listed in `__all__` keeps its meaning for
as long as `API_VERSION` stays the same.
"""

from pluggy import HookimplMarker

from ganzoo.errors import RunError, UserError
from ganzoo.protocols import (
    Augmentation,
    Batch,
    CodingLoss,
    Density,
    Loss,
    Metric,
    Networks,
    Probe,
    Regularizer,
    RunInfo,
    Schedule,
)
from ganzoo.specs import (
    API_VERSION,
    AugmentationSpec,
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    GeneratorSpec,
    LearningRateCourse,
    LossSpec,
    MetricSpec,
    Phase,
    ProbeSpec,
    RegularizerSpec,
    ScheduleSpec,
)

hookimpl = HookimplMarker("ganzoo")
"""Marks a function as an implementation of one of the hooks in `ganzoo.hookspecs`."""

__all__ = [
    "API_VERSION",
    "Augmentation",
    "AugmentationSpec",
    "Batch",
    "BuildContext",
    "CodingLoss",
    "DatasetSpec",
    "Density",
    "DiscriminatorSpec",
    "EncoderSpec",
    "GeneratorSpec",
    "LearningRateCourse",
    "Loss",
    "LossSpec",
    "Metric",
    "MetricSpec",
    "Networks",
    "Phase",
    "Probe",
    "ProbeSpec",
    "Regularizer",
    "RegularizerSpec",
    "RunError",
    "RunInfo",
    "Schedule",
    "ScheduleSpec",
    "UserError",
    "hookimpl",
]
