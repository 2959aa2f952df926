"""Trains the small classifier in whose features labelled images are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganzoo.engine.data import Samples, Stream, to_unit
from ganzoo.engine.random import generator_for, seeded
from ganzoo.evaluation.extractors import CHUNK, Classifier

BATCH = 128
EPOCHS = 3
FEWEST_STEPS = 1000
"""Small data sets are seen more than `EPOCHS` times."""


def take(part: Samples | Stream, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Samples `(N, *sample_shape)`, images in [-1, 1], and their labels `(N,)`, -1 without any."""
    if isinstance(part, Samples):
        labels = part.labels[indices] if part.labels is not None else torch.full_like(indices, -1)
        return to_unit(part.values[indices]), labels
    rows = [part[index] for index in indices.tolist()]
    return to_unit(torch.stack([row[0] for row in rows])), torch.tensor([row[1] for row in rows])


def train_classifier(
    train: Samples | Stream,
    held_out: Samples | Stream | None,
    sample_shape: tuple[int, ...],
    num_classes: int,
    device: torch.device,
) -> tuple[Mapping[str, Tensor], float]:
    """Weights of a trained `Classifier` on the CPU, and its accuracy in [0, 1].

    Adam at 1e-3, falling to zero, for three epochs or a thousand batches of 128, whichever is
    more; always from the same seed. Accuracy is taken on held-out samples, on training samples
    where there are none.
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
    judged = train if held_out is None else held_out
    right = 0
    with torch.no_grad():
        for indices in torch.arange(len(judged)).split(CHUNK):
            x, labels = take(judged, indices)
            right += int((network(x.to(device))[1].argmax(1).cpu() == labels).sum())
    state = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    return state, right / len(judged)
