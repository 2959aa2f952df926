"""The feature extractors of the core. N samples `(N, *sample_shape)`, images in [-1, 1]."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ganzoo.builtin.extractors import INCEPTION_FILE
from ganzoo.data import to_bytes
from ganzoo.engine.random import generator_for
from ganzoo.errors import UserError


class Identity(nn.Module):
    """Points `(N, D)` as they are."""

    note = "the points themselves"

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x.flatten(1), None


class RandomNetwork(nn.Module):
    """Images `(N, C, H, W)` to the means and standard deviations of 240 fixed random maps.

    Weights are drawn once and for all, whatever the seed of the run (He et al. 2015).
    """

    note = "a fixed random network: weak features, enough to see gross faults"

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

    note = "Inception-v3 as torch-fidelity has it"

    def __init__(self, weights: str = "") -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise UserError(
                "Inception features need torch-fidelity",
                hint='`pip install "ganzoo-core[inception]"`, or extractor.type=random',
            ) from error
        if weights and not Path(weights).is_file():
            raise UserError(f"extractor.weights: there is no file {weights}")
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
                    f"extractor.weights: {weights} holds no weights of it: {reason}",
                    hint=f"it should be torch-fidelity's {INCEPTION_FILE}",
                ) from error
            raise UserError(
                f"the weights of Inception-v3 cannot be downloaded: {reason}",
                hint=f"name a copy of {INCEPTION_FILE} in extractor.weights",
            ) from error

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pixels = to_bytes(x)
        features, logits = self.network(pixels.expand(-1, 3, -1, -1) if x.shape[1] == 1 else pixels)
        return features, logits
