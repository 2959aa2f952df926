"""Real samples in features: the same always, computed once, kept on disk."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganzoo.engine.data import Data, Samples, to_unit
from ganzoo.evaluation import Features
from ganzoo.evaluation.cache import cache_root, cached, data_digest
from ganzoo.evaluation.classifier import take, train_classifier
from ganzoo.recipe import Recipe

from .conftest import data_of

MakeRecipe = Callable[..., Recipe]
Kept = tuple[dict[str, Tensor], dict[str, str]]
CPU = torch.device("cpu")


def features_of(recipe: Recipe, data: Data | None = None) -> Features:
    return Features(recipe, data or data_of(recipe), recipe.evaluate, CPU)


@pytest.fixture
def quick_training(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classifiers are trained for three epochs of the digits, and kept apart from good ones."""
    monkeypatch.setattr("ganzoo.evaluation.classifier.FEWEST_STEPS", 1)


# The classifier.


def test_a_trained_classifier_is_as_good_as_it_says(recipe: MakeRecipe) -> None:
    features = features_of(recipe("evaluate.features=auto"))
    extractor = features.extractor
    assert extractor.kind == "classifier"
    stated = re.fullmatch(
        r"a classifier trained on the data's labels, right on ([\d.]+)% of held-out samples",
        extractor.note,
    )
    assert stated is not None
    held_out = features.data.held_out
    assert isinstance(held_out, Samples)
    assert held_out.labels is not None
    seen = features.held_out
    assert seen.features.shape == (297, 128)
    assert seen.probabilities is not None
    right = (seen.probabilities.argmax(1) == held_out.labels).double().mean()
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
    tiny = recipe("evaluate.features=classifier", "data.held_out=0")
    features = features_of(tiny)
    assert features.extractor.note.endswith("% of training samples")
    assert features.held_out.features.shape == (1797, 128)


