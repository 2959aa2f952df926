"""Whole runs on one's own pictures: classes by name, mirrored, not square, with opacity."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.api import UserError
from ganzoo.engine.events import Listener
from ganzoo.engine.session import Session
from ganzoo.errors import InterruptedRun
from ganzoo.runs import RunFolder

RECIPE = """
name = "animals"
condition = "class"
latent = { dim = 4 }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-3 }
train = { iterations = 6, batch_size = 8 }
log = { every = 3, samples = 8 }
evaluate = { samples = 20, snapshots = 1 }
generator = { type = "dcgan", base_channels = 4 }
discriminator = { type = "dcgan", base_channels = 4, normalization = "none" }
metrics = [{ type = "sharpness" }]

[data]
type = "image-folder"
path = "animals"
size = [8, 12]
classes = "folders"
channels = 4
mirror = true
held_out = 0.2
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ganzoo.Recipe:
    """One of two classes, `cats` and `dogs`, in the folder `animals`."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 8, 12, 4), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        folder = tmp_path / "animals" / ("cats" if number % 3 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "animals.toml"
    file.write_text(RECIPE)
    return ganzoo.load_recipe(file)


def test_classes_have_names_wherever_they_are_asked_for(
    recipe: ganzoo.Recipe, tmp_path: Path
) -> None:
    run = ganzoo.train(recipe, runs=tmp_path / "runs")
    assert 'class_names = [\n    "cats",\n    "dogs",\n]' in (run.path / "recipe.toml").read_text()
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["data"]["class_names"] == ["cats", "dogs"]
    assert environment["data"]["class_shares"][0] > 0.5
    # A run is sampled and drawn without its data.
    shutil.rmtree(tmp_path / "animals")
    opened = ganzoo.open_run(run.path)
    dogs = opened.sample(3, label="dogs")
    assert dogs.shape == (3, 4, 8, 12)
    assert torch.equal(dogs, opened.sample(3, label=1))
    assert not torch.equal(dogs, opened.sample(3, label="cats"))
    with pytest.raises(UserError, match=r"no class cows\n.*are 0 to 1, called cats, dogs"):
        opened.sample(3, label="cows")
    command = [sys.executable, "-m", "ganzoo", "sample", str(run.path), "--num", "3"]
    for label, name in (("dogs", "a.npy"), ("1", "b.npy"), ("dogs", "c.png")):
        out = str(tmp_path / name)
        subprocess.run([*command, "--class", label, "--out", out], check=True, capture_output=True)
    expected = dogs.add(1).mul(127.5).round()
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected.numpy())
    assert np.array_equal(np.load(tmp_path / "b.npy"), expected.numpy())
    for picture in (tmp_path / "c.png", run.path / "samples" / "000006.png"):
        with Image.open(picture) as image:
            assert image.mode == "RGBA"


class StopAt(Listener):
    """Interrupts a run after some iterations."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def advanced(self, session: Session) -> None:
        if session.iteration == self.iteration:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_a_run_on_mirrored_pictures_resumes_to_the_same_bytes(
    recipe: ganzoo.Recipe, tmp_path: Path, in_memory: str
) -> None:
    recipe = ganzoo.load_recipe(tmp_path / "animals.toml", f"data.in_memory={in_memory}")
    whole = ganzoo.train(recipe, runs=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        ganzoo.train(recipe, runs=tmp_path / "parts", identity="run", progress=StopAt(4))
    parts = ganzoo.resume(tmp_path / "parts" / "animals" / "run")
    weights = [RunFolder(run.path).path / "generator.safetensors" for run in (whole, parts)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    plain = ganzoo.train(
        ganzoo.load_recipe(tmp_path / "animals.toml", "data.mirror=false"), runs=tmp_path / "plain"
    )
    assert (plain.path / "generator.safetensors").read_bytes() != weights[0].read_bytes()


def test_held_out_pictures_are_not_mirrored(recipe: ganzoo.Recipe, tmp_path: Path) -> None:
    spec = recipe.data.spec
    builds = []
    for mirror in (True, False):
        changed = spec.model_copy(update={"mirror": mirror})
        context = ganzoo.api.BuildContext(
            sample_shape=spec.sample_shape,
            latent_dim=4,
            data_root=tmp_path,
            cache_root=tmp_path / "cache",
        )
        builds.append(changed.build(context))
    assert (builds[0].mirror, builds[1].mirror) == (True, False)
    assert torch.equal(builds[0].held_out.values, builds[1].held_out.values)
    assert torch.equal(builds[0].train.values, builds[1].train.values)


def test_a_folder_without_classes_is_not_conditioned_on(
    recipe: ganzoo.Recipe, tmp_path: Path
) -> None:
    text = RECIPE.replace('classes = "folders"\n', "")
    (tmp_path / "none.toml").write_text(text)
    with pytest.raises(UserError) as raised:
        ganzoo.load_recipe(tmp_path / "none.toml")
    assert (
        "condition: dataset 'image-folder' has no classes\n"
        '    3 | condition = "class"\n'
        "      = its keys can give it classes: ganzoo components dataset image-folder"
    ) in str(raised.value)


def test_problems_of_the_files_are_problems_of_the_recipe(
    recipe: ganzoo.Recipe, tmp_path: Path
) -> None:
    (tmp_path / "animals" / "emus").mkdir()
    with pytest.raises(UserError) as raised:
        ganzoo.load_recipe(tmp_path / "animals.toml", "train.seed=-1")
    assert "data: image-folder: no picture of the class 'emus': its folder" in str(raised.value)
    assert "train.seed: " in str(raised.value)
