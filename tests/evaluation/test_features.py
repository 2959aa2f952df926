"""Features of real samples: always the same, computed once, cached on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganzoo.data import Data, Samples, take, to_unit
from ganzoo.digests import read_tensors, write_tensors
from ganzoo.engine.parts import Parts
from ganzoo.errors import GanzooWarning, RunError
from ganzoo.evaluation.classifier import train_classifier
from ganzoo.evaluation.features import Features
from ganzoo.folders import warn_once
from ganzoo.recipe import Recipe

from .conftest import TINY, data_of

MakeRecipe = Callable[..., Recipe]
Cached = tuple[dict[str, Tensor], dict[str, str]]
CPU = torch.device("cpu")
UNNAMED = TINY.replace('extractor = { type = "random" }\n', "")
"""The recipe without an extractor."""


def features_of(recipe: Recipe, data: Data | None = None) -> Features:
    parts = Parts(recipe, CPU)
    if data is not None:
        parts.data = data
    return Features(parts)


@pytest.fixture
def quick_training(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers are trained for three epochs of the digits, and cached apart from others."""
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)


# The classifier.


def test_the_note_states_the_accuracy_of_the_classifier(recipe: MakeRecipe) -> None:
    features = features_of(recipe(text=UNNAMED))
    extractor = features.extractor
    assert extractor.type == "classifier"
    stated = re.fullmatch(
        r"a classifier trained on the labels of the data, ([\d.]+)% accurate on held-out samples",
        extractor.note,
    )
    assert stated is not None
    held_out = features.data.held_out
    assert isinstance(held_out, Samples)
    assert held_out.labels is not None
    extraction = features.held_out
    assert extraction.features.shape == (297, 128)
    assert extraction.probabilities is not None
    right = (extraction.probabilities.argmax(1) == held_out.labels).double().mean()
    assert float(stated[1]) == pytest.approx(100 * float(right), abs=0.01)
    assert right > 0.9


