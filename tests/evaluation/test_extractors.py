"""Which extractor is chosen, what it computes, and that the names of values name it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from ganzoo.builtin.extractors import (
    INCEPTION_FILE,
    ClassifierExtractor,
    IdentityExtractor,
    InceptionExtractor,
    RandomExtractor,
    inception_is_available,
)
from ganzoo.builtin.features import Identity, Inception, RandomNetwork
from ganzoo.data import Data, Samples
from ganzoo.errors import UserError
from ganzoo.evaluation.classifier import Classifier
from ganzoo.evaluation.extractors import CHUNK, Extractor, build_extractor, chosen_extractor
from ganzoo.plugins import Plugin
from ganzoo.recipe import Component, Recipe
from ganzoo.registry import Registry
from ganzoo.specs import BuildContext, ExtractorSpec

from .conftest import TINY

AVAILABLE = "ganzoo.builtin.extractors.inception_is_available"
CORE = Plugin("ganzoo-core:extractors", "ganzoo-core", "1.0", ())
EXTRACTORS = (ClassifierExtractor, IdentityExtractor, InceptionExtractor, RandomExtractor)
UNNAMED = TINY.replace('extractor = { type = "random" }\n', "")


def draws(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def built(
    spec: ExtractorSpec, sample_shape: tuple[int, ...], num_classes: int | None = None
) -> Extractor:
    """The extractor for data of a shape."""
    samples = Samples(draws(2, *sample_shape), torch.tensor([0, 1]))
    context = BuildContext(
        sample_shape, 4, num_classes=num_classes, data=Data(samples), device=torch.device("cpu")
    )
    return build_extractor(Component(spec.type, spec, CORE), context)


# The choice.


@pytest.mark.parametrize("available", [False, True])
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
def test_the_extractor_that_prefers_the_data_most(
    monkeypatch: pytest.MonkeyPatch,
    sample_shape: tuple[int, ...],
    num_classes: int | None,
    with_inception: str,
    without: str,
    available: bool,
) -> None:
    monkeypatch.setattr(AVAILABLE, lambda: available)
    preferences = {spec.type: spec.preference(sample_shape, num_classes) for spec in EXTRACTORS}
    expected = with_inception if available else without
    best = max(preferences.values())
    assert [name for name, value in preferences.items() if value == best] == [expected]


class Mine(ExtractorSpec):
    """Means of images, and preferred for all data if it says so."""

    type: ClassVar[str] = "mine"
    liking: ClassVar[float] = 0.0

    @classmethod
    def preference(cls, sample_shape: tuple[int, ...], num_classes: int | None) -> float:
        return cls.liking

    def build(self, context: BuildContext) -> nn.Module:
        raise AssertionError


@pytest.fixture
def choose(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Component[ExtractorSpec]]:
    """`choose(text=...)`: the extractor of a recipe, among `Mine` and those of the core."""

    def choose(*overrides: str, text: str = UNNAMED) -> Component[ExtractorSpec]:
        specs = (*EXTRACTORS, Mine)
        plugin = replace(CORE, components=tuple((spec.kind, spec) for spec in specs))
        registry = Registry([plugin])
        loaded = recipe(*overrides, text=text)
        monkeypatch.setattr("ganzoo.evaluation.extractors.installed", lambda: registry)
        return chosen_extractor(loaded)

    return choose


def test_the_recipes_extractor_is_taken(choose: Callable[..., Component[ExtractorSpec]]) -> None:
    assert choose(text=TINY).spec == RandomExtractor()
    assert choose('extractor={type="identity"}').spec == IdentityExtractor()


def test_another_plugins_extractor_may_suit_the_data_best(
    choose: Callable[..., Component[ExtractorSpec]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose().spec == ClassifierExtractor()
    monkeypatch.setattr(Mine, "liking", 99.0)
    assert (choose().name, choose().spec) == ("ganzoo-core:mine", Mine())


def test_no_extractor_suits_the_data(
    choose: Callable[..., Component[ExtractorSpec]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in EXTRACTORS:
        monkeypatch.setattr(spec, "preference", lambda *arguments: 0.0)
    with pytest.raises(UserError) as caught:
        choose()
    assert caught.value.message == "no feature extractor suits dataset 'digits'"
    assert caught.value.hint == "name one in a table [extractor]"


def refusal(
    spec: ExtractorSpec, sample_shape: tuple[int, ...], num_classes: int | None
) -> UserError:
    with pytest.raises(UserError) as caught:
        built(spec, sample_shape, num_classes)
    return caught.value


def test_a_classifier_needs_labels() -> None:
    error = refusal(ClassifierExtractor(), (3, 32, 32), None)
    assert error.message == (
        "extractor 'classifier' is trained on labels, but the data set has none"
    )
    assert error.hint == "extractor.type=inception or random"


@pytest.mark.parametrize("spec", [ClassifierExtractor(), InceptionExtractor(), RandomExtractor()])
def test_networks_are_for_images(spec: ExtractorSpec) -> None:
    error = refusal(spec, (2,), 3)
    assert error.message == f"extractor '{spec.type}' reads images, but the data are points"
    assert error.hint == "extractor.type=identity"


def test_inception_is_for_grey_and_colour() -> None:
    error = refusal(InceptionExtractor(), (2, 32, 32), None)
    assert error.message == "Inception-v3 reads grey or coloured images, not 2 channels"
    assert error.hint == "extractor.type=random"


def test_where_inception_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert not inception_is_available()
    downloaded = tmp_path / "hub" / "checkpoints" / INCEPTION_FILE
    downloaded.parent.mkdir(parents=True)
    downloaded.touch()
    assert inception_is_available()
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    assert not inception_is_available()


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
    extractor = built(IdentityExtractor(), (2,))
    assert (extractor.name, extractor.digest) == ("identity", "")


# The networks.


def test_points_are_their_own_features() -> None:
    x = draws(7, 2)
    extraction = built(IdentityExtractor(), (2,))(x)
    assert torch.equal(extraction.features, x)
    assert extraction.probabilities is None
    assert Identity()(draws(5, 1, 8, 8))[0].shape == (5, 64)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 48), (1, 7, 7)])
def test_a_classifier_of_any_small_image(shape: tuple[int, int, int]) -> None:
    network = Classifier(shape, 5)
    features, logits = network(draws(4, *shape))
    assert (features.shape, logits.shape) == ((4, 128), (4, 5))
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert min(shape[1:]) >> len(convolutions) <= 7


def test_an_extractor_is_frozen_and_in_evaluation_mode() -> None:
    extractor = built(RandomExtractor(), (1, 8, 8))
    assert extractor.name.startswith("random@")
    assert extractor.note == RandomNetwork.note
    assert not any(part.training for part in extractor.network.modules())
    assert not any(weight.requires_grad for weight in extractor.network.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_random_network_is_always_the_same(channels: int) -> None:
    torch.manual_seed(1)
    first = built(RandomExtractor(), (channels, 16, 16))
    torch.manual_seed(2)
    again = built(RandomExtractor(), (channels, 16, 16))
    assert again.digest == first.digest
    extraction = first(draws(6, channels, 16, 16))
    assert extraction.features.shape == (6, 480)
    assert extraction.features.isfinite().all()
    assert extraction.probabilities is None


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


def test_inception_reads_bytes_in_three_channels(inception_weights: Path) -> None:
    extractor = built(InceptionExtractor(weights=str(inception_weights)), (1, 8, 8))
    grey = draws(2, 1, 8, 8)
    extraction = extractor(grey)
    assert extraction.features.shape == (2, 2048)
    assert extraction.probabilities is not None
    assert extraction.probabilities.shape == (2, 1008)
    assert extractor.name == f"inception@{extractor.digest[:4]}"
    assert extractor.note == "Inception-v3 as torch-fidelity has it"
    # The same image in three channels; what lies outside [-1, 1] and between bytes is rounded.
    colour = grey.expand(-1, 3, -1, -1)
    bytes_ = (colour + 1).mul(127.5).round()
    assert torch.equal(extractor(colour).features, extraction.features)
    assert torch.equal(extractor(bytes_ / 127.5 - 1).features, extraction.features)


def test_the_file_of_inceptions_weights_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    with pytest.raises(UserError) as caught:
        Inception(str(tmp_path / "nothing.pth"))
    assert caught.value.message == (
        f"extractor.weights: there is no file {tmp_path / 'nothing.pth'}"
    )


def test_a_file_of_something_else(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    for content in (b"", b"not weights", b"\x80\x02}q\x00."):  # the last is an empty dictionary
        file = tmp_path / "mine.pth"
        file.write_bytes(content)
        with pytest.raises(UserError) as caught:
            Inception(str(file))
        assert caught.value.message.startswith(
            f"extractor.weights: {file} holds no weights of it: "
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
    assert caught.value.hint == f"name a copy of {INCEPTION_FILE} in extractor.weights"


def test_torch_fidelity_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError) as caught:
        Inception()
    assert caught.value.message == "Inception features need torch-fidelity"
    assert caught.value.hint == ('`pip install "ganzoo-core[inception]"`, or extractor.type=random')
