"""A run that pauses and goes on is, to the byte, one that never paused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tiny import tiny

import ganzoo
from ganzoo.errors import PausedRun

RECIPE = tiny(
    train="{ iterations = 12, batch_size = 8 }",
    optimizer='{ type = "adam", lr = { from = 1e-3, to = 0.0 } }',
    evaluate="{ samples = 20, snapshots = 3 }",
    ema="{ decay = 0.5 }",
)


def content(run: Path) -> dict[str, bytes]:
    """The files that a seed fixes."""
    patterns = ("*.safetensors", "snapshots/*", "samples/*", "statistics.jsonl")
    return {
        str(file.relative_to(run)): file.read_bytes()
        for each in patterns
        for file in run.glob(each)
    }


@pytest.mark.parametrize("pauses", [(4, 8), (5,), (1, 2, 3, 11), ()])
def test_the_same_bytes(tmp_path: Path, pauses: tuple[int, ...]) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    recipe = ganzoo.load_recipe(tmp_path / "tiny.toml")
    whole = ganzoo.train(recipe, runs=tmp_path / "whole").path
    path = tmp_path / "tiny" / "one"
    advance: Callable[..., object] = partial(ganzoo.train, recipe, runs=tmp_path, identity="one")
    for pause in pauses:
        with pytest.raises(PausedRun, match=f"paused after iteration {pause} of 12"):
            advance(pause=pause)
        run = ganzoo.open_run(path)
        assert (run.status["state"], run.status["iteration"]) == ("interrupted", pause)
        assert run.snapshots() == [each for each in (4, 8) if each <= pause]
        advance = partial(ganzoo.resume, path)
    advance(pause=12)  # the end is no pause
    assert content(path) == content(whole)
    assert len(content(whole)) > 8


def test_a_run_that_is_further_already_pauses_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    recipe = ganzoo.load_recipe(tmp_path / "tiny.toml")
    with pytest.raises(PausedRun):
        ganzoo.train(recipe, runs=tmp_path, identity="one", pause=6)
    with pytest.raises(PausedRun, match="paused after iteration 7 of 12"):
        ganzoo.resume(tmp_path / "tiny" / "one", pause=3)
