"""Every recipe of the folder is good, says what to expect, and trains."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))
QUICK = (
    *("train.iterations=20", "train.batch_size=16", "log.every=10", "log.samples=16"),
    "checkpoint.every=20",
)


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 25


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_good_and_says_what_it_shows(file: Path) -> None:
    recipe = ganzoo.load_recipe(file)
    assert recipe.name == file.stem
    assert recipe.summary
    assert recipe.notes == ()
    assert recipe.metrics or len(recipe.data.spec.sample_shape) < 3
    assert re.match(r"(#.*\n)*# From: .*\n(#.*\n)*# Shows: .*\n(#.*\n)*# Takes: ", file.read_text())
    assert "Shows:   xx" not in file.read_text()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of forty pictures of noise, in colour."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3))):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


def at_hand(recipe: ganzoo.Recipe, pictures: Path) -> str:
    """The recipe's own data where they are on this machine, else made ones of the same shape."""
    if recipe.data.name in ("mnist", "fashion-mnist", "cifar10", "celeba", "image-folder"):
        root = os.environ.get("GANZOO_DATA")
        if not (recipe.data.name == "mnist" and root and (Path(root) / "MNIST").is_dir()):
            channels, size, _ = recipe.data.spec.sample_shape
            return (
                f"data={{ type = 'image-folder', path = '{pictures}', "
                f"size = {size}, channels = {channels} }}"
            )
    return f"data.type='{recipe.data.name}'"


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_trains(file: Path, pictures: Path, tmp_path: Path) -> None:
    data = at_hand(ganzoo.load_recipe(file), pictures)
    recipe = ganzoo.load_recipe(file, data, *QUICK)
    if recipe.metrics and recipe.metrics[0].name == "fid":
        recipe = replace(recipe, metrics=())  # a classifier of MNIST takes longer than all recipes
    run = ganzoo.train(recipe, runs=tmp_path)
    assert run.status["state"] == "done"
    assert [row["iteration"] for row in run.statistics] == [10, 20]
    assert (run.path / "samples" / "000020.png").stat().st_size > 0


def test_a_vae_and_a_gan_share_a_generator_letter_for_letter() -> None:
    """The table as it is written, comments and all: a comparison changes everything but it."""

    def written(name: str) -> str:
        return (FOLDER / name).read_text().partition("[generator]\n")[2].partition("\n[")[0]

    assert written("mnist-gan-conv.toml").strip()
    assert written("mnist-gan-conv.toml") == written("mnist-vae-conv.toml")
    gan, vae = (ganzoo.load_recipe(FOLDER / f"mnist-{name}-conv.toml") for name in ("gan", "vae"))
    assert (gan.data, gan.latent, gan.train) == (vae.data, vae.latent, vae.train)


def test_the_tutorials_gan_has_the_tutorials_layers() -> None:
    """784-1024-512-256-1 with dropout 0.3 against 100-256-512-1024-784 with tanh."""
    import torch
    from torch import nn

    from ganzoo.data import DataDescription
    from ganzoo.engine.parts import Parts

    recipe = ganzoo.load_recipe(FOLDER / "mnist-mlp-gan.toml")
    networks = Parts(recipe, torch.device("cpu"), DataDescription(60_000, 10_000)).networks

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
