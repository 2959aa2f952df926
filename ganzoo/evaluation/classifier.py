"""The small classifier in whose features labelled images are compared, and its training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganzoo.data import Samples, Stream, digest_of, take
from ganzoo.engine.networks import misfit
from ganzoo.engine.random import generator_for, seeded
from ganzoo.evaluation.cache import cached
from ganzoo.specs import BuildContext

VERSION = 1
"""Increased when the network or its training changes, so that cached weights are not used."""
CHUNK = 500
"""Samples that go through the classifier at once."""
BATCH = 128
EPOCHS = 3
FEWEST_STEPS = 1000
"""Small data sets are trained on for more than `EPOCHS` epochs."""


class Classifier(nn.Module):
    """Images `(N, C, H, W)` to 128 features and logits `(N, K)`.

    3x3 convolutions, each followed by a max pooling that halves the side, until the side is 7 or
    less; then two linear layers.
    """

    note = ""

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


def cached_classifier(context: BuildContext) -> Classifier:
    """The classifier of the context's data set, from the cache or trained now.

    `context.data` and `context.num_classes` must be there.
    """
    data, shape, num_classes = context.data, context.sample_shape, context.num_classes
    assert num_classes is not None

    def compute() -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
        weights, accuracy = train_classifier(
            data.train, data.held_out, shape, num_classes, context.device or torch.device("cpu")
        )
        return weights, {"accuracy": repr(accuracy)}

    name = f"{digest_of(data.train)}-classifier-v{VERSION}"
    classifier = Classifier(shape, num_classes)
    weights, notes = cached(name, compute, lambda *kept: _misfit(classifier, *kept))
    classifier.load_state_dict(weights)
    samples = "training" if data.held_out is None else "held-out"
    accuracy = f"{float(notes['accuracy']):.2%} accurate on {samples} samples"
    classifier.note = f"a classifier trained on the labels of the data, {accuracy}"
    return classifier


def _misfit(classifier: Classifier, weights: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """Why cached weights and notes are none of a classifier, or nothing."""
    if not all(bool(each.isfinite().all()) for each in weights.values()):
        return "it holds numbers that are not finite"
    try:
        float(notes["accuracy"])
    except (KeyError, ValueError):
        return "it has no accuracy"
    return misfit(classifier, weights)


def train_classifier(
    train: Samples | Stream,
    held_out: Samples | Stream | None,
    sample_shape: tuple[int, ...],
    num_classes: int,
    device: torch.device,
) -> tuple[Mapping[str, Tensor], float]:
    """Weights of a trained `Classifier` on the CPU, and its accuracy in [0, 1].

    Adam, with a learning rate that decays linearly from 1e-3 to 0, for three epochs or a thousand
    batches of 128, whichever is more, always from the same seed. The accuracy is that on held-out
    samples, or on training samples where there are none.
    """
    order = generator_for(0, "classifier")
    steps = max(math.ceil(EPOCHS * len(train) / BATCH), FEWEST_STEPS)
    with seeded(0, "classifier", device=torch.device("cpu")):
        network = Classifier(sample_shape, num_classes).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(steps):
        indices = torch.randint(len(train), (BATCH,), generator=order)
        x, labels = take(train, indices)
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        loss = cross_entropy(network(x.to(device))[1], labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    part = train if held_out is None else held_out
    correct = 0
    with torch.no_grad():
        for indices in torch.arange(len(part)).split(CHUNK):
            x, labels = take(part, indices)
            correct += int((network(x.to(device))[1].argmax(1).cpu() == labels).sum())
    state = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    return state, correct / len(part)