def test_the_classifier_is_trained_once(
    recipe: MakeRecipe, quick_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = recipe("evaluate.features=classifier")
    first = features_of(tiny)
    seen = first.held_out, first.training

    def fail(*arguments: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("ganzoo.evaluation.features.train_classifier", fail)
    second = features_of(tiny)
    assert (second.extractor.name, second.extractor.note) == (
        first.extractor.name,
        first.extractor.note,
    )
    monkeypatch.setattr(type(second.extractor), "__call__", fail)
    for mine, theirs in zip((second.held_out, second.training), seen, strict=True):
        assert torch.equal(mine.features, theirs.features)
        assert mine.probabilities is not None
        assert theirs.probabilities is not None
        assert torch.equal(mine.probabilities, theirs.probabilities)


def test_other_labels_train_another_classifier(recipe: MakeRecipe, quick_training: None) -> None:
    tiny = recipe("evaluate.features=classifier")
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
        features_of(recipe(f"evaluate.features={kind}"))
        assert torch.equal(torch.get_rng_state(), before)


# Real samples.


def test_real_samples_come_in_their_order(recipe: MakeRecipe, own_cache: Path) -> None:
    features = features_of(recipe())
    held_out, train = features.data.held_out, features.data.train
    assert isinstance(held_out, Samples)
    assert isinstance(train, Samples)
    for part, seen in ((held_out, features.held_out), (train, features.training)):
        expected = features.extractor(to_unit(part.values))
        torch.testing.assert_close(seen.features, expected.features)
        assert seen.probabilities is None


def test_without_held_out_samples_training_ones_stand_for_them(
    recipe: MakeRecipe, own_cache: Path
) -> None:
    features = features_of(recipe("data.held_out=0"))
    assert features.real is features.data.train
    assert torch.equal(features.held_out.features, features.training.features)


def test_points_are_not_kept_on_disk(recipe: MakeRecipe, own_cache: Path) -> None:
    features = features_of(recipe("data={ type = 'ring', samples = 50 }", "evaluate.features=auto"))
    train = features.data.train
    assert isinstance(train, Samples)
    assert torch.equal(features.training.features, train.values)
    assert not own_cache.exists()


def test_a_data_set_on_disk_is_seen_like_one_in_memory(recipe: MakeRecipe, own_cache: Path) -> None:
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


# The hash of a data set.


def test_a_data_set_in_memory_is_hashed_by_what_it_holds(recipe: MakeRecipe) -> None:
    tiny = recipe()
    values = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2)
    labels = torch.tensor([0, 1, 2])
    first = data_digest(tiny, Samples(values, labels))
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert data_digest(recipe("latent.dim=9"), Samples(values.clone(), labels.clone())) == first
    others = [
        Samples(values + 1, labels),
        Samples(values, labels.flip(0)),
        Samples(values),
        Samples(values.reshape(3, 1, 1, 4), labels),
        Samples(values.to(torch.int8), labels),
        Samples(values.flip(0), labels),
    ]
    assert len({first, *(data_digest(tiny, other) for other in others)}) == 7


def test_a_data_set_on_disk_is_hashed_by_its_declaration(recipe: MakeRecipe) -> None:
    streamed = recipe("data.type=test-streamed")
    data = data_of(streamed)
    first = data_digest(streamed, data.train)
    assert data_digest(recipe("data.type=test-streamed", "latent.dim=9"), data.train) == first
    assert data.held_out is not None
    assert data_digest(streamed, data.held_out) != first
    newer = replace(streamed.data, plugin=replace(streamed.data.plugin, version="1.1"))
    assert data_digest(replace(streamed, data=newer), data.train) != first
    assert data_digest(recipe(), data.train) != first


# The cache.


class Maker:
    """Makes a tensor, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
        self.calls += 1
        time.sleep(0.2)
        return {"values": torch.arange(5) * self.calls}, {"note": f"made {self.calls}"}


def test_what_is_kept_is_not_made_again(own_cache: Path) -> None:
    make = Maker()
    for _ in range(3):
        tensors, notes = cached("some", make)
        assert tensors["values"].tolist() == [0, 1, 2, 3, 4]
        assert notes == {"note": "made 1"}
    assert make.calls == 1
    assert (own_cache / "some.safetensors").exists()
    cached("other", make)
    assert make.calls == 2


def test_two_at_once_make_it_once(own_cache: Path) -> None:
    make = Maker()
    found: list[Kept] = []
    threads = [
        threading.Thread(target=lambda: found.append(cached("some", make))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make.calls == 1
    assert [notes for _, notes in found] == [{"note": "made 1"}] * 4


def test_two_processes_at_once_make_it_once(own_cache: Path) -> None:
    from ganzoo.comparison.launchers import in_own_process

    program = """
import time, torch
from ganzoo.evaluation.cache import cached
def make():
    with open("calls", "a") as file:
        file.write("x")
    time.sleep(1)
    return {"values": torch.zeros(1)}, {}
cached("some", make)
"""
    own_cache.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own_cache)
        threads = [
            threading.Thread(target=in_own_process, args=(exec, program, {})) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (own_cache / "calls").read_text() == "x"
    assert (own_cache / "some.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"whole, but for its end"])
def test_a_broken_file_is_made_anew(own_cache: Path, content: bytes) -> None:
    make = Maker()
    cached("some", make)
    file = own_cache / "some.safetensors"
    file.write_bytes(file.read_bytes()[:-7] if content.startswith(b"whole") else content)
    _, notes = cached("some", make)
    assert notes == {"note": "made 2"}
    assert cached("some", make)[1] == {"note": "made 2"}


def test_what_fails_leaves_nothing_behind(own_cache: Path) -> None:
    def fail() -> Kept:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        cached("some", fail)
    assert not (own_cache / "some.safetensors").exists()
    assert cached("some", Maker())[1] == {"note": "made 1"}


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "~/somewhere")
    assert cache_root() == Path.home() / "somewhere"
    monkeypatch.setenv("GANZOO_CACHE", "")
    assert cache_root().name == "evaluation"
