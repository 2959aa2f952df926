"""The one module that a plugin's declarations import.

    from ganzoo.api import BuildContext, GeneratorSpec, hookimpl

It imports neither torch nor the engine. Whatever is listed in `__all__` keeps its meaning for
as long as `API_VERSION` stays the same.
"""

from pluggy import HookimplMarker

from ganzoo.errors import RunError, UserError, visible
from ganzoo.protocols import (
    Augmentation,
    CodingLoss,
    Density,
    Loss,
    Metric,
    Networks,
    Prior,
    Probe,
    Regularizer,
    RunInfo,
    Schedule,
    Step,
)
from ganzoo.ramps import Value
from ganzoo.remarks import Remark, Surroundings
from ganzoo.specs import (
    API_VERSION,
    AugmentationSpec,
    BuildContext,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    ExtractorSpec,
    GeneratorSpec,
    ListenerSpec,
    LossSpec,
    MetricSpec,
    Phase,
    PriorSpec,
    ProbeSpec,
    RegularizerSpec,
    Role,
    ScheduleSpec,
)

hookimpl = HookimplMarker("ganzoo")
"""Marks a function as an implementation of one of the hooks in `ganzoo.hookspecs`."""

__all__ = [
    "API_VERSION",
    "Augmentation",
    "AugmentationSpec",
    "BuildContext",
    "CodingLoss",
    "DatasetSpec",
    "Density",
    "DiscriminatorSpec",
    "EncoderSpec",
    "ExtractorSpec",
    "GeneratorSpec",
    "ListenerSpec",
    "Loss",
    "LossSpec",
    "Metric",
    "MetricSpec",
    "Networks",
    "Phase",
    "Prior",
    "PriorSpec",
    "Probe",
    "ProbeSpec",
    "Regularizer",
    "RegularizerSpec",
    "Remark",
    "Role",
    "RunError",
    "RunInfo",
    "Schedule",
    "ScheduleSpec",
    "Step",
    "Surroundings",
    "UserError",
    "Value",
    "hookimpl",
    "visible",
]
