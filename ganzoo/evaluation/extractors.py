"""The networks in whose features distances are taken.

A distance between samples says as much as the features it is taken in, so every figure names
them: `fid[classifier@3f2a]` is taken in a classifier whose weights hash to 3f2a.

    identity    points as they are
    classifier  a small convolutional classifier, trained here on the data set's own labels
    inception   torch-fidelity's Inception-v3 (the network of the published FIDs)
    random      a fixed random convolutional network: weak, but there for all images
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganzoo.engine.data import to_bytes
from ganzoo.engine.random import generator_for
from ganzoo.errors import UserError

CHUNK = 500
"""Samples that go through an extractor at once."""

LARGEST_CLASSIFIED_SIDE = 64
"""Labelled images with longer sides are not for the small classifier."""

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"


class Seen(NamedTuple):
    """What an extractor sees in N samples, float32 on the CPU."""

    features: Tensor
    """`(N, F)`."""
    probabilities: Tensor | None
    """Of its classes, `(N, K)`, or None where it has none."""


@dataclass(frozen=True)
class Extractor:
    """A network that turns samples into features."""

    kind: str
    network: nn.Module
    """x `(N, *sample_shape)`, images in [-1, 1], to features `(N, F)` and, where the network
    has classes, logits `(N, K)`, else None."""
    note: str
    """What a reader of its figures has to know."""

    @cached_property
    def digest(self) -> str:
        """Hash of the weights, hexadecimal; empty where there are none."""
        state = self.network.state_dict()
        if not state:
            return ""
        digest = hashlib.sha256()
        for key in sorted(state):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """As figures are named: the kind, and the first four digits of the hash."""
        return f"{self.kind}@{self.digest[:4]}" if self.digest else self.kind

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Seen:
        """Features and probabilities of samples `(N, *sample_shape)`, on the extractor's device."""
        device = next((weight.device for weight in self.network.parameters()), x.device)
        features, logits = [], []
        for part in x.split(CHUNK):
            seen, scores = self.network(part.to(device))
            features.append(seen.float().cpu())
            if scores is not None:
                logits.append(scores.float().cpu())
        probabilities = torch.cat(logits).softmax(1) if logits else None
        return Seen(torch.cat(features), probabilities)


class Identity(nn.Module):
    """Points `(N, D)` as they are."""

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x.flatten(1), None


class Classifier(nn.Module):
    """Images `(N, C, H, W)` to 128 features and logits `(N, K)`.

    Pairs of 3x3 convolution and halving, until the side is 7 or less, then two linear layers.
    """

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        channels, height, width = sample_shape
        halvings = max(1, math.ceil(math.log2(min(height, width) / 7)))
        widths = [channels, *(16 * 2**stage for stage in range(halvings))]
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(widths):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        left = widths[-1] * (height >> halvings) * (width >> halvings)
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(left, 128), nn.ReLU())
        self.head = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.head(features)


class RandomNetwork(nn.Module):
    """Images `(N, C, H, W)` to the means and standard deviations of 240 fixed random maps.

    Weights are drawn once and for all, whatever the seed of the run (He et al. 2015).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        stream = generator_for(0, "random features")
        self.layers = nn.ModuleList()
        for channels_in, channels_out in pairwise([channels, 16, 32, 64, 128]):
            layer = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / (9 * channels_in)), generator=stream)
            self.layers.append(layer)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        features = []
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2)
            features += [x.mean((2, 3)), x.flatten(2).std(2, correction=0)]
        return torch.cat(features, dim=1), None


class Inception(nn.Module):
    """torch-fidelity's Inception-v3: images to 2,048 features and 1,008 unbiased logits.

    Images in [-1, 1] become uint8 and, if grey, three equal channels; the network resizes them
    to 299x299 itself. Raises `UserError` where torch-fidelity or its weights are missing.
    """

    def __init__(self, weights: str = "") -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise UserError(
                "Inception features need torch-fidelity",
                hint='`pip install "ganzoo-core[inception]"`, or evaluate.features=random',
            ) from error
        if weights and not Path(weights).is_file():
            raise UserError(f"evaluate.inception_weights: there is no file {weights}")
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=weights or None,
            )
        except Exception as error:  # a file that is no weights can raise anything
            reason = str(error).partition("\n")[0]
            if weights:
                raise UserError(
                    f"evaluate.inception_weights: {weights} holds no weights of it: {reason}",
                    hint=f"it should be torch-fidelity's {INCEPTION_FILE}",
                ) from error
            raise UserError(
                f"the weights of Inception-v3 cannot be downloaded: {reason}",
                hint=f"name a copy of {INCEPTION_FILE} in evaluate.inception_weights",
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pixels = to_bytes(x)
        features, logits = self.network(pixels.expand(-1, 3, -1, -1) if x.shape[1] == 1 else pixels)
        return features, logits


def inception_is_at_hand(weights: str) -> bool:
    """Whether Inception-v3 can be used without downloading anything."""
    from importlib.util import find_spec

    if find_spec("torch_fidelity") is None:
        return False
    downloaded = os.path.join(torch.hub.get_dir(), "checkpoints", INCEPTION_FILE)
    return os.path.isfile(weights or downloaded)


def choose_kind(
    features: str, sample_shape: tuple[int, ...], num_classes: int | None, weights: str
) -> str:
    """The kind that `evaluate.features` means for a data set; see `ganzoo components`.

    Raises `UserError` where the data set cannot have the features that were asked for.
    """
    images = len(sample_shape) == 3
    if features == "auto":
        if not images:
            return "identity"
        if num_classes is not None and max(sample_shape[1:]) <= LARGEST_CLASSIFIED_SIDE:
            return "classifier"
        # Without labels the classes of the data say nothing; Inception looks at three channels.
        fits = sample_shape[0] in (1, 3) and inception_is_at_hand(weights)
        return "inception" if fits else "random"
    if features == "classifier" and num_classes is None:
        raise UserError(
            "evaluate.features = classifier, but the data set has no labels to train one on",
            hint="evaluate.features=inception or random",
        )
    if features != "identity" and not images:
        raise UserError(
            f"evaluate.features = {features} is for images", hint="evaluate.features=identity"
        )
    if features == "inception" and sample_shape[0] not in (1, 3):
        raise UserError(
            f"Inception looks at grey or coloured images, not at {sample_shape[0]} channels",
            hint="evaluate.features=random",
        )
    return features


def make_extractor(
    kind: str,
    sample_shape: tuple[int, ...],
    weights: str,
    classifier: Callable[[], tuple[nn.Module, str]],
) -> Extractor:
    """The extractor of a kind; `classifier` trains or finds one, and says how good it is."""
    if kind == "classifier":
        network, note = classifier()
    elif kind == "inception":
        network, note = Inception(weights), "Inception-v3 as torch-fidelity has it"
    elif kind == "random":
        network = RandomNetwork(sample_shape[0])
        note = "a fixed random network: weak features, good enough to see gross faults"
    else:
        network, note = Identity(), "the points themselves"
    return Extractor(kind, network.eval().requires_grad_(False), note)
