"""What the plugin declares, and what every data set of it has in common."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import ganzoo_data
import numpy as np
import pytest
import torch
from ganzoo_data import Digits, Gaussian1D, Grid, HuggingFace, ImageFolder, Ring
from pydantic import ValidationError

import ganzoo
from ganzoo.api import DatasetSpec
from ganzoo.declarations import declaration_problem
from ganzoo.engine import Data, Samples

Build = Callable[..., Data]

DATASETS = ganzoo_data.ganzoo_datasets()
METRICS = ganzoo_data.ganzoo_metrics()

OFFLINE = [
    Digits(),
    Gaussian1D(samples=500),
    Ring(samples=500),
    Grid(samples=500),
    ImageFolder(path="faces", size=8, held_out=0.2),
    ImageFolder(path="faces", size=8, held_out=0.2, channels=1, in_memory=False),
]
"""One of each set that needs no file, and the folder of the fixture `faces`."""


def contents(data: Data) -> list[torch.Tensor]:
    tensors = []
    for part in (data.train, data.held_out):
        assert part is not None
        if isinstance(part, Samples):
            tensors += [part.values] if part.labels is None else [part.values, part.labels]
        else:
            tensors.append(torch.stack([part[index][0] for index in range(len(part))]))
    return tensors


@pytest.fixture(params=OFFLINE, ids=lambda spec: f"{spec.type}-{len(spec.sample_shape)}")
def spec(request: pytest.FixtureRequest, faces: Path) -> DatasetSpec:
    assert isinstance(request.param, DatasetSpec)
    return request.param


def test_the_types_that_the_package_offers() -> None:
    assert [spec.type for spec in DATASETS] == [
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "celeba",
        "image-folder",
        "huggingface",
        "gaussian-1d",
        "ring",
        "grid",
    ]
    assert [spec.type for spec in METRICS] == ["modes"]
    assert ganzoo_data.GANZOO_API_VERSION == 1


def test_the_entry_point_names_the_package() -> None:
    (entry,) = entry_points(group="ganzoo", name="data")
    assert entry.load() is ganzoo_data


@pytest.mark.parametrize("spec", [*DATASETS, *METRICS], ids=lambda spec: spec.type)
def test_declarations_are_complete(spec: type[DatasetSpec]) -> None:
    assert declaration_problem(spec.kind, spec) is None
    assert spec.summary().endswith(".")
    undescribed = [name for name, field in spec.model_fields.items() if not field.description]
    assert not undescribed


def test_importing_the_declarations_imports_nothing_heavy() -> None:
    program = (
        "import sys, ganzoo_data; ganzoo_data.ganzoo_datasets(); ganzoo_data.Ring().sample_shape; "
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'PIL', 'numpy') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("spec", "table", "message"),
    [
        (Digits, '{"held_out": 1797}', "less than or equal to 1796"),
        (Ring, '{"modes": 0}', "greater than 0"),
        (Ring, '{"std": 0}', "greater than 0"),
        (Grid, '{"side": true}', "valid integer"),
        (Gaussian1D, '{"sigma": 1}', "Extra inputs are not permitted"),
        (ImageFolder, '{"size": 64}', "path\n  Field required"),
        (ImageFolder, '{"path": "a"}', "size\n  Field required"),
        (ImageFolder, '{"path": "", "size": 64}', "at least 1 character"),
        (ImageFolder, '{"path": "a", "size": 64, "channels": 2}', "Input should be 1, 3 or 4"),
        (ImageFolder, '{"path": "a", "size": 64, "held_out": 1}', "less than 1"),
        *(
            (ImageFolder, f'{{"path": "a", "size": {size}}}', "should be a whole number above 0")
            for size in ('"x"', "0", "[48]", "[4, 0]", "[4, 5, 6]", "[8, true]", "true", "1.5")
        ),
        (ImageFolder, '{"path": "a", "size": 64, "class_names": ["a"]}', "without classes"),
        (
            ImageFolder,
            '{"path": "a", "size": 64, "classes": "folders", "class_names": ["a", "a"]}',
            "holds a name twice",
        ),
        (
            ImageFolder,
            '{"path": "a", "size": 64, "classes": "folders", "class_names": []}',
            "at least 1 item",
        ),
        (HuggingFace, '{"path": "a", "size": 64, "held_out": "train"}', "that is trained on"),
        (HuggingFace, '{"path": "a", "size": 64, "held_out": 1.5}', "less than 1"),
        (ImageFolder, '{"path": "a", "size": 64, "in_memory": "no"}', "'auto'"),
    ],
)
def test_invalid_keys(spec: type[DatasetSpec], table: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec.model_validate_json(table)


def test_every_key_of_a_folder_comes_through_json() -> None:
    table = (
        '{"path": "a", "size": 64, "crop": "none", "channels": 1, "held_out": 0, "limit": 5, '
        '"in_memory": true, "classes": "folders", "class_names": ["a", "b"], "mirror": true}'
    )
    spec = ImageFolder.model_validate_json(table)
    assert spec.model_dump() == {
        "path": "a",
        "size": 64,
        "classes": "folders",
        "class_names": ("a", "b"),
        "mirror": True,
        "crop": "none",
        "channels": 1,
        "held_out": 0.0,
        "limit": 5,
        "in_memory": True,
    }


def test_shape_type_range_and_labels(spec: DatasetSpec, build: Build) -> None:
    data = build(spec)
    images = "images" in spec.provides
    assert images != ("points" in spec.provides)
    for part in (data.train, data.held_out):
        sample = part.values[0] if isinstance(part, Samples) else part[0][0]
        assert sample.shape == spec.sample_shape
        assert sample.dtype == (torch.uint8 if images else torch.float32)
        labels = part.labels if isinstance(part, Samples) else None
        assert (
            (labels is not None)
            == ("labels" in spec.capabilities)
            == (spec.num_classes is not None)
        )
        if labels is not None:
            assert labels.dtype == torch.int64
            assert labels.shape == (len(part),)
            assert labels.unique().tolist() == list(range(spec.num_classes or 0))
    assert (data.density is not None) == ("density" in spec.provides)


def test_held_out_samples_are_not_trained_on(spec: DatasetSpec, build: Build) -> None:
    data = build(spec)
    tensors = contents(data)
    train, held_out = tensors[0], tensors[len(tensors) // 2]
    training = {sample.numpy().tobytes() for sample in train}
    shared = sum(sample.numpy().tobytes() in training for sample in held_out)
    assert len(held_out) == len(data.held_out)
    assert shared == 0


def test_the_same_bytes_twice_and_no_global_randomness(spec: DatasetSpec, build: Build) -> None:
    torch.manual_seed(1)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state())
    first = contents(build(spec))
    after = (torch.get_rng_state(), random.getstate(), np.random.get_state())
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(one, other) for one, other in zip(before[2], after[2], strict=True))
    torch.manual_seed(2)
    second = contents(build(spec))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_digits_are_scikit_learns(build: Build) -> None:
    data = build(Digits())
    assert (len(data.train), len(data.held_out)) == (1500, 297)
    values = torch.cat([data.train.values, data.held_out.values])
    levels = torch.arange(17).mul(255 / 16).round().to(torch.uint8)
    assert torch.equal(values.unique(), levels)
    # The sum of all grey levels of the source, known independently of any split.
    assert int(values.float().mul(16 / 255).round().sum()) == 561718
    per_class = data.held_out.labels.bincount()
    everything = torch.cat([data.train.labels, data.held_out.labels]).bincount()
    assert (per_class - everything * 297 / 1797).abs().max() <= 1


def test_digits_held_out_edges(build: Build) -> None:
    assert build(Digits(held_out=0)).held_out is None
    assert len(build(Digits(held_out=0)).train) == 1797
    assert len(build(Digits(held_out=1796)).train) == 1
    ten = build(Digits(held_out=10)).held_out.labels
    assert ten.sort().values.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        (["train.batch_size=64"], "there are about 19 pictures to train on, and a batch of 64"),
        (["train.batch_size=64", "data.held_out=0.5"], "there are about 10 pictures to train on"),
        (["train.batch_size=8"], None),
        (["train.batch_size=64", "data.path=elsewhere"], None),  # told when they are read
        (
            ["data={ type = 'digits' }", "train.batch_size=1600"],
            "there are about 1500 pictures to train on, and a batch of 1600",
        ),
    ],
)
def test_fewer_pictures_than_a_batch_are_noted(
    overrides: list[str], note: str | None, faces: Path
) -> None:
    tables = {
        "extends": "digits-mlp-gan",
        "data": {"type": "image-folder", "path": str(faces), "size": 8},
    }
    notes = ganzoo.load_recipe(tables, *overrides).notes
    assert [note in each for each in notes] == ([True] if note else [])