def test_training_a_classifier_is_deterministic(recipe: MakeRecipe, quick_training: None) -> None:
    data = data_of(recipe())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    weights, accuracy = train_classifier(data.train, data.held_out, (1, 8, 8), 10, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, accuracy_again = train_classifier(data.train, data.held_out, (1, 8, 8), 10, CPU)
    assert accuracy == accuracy_again
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_a_classifier_is_judged_on_what_is_held_out(
    recipe: MakeRecipe, quick_training: None
) -> None:
    data = data_of(recipe())
    assert isinstance(data.held_out, Samples)
    assert data.held_out.labels is not None
    wrong = replace(data.held_out, labels=(data.held_out.labels + 1) % 10)
    assert train_classifier(data.train, wrong, (1, 8, 8), 10, CPU)[1] < 0.2


def test_without_held_out_samples_the_note_says_so(
    recipe: MakeRecipe, quick_training: None
) -> None:
    tiny = recipe("extractor.type=classifier", "data.held_out=0")
    features = features_of(tiny)
    assert features.extractor.note.endswith("% accurate on training samples")
    assert features.held_out.features.shape == (1797, 128)


def test_the_classifier_is_trained_once(
    recipe: MakeRecipe, quick_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = recipe("extractor.type=classifier")
    first = features_of(tiny)
    extractions = first.held_out, first.training

    def fail(*arguments: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("ganzoo.evaluation.classifier.train_classifier", fail)
    second = features_of(tiny)
    assert (second.extractor.name, second.extractor.note) == (
        first.extractor.name,
        first.extractor.note,
    )
    monkeypatch.setattr(type(second.extractor), "__call__", fail)
    for mine, theirs in zip((second.held_out, second.training), extractions, strict=True):
        assert torch.equal(mine.features, theirs.features)
        assert mine.probabilities is not None
        assert theirs.probabilities is not None
        assert torch.equal(mine.probabilities, theirs.probabilities)


def test_other_labels_train_another_classifier(recipe: MakeRecipe, quick_training: None) -> None:
    tiny = recipe("extractor.type=classifier")
    data = data_of(tiny)
    assert isinstance(data.train, Samples)
    assert data.train.labels is not None
    turned = replace(data, train=replace(data.train, labels=9 - data.train.labels))
    assert features_of(tiny, turned).extractor.name != features_of(tiny, data).extractor.name


def test_an_extractor_leaves_the_random_stream_as_it_was(
    recipe: MakeRecipe, quick_training: None
) -> None:
    for kind in ("classifier", "random"):
        before = torch.get_rng_state()
        features_of(recipe(f"extractor.type={kind}"))
        assert torch.equal(torch.get_rng_state(), before)


# Real samples.


def test_features_have_the_order_of_the_samples(recipe: MakeRecipe, own_cache: Path) -> None:
    features = features_of(recipe())
    held_out, train = features.data.held_out, features.data.train
    assert isinstance(held_out, Samples)
    assert isinstance(train, Samples)
    for part, extraction in ((held_out, features.held_out), (train, features.training)):
        expected = features.extractor(to_unit(part.values))
        torch.testing.assert_close(extraction.features, expected.features)
        assert extraction.probabilities is None


def test_without_held_out_samples_training_samples_are_used(
    recipe: MakeRecipe, own_cache: Path
) -> None:
    features = features_of(recipe("data.held_out=0"))
    assert features.real is features.data.train
    assert torch.equal(features.held_out.features, features.training.features)


def test_points_are_not_cached(recipe: MakeRecipe, own_cache: Path) -> None:
    features = features_of(recipe("data={ type = 'ring', samples = 50 }", text=UNNAMED))
    train = features.data.train
    assert isinstance(train, Samples)
    assert torch.equal(features.training.features, train.values)
    assert not own_cache.exists()


def test_a_data_set_on_disk_has_the_features_of_one_in_memory(
    recipe: MakeRecipe, own_cache: Path
) -> None:
    streamed, in_memory = recipe("data.type=test-streamed"), recipe()
    torch.testing.assert_close(
        features_of(streamed).held_out.features, features_of(in_memory).held_out.features
    )
    indices = torch.tensor([5, 0, 99])
    pairs = zip(
        take(data_of(streamed).train, indices), take(data_of(in_memory).train, indices), strict=True
    )
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_taken_samples_without_labels(recipe: MakeRecipe) -> None:
    x, labels = take(Samples(torch.arange(12.0).reshape(6, 2)), torch.tensor([3, 1]))
    assert x.tolist() == [[6, 7], [2, 3]]
    assert labels.tolist() == [-1, -1]


@pytest.mark.parametrize("part", ["train", "held_out"])
def test_features_of_real_samples_that_are_not_finite_are_refused(
    recipe: MakeRecipe, part: str, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    features = features_of(recipe())

    def forward(self: nn.Module, x: Tensor) -> tuple[Tensor, None]:
        output = x.flatten(1).clone()
        output[3, 1] = torch.nan
        return output, None

    monkeypatch.setattr(type(features.extractor.network), "forward", forward)
    with pytest.raises(RunError, match=r"the features of real samples by 'random.*' are"):
        _ = features.training if part == "train" else features.held_out


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    """What was said in one test may be said again in the next."""
    warn_once.cache_clear()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda each: {"features": each["features"][1:]}, r"its features are \(296, .*of 297"),
        (lambda each: {"features": each["features"].double()}, "of torch.float64"),
        (lambda each: {"features": each["features"] * torch.nan}, "its features are not finite"),
        (lambda each: {"x": each["features"]}, "it holds x instead of features"),
        (lambda each: {}, "it holds nothing instead of features"),
    ],
)
def test_features_of_something_else_are_set_aside(
    recipe: MakeRecipe,
    own_cache: Path,
    change: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    reason: str,
) -> None:
    expected = features_of(recipe()).held_out.features
    (file,) = own_cache.glob("*-random-*.safetensors")
    tensors, notes = read_tensors(file)
    write_tensors(file, {name: each.clone() for name, each in change(tensors).items()}, notes)
    with pytest.warns(GanzooWarning, match=reason):
        assert torch.equal(features_of(recipe()).held_out.features, expected)
    assert features_of(recipe()).held_out.features.equal(expected)


@pytest.mark.parametrize("what", ["weight", "accuracy"])
def test_a_classifier_of_something_else_is_set_aside(
    recipe: MakeRecipe, quick_training: None, own_cache: Path, what: str
) -> None:
    named = features_of(recipe("extractor.type=classifier")).extractor.name
    (file,) = own_cache.glob("*-classifier-v*.safetensors")
    tensors, notes = read_tensors(file)
    if what == "weight":
        tensors["head.bias"] = tensors["head.bias"][1:].clone()
    else:
        notes["accuracy"] = "good"
    write_tensors(file, tensors, notes)
    reason = {"weight": "'head.bias' has the shape", "accuracy": "it has no accuracy"}[what]
    with pytest.warns(GanzooWarning, match=reason):
        assert features_of(recipe("extractor.type=classifier")).extractor.name == named
