"""Curves and pictures for TensorBoard, on the lifecycle hooks that any plugin has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.api import RunInfo, hookimpl

_writers: dict[Path, Any] = {}
"""One writer for each run under way in this process."""


@hookimpl
def ganzoo_run_started(run: RunInfo) -> None:
    """Open the run's event file; what lies after the start iteration is hidden."""
    from torch.utils.tensorboard import SummaryWriter

    folder = run.folder / "tensorboard"
    _writers[run.folder] = SummaryWriter(str(folder), purge_step=run.start_iteration + 1)


@hookimpl
def ganzoo_statistics_logged(run: RunInfo, iteration: int, statistics: Mapping[str, float]) -> None:
    """Write every statistic as a curve over the iterations."""
    for name, value in statistics.items():
        _writers[run.folder].add_scalar(name, value, iteration)


@hookimpl
def ganzoo_samples_drawn(run: RunInfo, iteration: int, picture: Path) -> None:
    """Write the picture."""
    import numpy as np
    from PIL import Image

    with Image.open(picture) as image:
        pixels = np.asarray(image if image.mode == "RGBA" else image.convert("RGB"))
    _writers[run.folder].add_image("samples", pixels, iteration, dataformats="HWC")


@hookimpl
def ganzoo_run_finished(run: RunInfo) -> None:
    """Close the event file."""
    if run.folder in _writers:
        _writers.pop(run.folder).close()
