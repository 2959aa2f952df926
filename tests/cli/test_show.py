"""`ganzoo show`: the resolved recipe as TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import ganzoo

Command = Callable[..., CompletedProcess[str]]


def test_every_default_is_written_out(command: Command, recipe: Path) -> None:
    result = command("show", recipe)
    assert (result.returncode, result.stderr) == (0, "")
    tables = tomllib.loads(result.stdout)
    assert tables["name"] == "tiny"
    assert tables["generator"] == {
        "type": "mlp",
        "hidden": [16],
        "activation": "leaky-relu",
        "dropout": 0.0,
        "normalization": "none",
    }
    assert tables["discriminator"]["pack"] == 1
    assert tables["prior"] == {"type": "latent"}
    assert tables["optimizer"]["discriminator"]["betas"] == [0.9, 0.999]
    assert tables["engine"]["device"] == "auto"
    assert tables["checkpoint"] == {"every": 2, "keep": 2}


def test_it_loads_back_to_the_same_recipe(command: Command, points: Path) -> None:
    shown = command("show", points).stdout
    Path("shown.toml").write_text(shown)
    first, second = ganzoo.load_recipe(points), ganzoo.load_recipe("shown.toml")
    assert second == first
    assert second.fingerprint == first.fingerprint
    assert command("show", "shown.toml").stdout == shown


def test_overrides_are_laid_over_it(command: Command, recipe: Path) -> None:
    result = command("show", recipe, "train.seed=7", "optimizer.generator.lr=1", "ema.decay=0.9")
    tables = tomllib.loads(result.stdout)
    assert tables["train"]["seed"] == 7
    assert tables["optimizer"]["generator"]["lr"] == 1.0
    assert tables["optimizer"]["discriminator"]["lr"] == 0.001
    assert tables["ema"] == {"decay": 0.9}


def test_a_wrong_recipe(command: Command, recipe: Path) -> None:
    result = command("show", recipe, "train.iteration=7")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "command line: train.iteration: unknown key for [train]\n"
        "    train.iteration=7\n"
        "      = did you mean 'iterations'?\n"
        "1 problem; nothing was run\n"
    )
