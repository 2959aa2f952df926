"""The contract between the core and its plugins.

A plugin is a module that implements some of these hooks, named by an entry point in the group
`ganzoo`. Hooks of the first kind take no argument and list component classes; hooks of the
second kind, the lifecycle hooks, are called in the course of a run: those of modules in every
run, those of listeners in runs whose recipe names them. An implementation may take fewer arguments
than its hook has. A module may set `GANZOO_API_VERSION = 1` to say which component API it was
written for; one that says nothing means 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pluggy import HookspecMarker

from ganzoo.protocols import RunInfo
from ganzoo.specs import (
    AugmentationSpec,
    DatasetSpec,
    DiscriminatorSpec,
    EncoderSpec,
    ExtractorSpec,
    GeneratorSpec,
    ListenerSpec,
    LossSpec,
    MetricSpec,
    PriorSpec,
    ProbeSpec,
    RegularizerSpec,
    ScheduleSpec,
)

hookspec = HookspecMarker("ganzoo")

GROUP = "ganzoo"
"""The entry-point group in which plugins are looked for."""


@hookspec
def ganzoo_generators() -> Sequence[type[GeneratorSpec]]:  # type: ignore[empty-body]
    """Generators that this plugin offers.

    @hookimpl
    def ganzoo_generators():
        return [MyGenerator]
    """


@hookspec
def ganzoo_discriminators() -> Sequence[type[DiscriminatorSpec]]:  # type: ignore[empty-body]
    """Discriminators that this plugin offers."""


@hookspec
def ganzoo_encoders() -> Sequence[type[EncoderSpec]]:  # type: ignore[empty-body]
    """Encoders that this plugin offers."""


@hookspec
def ganzoo_losses() -> Sequence[type[LossSpec]]:  # type: ignore[empty-body]
    """Losses that this plugin offers."""


@hookspec
def ganzoo_regularizers() -> Sequence[type[RegularizerSpec]]:  # type: ignore[empty-body]
    """Regularizers that this plugin offers."""


@hookspec
def ganzoo_augmentations() -> Sequence[type[AugmentationSpec]]:  # type: ignore[empty-body]
    """Augmentations that this plugin offers."""


@hookspec
def ganzoo_schedules() -> Sequence[type[ScheduleSpec]]:  # type: ignore[empty-body]
    """Schedules that this plugin offers."""


@hookspec
def ganzoo_datasets() -> Sequence[type[DatasetSpec]]:  # type: ignore[empty-body]
    """Data sets that this plugin offers."""


@hookspec
def ganzoo_priors() -> Sequence[type[PriorSpec]]:  # type: ignore[empty-body]
    """Priors that this plugin offers."""


@hookspec
def ganzoo_extractors() -> Sequence[type[ExtractorSpec]]:  # type: ignore[empty-body]
    """Feature extractors that this plugin offers."""


@hookspec
def ganzoo_metrics() -> Sequence[type[MetricSpec]]:  # type: ignore[empty-body]
    """Metrics that this plugin offers."""


@hookspec
def ganzoo_probes() -> Sequence[type[ProbeSpec]]:  # type: ignore[empty-body]
    """Probes that this plugin offers."""


@hookspec
def ganzoo_listeners() -> Sequence[type[ListenerSpec]]:  # type: ignore[empty-body]
    """Listeners that this plugin offers."""


@hookspec
def ganzoo_run_started(run: RunInfo) -> None:
    """A run starts, or resumes from `run.start_iteration`."""


@hookspec
def ganzoo_statistics_logged(
    run: RunInfo, iteration: int, images: int, statistics: Mapping[str, float]
) -> None:
    """Statistics were read from the device.

    `images` counts the real samples seen so far; `statistics` are means since the last call.
    """


@hookspec
def ganzoo_samples_drawn(run: RunInfo, iteration: int, picture: Path) -> None:
    """A picture of samples from the fixed latents was written."""


@hookspec
def ganzoo_checkpoint_written(run: RunInfo, iteration: int, checkpoint: Path) -> None:
    """A checkpoint was written completely."""


@hookspec
def ganzoo_evaluated(run: RunInfo, iteration: int, values: Mapping[str, float]) -> None:
    """The metrics of a finished run were computed: their values at the end, by name.

    It is called after `ganzoo_run_finished` where the recipe names metrics, and by `ganzoo measure`
    without a hook before it.
    """


@hookspec
def ganzoo_run_finished(run: RunInfo, iteration: int, state: str) -> None:
    """A run ended after `iteration` iterations; `state` is `done`, `failed` or `interrupted`."""


COMPONENT_HOOKS: Mapping[str, str] = {
    "generator": "ganzoo_generators",
    "discriminator": "ganzoo_discriminators",
    "encoder": "ganzoo_encoders",
    "loss": "ganzoo_losses",
    "regularizer": "ganzoo_regularizers",
    "augmentation": "ganzoo_augmentations",
    "schedule": "ganzoo_schedules",
    "dataset": "ganzoo_datasets",
    "prior": "ganzoo_priors",
    "extractor": "ganzoo_extractors",
    "metric": "ganzoo_metrics",
    "probe": "ganzoo_probes",
    "listener": "ganzoo_listeners",
}
"""The hook by which components of each kind are offered."""
