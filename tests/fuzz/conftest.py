"""Tiny runs with every kind of file, which are damaged as copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import here
import pytest
from tiny import tiny

from ganzoo import load_recipe, plugins, train
from ganzoo.comparison import compare
from ganzoo.errors import InterruptedRun
from ganzoo.records import append_row
from ganzoo.registry import Registry

METRICS = ("sharpness", "nearest", "wasserstein")
"""The quick ones; the first two of images, `nearest` in features, the last one of points."""
CODED = tiny(
    name='"coded"',
    discriminator=None,
    encoder='{ type = "mlp", hidden = [16] }',
    loss='{ type = "elbo" }',
    schedule='{ type = "joint" }',
    priors='[{ type = "mixture", components = 2 }]',
    ema="{ decay = 0.9 }",
    extractor='{ type = "random" }',
    evaluate="{ samples = 50, snapshots = 2 }",
    metrics='[{ type = "sharpness" }, { type = "nearest" }]',
)
LINE = tiny(
    name='"line"',
    data='{ type = "gaussian-1d", samples = 200 }',
    probes='[{ type = "divergence", every = 10 }]',
    evaluate="{ samples = 50, snapshots = 2 }",
    metrics='[{ type = "wasserstein" }]',
)
SIGN = {"iteration": 10, "name": "all-alike", "text": "the samples hardly differ"}
"""A row of warnings.jsonl."""


class Runs(NamedTuple):
    """Folders of runs, which tests only read."""

    coded: Path
    """A finished VAE with two priors, measured by itself and by a comparison."""
    line: Path
    """A finished GAN of points with a probe, measured by itself and by a comparison."""
    stopped: Path
    """The VAE, stopped after 13 of 20 iterations."""
    stopped_line: Path
    """The GAN, stopped after 13 of 20 iterations."""


def quick_registry() -> Registry:
    """What is installed, with quick metrics only."""
    return Registry(
        [
            replace(
                plugin,
                components=tuple(
                    (kind, spec)
                    for kind, spec in plugin.components
                    if kind != "metric" or spec.type in METRICS
                ),
            )
            for plugin in plugins.installed().all
        ]
    )


@contextmanager
def in_this_process() -> Iterator[None]:
    """Comparisons start no processes, and take quick metrics only."""
    registry = quick_registry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganzoo.registry.installed", lambda: registry)
        here.in_this_process(patch)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """See `Runs`; comparisons start no processes."""
    with in_this_process():
        yield make_runs(tmp_path_factory.mktemp("runs"))


def after_13(agreement: object, iteration: int, ended: bool) -> bool:
    """As after Ctrl-C, but in a known iteration."""
    return iteration == 13


def make_runs(folder: Path) -> Runs:
    folders = {}
    for name, text in (("coded", CODED), ("line", LINE)):
        file = folder / f"{name}.toml"
        file.write_text(text)
        recipe = load_recipe(file)
        run = train(recipe, runs=folder, identity="whole")
        compare(str(run.path), out=folder / "out", replace=True)
        append_row(run.folder.warnings, SIGN)
        with pytest.MonkeyPatch.context() as patch, suppress(InterruptedRun):
            patch.setattr("ganzoo.engine.training.stop_requested", after_13)
            train(recipe, runs=folder, identity="stopped")
        append_row(run.folder.warnings, SIGN)
        folders[name] = run.path
    whole, line = folders.values()
    return Runs(whole, line, whole.with_name("stopped"), line.with_name("stopped"))
