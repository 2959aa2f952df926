"""Which features distances are taken in, and that their name says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from ganzoo.errors import UserError
from ganzoo.evaluation.extractors import (
    CHUNK,
    INCEPTION_FILE,
    Classifier,
    Extractor,
    Identity,
    Inception,
    RandomNetwork,
    choose_kind,
    inception_is_at_hand,
    make_extractor,
)

AT_HAND = "ganzoo.evaluation.extractors.inception_is_at_hand"


def draws(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


# The choice.


@pytest.mark.parametrize("at_hand", [False, True])
@pytest.mark.parametrize(
    ("sample_shape", "num_classes", "with_inception", "without"),
    [
        ((2,), None, "identity", "identity"),
        ((1,), 3, "identity", "identity"),
        ((1, 8, 8), 10, "classifier", "classifier"),
        ((3, 64, 64), 2, "classifier", "classifier"),
        ((3, 64, 65), 2, "inception", "random"),
        ((3, 65, 64), 2, "inception", "random"),
        ((3, 32, 32), None, "inception", "random"),
        ((1, 8, 8), None, "inception", "random"),
        ((2, 8, 8), None, "random", "random"),
    ],
)
def test_auto(
    monkeypatch: pytest.MonkeyPatch,
    sample_shape: tuple[int, ...],
    num_classes: int | None,
    with_inception: str,
    without: str,
    at_hand: bool,
) -> None:
    monkeypatch.setattr(AT_HAND, lambda weights: at_hand)
    expected = with_inception if at_hand else without
    assert choose_kind("auto", sample_shape, num_classes, "") == expected


def test_what_is_asked_for_is_taken() -> None:
    for kind in ("classifier", "inception", "random", "identity"):
        assert choose_kind(kind, (1, 8, 8), 10, "") == kind
    assert choose_kind("identity", (2,), None, "") == "identity"


def refusal(features: str, sample_shape: tuple[int, ...], num_classes: int | None) -> UserError:
    with pytest.raises(UserError) as caught:
        choose_kind(features, sample_shape, num_classes, "")
    return caught.value


def test_a_classifier_needs_labels() -> None:
    error = refusal("classifier", (3, 32, 32), None)
    assert error.message == (
        "evaluate.features = classifier, but the data set has no labels to train one on"
    )
    assert error.hint == "evaluate.features=inception or random"


@pytest.mark.parametrize("features", ["classifier", "inception", "random"])
def test_networks_are_for_images(features: str) -> None:
    error = refusal(features, (2,), 3)
    assert error.message == f"evaluate.features = {features} is for images"
    assert error.hint == "evaluate.features=identity"


def test_inception_is_for_grey_and_colour() -> None:
    error = refusal("inception", (2, 32, 32), None)
    assert error.message == "Inception looks at grey or coloured images, not at 2 channels"
    assert error.hint == "evaluate.features=random"


def test_inception_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "mine.pth"
    assert not inception_is_at_hand("")
    assert not inception_is_at_hand(str(file))
    file.touch()
    assert inception_is_at_hand(str(file))
    assert not inception_is_at_hand("")
    downloaded = tmp_path / "hub" / "checkpoints" / INCEPTION_FILE
    downloaded.parent.mkdir(parents=True)
    downloaded.touch()
    assert inception_is_at_hand("")
    assert not inception_is_at_hand(str(tmp_path / "nothing.pth"))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert not inception_is_at_hand(str(file))


# The name.


def test_the_name_carries_a_hash_of_the_weights() -> None:
    network = nn.Linear(3, 2)
    first = Extractor("random", network, "")
    assert first.name == f"random@{first.digest[:4]}"
    assert len(first.digest) == 64
    other = nn.Linear(3, 2)
    other.load_state_dict(network.state_dict())
    assert Extractor("random", other, "").digest == first.digest
    with torch.no_grad():
        other.bias[1] += 1e-6
    assert Extractor("random", other, "").digest != first.digest


def test_without_weights_there_is_no_hash() -> None:
    extractor = make_extractor("identity", (2,), "", no_classifier)
    assert (extractor.name, extractor.digest) == ("identity", "")


def no_classifier() -> tuple[nn.Module, str]:
    raise AssertionError("nobody asked for a classifier")


# The networks.


def test_points_are_their_own_features() -> None:
    x = draws(7, 2)
    seen = make_extractor("identity", (2,), "", no_classifier)(x)
    assert torch.equal(seen.features, x)
    assert seen.probabilities is None
    assert Identity()(draws(5, 1, 8, 8))[0].shape == (5, 64)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 48), (1, 7, 7)])
def test_a_classifier_of_any_small_image(shape: tuple[int, int, int]) -> None:
    network = Classifier(shape, 5)
    features, logits = network(draws(4, *shape))
    assert (features.shape, logits.shape) == ((4, 128), (4, 5))
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert min(shape[1:]) >> len(convolutions) <= 7


def test_the_classifier_is_the_one_that_is_handed_in() -> None:
    network = Classifier((1, 8, 8), 3)
    extractor = make_extractor("classifier", (1, 8, 8), "", lambda: (network, "right on all"))
    assert (extractor.network, extractor.note) == (network, "right on all")
    assert extractor.name.startswith("classifier@")
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_random_network_is_always_the_same(channels: int) -> None:
    torch.manual_seed(1)
    first = make_extractor("random", (channels, 16, 16), "", no_classifier)
    torch.manual_seed(2)
    again = make_extractor("random", (channels, 16, 16), "", no_classifier)
    assert again.digest == first.digest
    seen = first(draws(6, channels, 16, 16))
    assert seen.features.shape == (6, 480)
    assert seen.features.isfinite().all()
    assert seen.probabilities is None


def test_random_features_of_an_image_of_one_colour_vary_in_no_place() -> None:
    """Away from the border: means of maps say what there is, deviations how it is spread."""
    network = RandomNetwork(1)
    flat, noisy = torch.zeros(1, 1, 16, 16), draws(1, 1, 16, 16)
    assert network(flat)[0].abs().max() == 0
    # Means and deviations of the first layer's sixteen maps.
    assert (network(noisy)[0][:, 16:32] > 0).all()


def test_the_size_of_a_chunk_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    extractor = Extractor("classifier", Classifier((1, 8, 8), 3).eval(), "")
    x = draws(CHUNK + 3, 1, 8, 8)
    whole = extractor(x)
    monkeypatch.setattr("ganzoo.evaluation.extractors.CHUNK", 100)
    parts = extractor(x)
    torch.testing.assert_close(parts.features, whole.features)
    assert whole.probabilities is not None
    assert parts.probabilities is not None
    torch.testing.assert_close(parts.probabilities, whole.probabilities)
    torch.testing.assert_close(whole.probabilities.sum(1), torch.ones(len(x)))
    logits = extractor.network(x)[1]
    torch.testing.assert_close(whole.probabilities, logits.softmax(1))
    assert not whole.features.requires_grad
    assert whole.features.dtype == torch.float32


# Inception.


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights for torch-fidelity's network."""
    module: Any = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    kind = module.FeatureExtractorInceptionV3
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch:
        # The network loads weights wherever it is made.
        patch.setattr(module, "load_state_dict_from_url", lambda *arguments, **options: {})
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = kind("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), file)
    return file


def test_inception_sees_bytes_in_three_channels(inception_weights: Path) -> None:
    extractor = make_extractor("inception", (1, 8, 8), str(inception_weights), no_classifier)
    grey = draws(2, 1, 8, 8)
    seen = extractor(grey)
    assert seen.features.shape == (2, 2048)
    assert seen.probabilities is not None
    assert seen.probabilities.shape == (2, 1008)
    assert extractor.name == f"inception@{extractor.digest[:4]}"
    assert extractor.note == "Inception-v3 as torch-fidelity has it"
    # The same image in three channels; what lies outside [-1, 1] and between bytes is rounded.
    colour = grey.expand(-1, 3, -1, -1)
    bytes_ = (colour + 1).mul(127.5).round()
    assert torch.equal(extractor(colour).features, seen.features)
    assert torch.equal(extractor(bytes_ / 127.5 - 1).features, seen.features)


def test_the_file_of_inceptions_weights_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(UserError) as caught:
        Inception(str(tmp_path / "nothing.pth"))
    assert caught.value.message == (
        f"evaluate.inception_weights: there is no file {tmp_path / 'nothing.pth'}"
    )


def test_a_file_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    for content in (b"", b"not weights", b"\x80\x02}q\x00."):  # the last is an empty dictionary
        file = tmp_path / "mine.pth"
        file.write_bytes(content)
        with pytest.raises(UserError) as caught:
            Inception(str(file))
        assert caught.value.message.startswith(
            f"evaluate.inception_weights: {file} holds no weights of it: "
        )
        assert caught.value.hint == f"it should be torch-fidelity's {INCEPTION_FILE}"


def test_no_way_to_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    def fail(*arguments: Any, **options: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(module, "load_state_dict_from_url", fail)
    with pytest.raises(UserError) as caught:
        Inception()
    assert caught.value.message == (
        "the weights of Inception-v3 cannot be downloaded: <urlopen error no network>"
    )
    assert caught.value.hint == f"name a copy of {INCEPTION_FILE} in evaluate.inception_weights"


def test_torch_fidelity_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError) as caught:
        Inception()
    assert caught.value.message == "Inception features need torch-fidelity"
    assert caught.value.hint == (
        '`pip install "ganzoo-core[inception]"`, or evaluate.features=random'
    )
