"""The metrics on handwritten digits, in the features of a classifier, and after a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ganzoo_metrics import ganzoo_metrics
from torch import Tensor

import ganzoo
from ganzoo.api import BuildContext, MetricSpec
from ganzoo.engine import to_unit
from ganzoo.engine.parts import Parts
from ganzoo.evaluation.features import Features

RECIPE = """
name = "digits"
condition = "class"
latent = { dim = 4 }
data = { type = "digits", held_out = 750 }
generator = { type = "mlp", hidden = [16] }
discriminator = { type = "mlp", hidden = [16] }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-3, betas = [0.5, 0.99] }
train = { iterations = 20, batch_size = 16 }
log = { every = 20, samples = 1 }
checkpoint = { every = 20, keep = 1 }
engine = { device = "cpu" }
evaluate = { samples = 300, snapshots = 2 }
metrics = [METRICS]
"""

HALF = 750
Values = dict[str, float]


def written(folder: Path, types: list[str]) -> ganzoo.Recipe:
    file = folder / "digits.toml"
    tables = ", ".join(f'{{ type = "{name}" }}' for name in types)
    file.write_text(RECIPE.replace("METRICS", tables))
    return ganzoo.load_recipe(file)


@pytest.fixture(scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for all tests of this file, so that the classifier is trained once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def context(_cache: None, tmp_path_factory: pytest.TempPathFactory) -> BuildContext:
    """What the recipe's metrics are built with."""
    recipe = written(tmp_path_factory.mktemp("recipe"), ["fid"])
    parts = Parts(recipe, torch.device("cpu"))
    return replace(parts.context, data=parts.data, features=Features(parts))


def all_values(context: BuildContext, images: Tensor, labels: Tensor) -> Values:
    """Every metric's values of images `(N, 1, 8, 8)` in [-1, 1] against the held-out digits."""
    values: Values = {}
    held_out, features = context.data.held_out, context.features
    extraction, real = features.extractor(images), features.held_out
    for spec in map(type, (kind() for kind in ganzoo_metrics())):
        if "data.points" in spec.needs:
            continue
        pairs = {
            "features": (real.features, extraction.features),
            "probabilities": (real.probabilities, extraction.probabilities),
            "samples": (to_unit(held_out.values), images),
        }
        metric = spec().build(context)
        real_side, generated_side = pairs[spec.reads]
        metric.update(real_side, real=True, labels=held_out.labels)
        metric.update(generated_side, real=False, labels=labels)
        values |= {f"{spec.type}/{name}": value for name, value in metric.compute().items()}
    return values


@pytest.fixture(scope="module")
def half(context: BuildContext) -> Values:
    """Of training digits: what no generator could do better."""
    train = context.data.train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))[:HALF]
    return all_values(context, to_unit(train.values[order]), train.labels[order])


@pytest.fixture(scope="module")
def noise(context: BuildContext) -> Values:
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(HALF, 1, 8, 8, generator=stream) * 2 - 1
    return all_values(context, images, torch.arange(HALF) % 10)


@pytest.fixture(scope="module")
def two_classes(context: BuildContext) -> Values:
    """Of a generator that makes only two classes, without giving training digits back."""
    train = context.data.train
    chosen = (train.labels == 0) | (train.labels == 1)
    images = to_unit(train.values[chosen])
    images = images.repeat(math.ceil(HALF / len(images)), 1, 1, 1)[:HALF]
    jitter = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return all_values(context, (images + 0.03 * jitter).clamp(-1, 1), torch.arange(HALF) % 10)


def test_half_of_the_data_is_at_the_floor_of_the_other(half: Values) -> None:
    assert half["fid/fid"] == pytest.approx(half["fid/floor"], rel=0.5)
    assert half["precision-recall/precision"] > 0.7
    assert half["precision-recall/recall"] > 0.7
    assert half["density-coverage/density"] == pytest.approx(1, abs=0.2)
    assert half["density-coverage/coverage"] > 0.85
    assert half["classes/covered"] == 10
    assert half["classes/kl"] < 0.05
    assert half["inception-score/score"] == pytest.approx(half["inception-score/real"], rel=0.1)
    assert half["sharpness/relative"] == pytest.approx(1, abs=0.1)


def test_training_digits_are_of_their_classes(half: Values) -> None:
    assert half["class-accuracy/worst"] > 0.95  # the classifier was trained on them
    assert half["class-fid/class-fid"] == pytest.approx(half["class-fid/floor"], rel=0.3)
    assert half["class-fid/classes"] == 10


def test_training_digits_are_memorised(half: Values) -> None:
    assert half["nearest/share"] == 1
    assert half["nearest/ratio"] < 1e-3
    assert half["nearest/repeated"] < 0.05


def test_noise_is_far_from_the_data(half: Values, noise: Values) -> None:
    assert noise["fid/fid"] > 20 * half["fid/fid"]
    assert noise["fid/floor"] == half["fid/floor"]
    assert noise["kid/kid"] > 20 * abs(half["kid/kid"])
    assert noise["density-coverage/coverage"] < 0.2
    assert noise["nearest/ratio"] > 1.5
    assert noise["sharpness/relative"] > 1.5


def test_two_classes_are_seen_as_two(half: Values, two_classes: Values) -> None:
    assert two_classes["classes/covered"] == 2
    assert two_classes["classes/kl"] == pytest.approx(math.log(5), abs=0.2)
    assert two_classes["fid/fid"] > 20 * half["fid/fid"]
    assert two_classes["precision-recall/recall"] < 0.1
    assert two_classes["density-coverage/coverage"] < 0.25
    assert two_classes["inception-score/score"] == pytest.approx(2, abs=0.3)
    assert two_classes["class-accuracy/class-accuracy"] == pytest.approx(0.1, abs=0.05)
    assert two_classes["class-accuracy/worst"] == 0
    assert two_classes["class-fid/class-fid"] > 20 * half["class-fid/class-fid"]
    # The same samples came several times.
    assert two_classes["nearest/repeated"] > 0.5


@pytest.mark.usefixtures("_cache")
def test_a_run_is_measured_by_all_of_them(tmp_path: Path) -> None:
    specs: list[type[MetricSpec]] = [
        spec for spec in ganzoo_metrics() if "data.points" not in spec.needs
    ]
    recipe = written(tmp_path, [spec.type for spec in specs])
    run = ganzoo.train(recipe, runs=tmp_path / "runs")
    evaluation = json.loads(run.folder.evaluation.read_text())
    assert [row["iteration"] for row in evaluation["history"]] == [10, 20]
    names = {name.partition("[")[0] for name in evaluation["values"]}
    assert {"fid", "fid/floor", "kid", "precision-recall/recall", "classes/kl"} < names
    assert {"sharpness", "sharpness/relative", "nearest/share", "inception-score/real"} < names
    assert {"class-accuracy", "class-accuracy/worst", "class-fid", "class-fid/floor"} < names
    assert all(math.isfinite(value) for value in evaluation["values"].values())
    assert evaluation["better"].keys() == evaluation["best"].keys()
    assert any(name.startswith("fid[classifier@") for name in evaluation["best"])
