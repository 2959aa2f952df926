"""Every recipe of the folder is good, says what to expect, and trains."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import ganzoo

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))
DOWNLOADED = {"mnist", "fashion-mnist", "cifar10", "celeba"}
"""Data sets that are not there on a fresh machine."""


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 5


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_good_and_says_what_it_shows(file: Path) -> None:
    recipe = ganzoo.load_recipe(file)
    assert recipe.name == file.stem
    assert recipe.summary
    assert re.match(r"(#.*\n)*# From: .*\n(#.*\n)*# Shows: .*\n(#.*\n)*# Takes: ", file.read_text())
    assert "Shows:   xx" not in file.read_text()


def parameters() -> list[object]:
    """The recipes, with a marker on those that need a data set of the user's."""
    return [
        pytest.param(
            file,
            id=file.stem,
            marks=[pytest.mark.data] if ganzoo.load_recipe(file).data.name in DOWNLOADED else [],
        )
        for file in RECIPES
    ]


@pytest.mark.parametrize("file", parameters())
def test_a_recipe_trains(file: Path, tmp_path: Path) -> None:
    recipe = ganzoo.load_recipe(file, "train.iterations=20", "log.every=10", "checkpoint.every=20")
    if recipe.data.name in DOWNLOADED and not os.environ.get("GANZOO_DATA"):
        pytest.skip("GANZOO_DATA is not set")
    run = ganzoo.train(recipe, runs=tmp_path)
    assert run.status["state"] == "done"
    assert [row["iteration"] for row in run.metrics] == [10, 20]
    assert (run.path / "samples" / "000020.png").stat().st_size > 0


def test_the_tutorials_gan_has_the_tutorials_layers() -> None:
    """784-1024-512-256-1 with dropout 0.3 against 100-256-512-1024-784 with tanh."""
    import torch
    from torch import nn

    from ganzoo.engine.context import build_context
    from ganzoo.engine.networks import build_networks

    recipe = ganzoo.load_recipe(FOLDER / "mnist-mlp-gan.toml")
    networks = build_networks(recipe, build_context(recipe), None)

    def sizes(network: nn.Module) -> list[int]:
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    assert sizes(networks["discriminator"]) == [784, 1024, 512, 256, 1]
    assert sizes(networks["generator"]) == [100, 256, 512, 1024, 784]
    dropouts = [m.p for m in networks["discriminator"].modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.3, 0.3, 0.3]
    assert networks["generator"](torch.randn(3, 100) * 9).abs().max() <= 1
    for optimizer in recipe.optimizers.values():
        assert (optimizer.type, optimizer.lr) == ("adam", 3e-4)
        assert optimizer.model_dump()["betas"] == (0.5, 0.999)
