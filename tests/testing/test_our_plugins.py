"""The core's components and all plugins of this repository keep the contract."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import plugins
from ganzoo.testing import CHECKS
from ganzoo.testing.checks import Case, Skip, cases_of

ROOT = Path(__file__).parent.parent.parent

AT_LEAST: Mapping[str, int] = {
    "ganzoo.builtin.extractors": 49,
    "ganzoo.builtin.losses": 45,
    "ganzoo.builtin.priors": 47,
    "ganzoo.builtin.schedules": 109,
    "ganzoo.builtin.tensorboard": 5,
    "ganzoo_argmax": 44,
    "ganzoo_autoencoder": 117,
    "ganzoo_data": 148,
    "ganzoo_dcgan": 62,
    "ganzoo_divergence": 33,
    "ganzoo_losses": 249,
    "ganzoo_metrics": 181,
    "ganzoo_mixture": 44,
    "ganzoo_mlflow": 16,
    "ganzoo_mlp": 62,
    "ganzoo_wandb": 16,
}
"""Checks that each module must have; a kit that loses some on the way would find nothing."""


def _cases() -> list[Case]:
    loaded = {plugin.module: plugin for plugin in plugins.installed().all}
    return [case for module in AT_LEAST for case in cases_of(loaded[module], {})]


CASES = _cases()

made: Counter[str] = Counter()
"""By check, how many cases of it were not skipped in this process."""


@pytest.fixture(scope="module", autouse=True)
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with pictures, where the example of a folder of one's own looks for it; and nothing
    that listeners write leaves it."""
    folder = tmp_path_factory.mktemp("ours")
    stream = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for number in range(40):
        pixels = stream.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "offline")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


def test_all_our_plugins_are_checked() -> None:
    names = [file.parent / "pyproject.toml" for file in ROOT.glob("plugins/*/pyproject.toml")]
    projects = [ROOT / "pyproject.toml", *names]
    modules = {
        module
        for project in projects
        for module in tomllib.loads(project.read_text())["project"]["entry-points"][
            "ganzoo"
        ].values()
    }
    assert modules == set(AT_LEAST)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_conformance(case: Case) -> None:
    case()
    made[case.check.name] += 1


def test_every_check_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """No check is skipped for all components of its kinds, and none is lost."""
    counts: Counter[str] = Counter(case.subject.plugin.module for case in CASES)
    with capsys.disabled():
        print(f"\n{len(CASES)} checks of our own plugins, {made.total()} made: {dict(counts)}")
    for module, least in AT_LEAST.items():
        assert counts[module] >= least, module
    assert len(CASES) >= 1000
    for name in CHECKS:
        # Those that ran in another process, or were not asked for, are made here.
        cases = [case for case in CASES if case.check.name == name]
        assert made[name] or any(_is_made(case) for case in cases), name


def _is_made(case: Case) -> bool:
    try:
        case()
    except Skip:
        return False
    return True
