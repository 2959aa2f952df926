"""The digits that come with scikit-learn."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ganzoo.engine import Data, Samples, generator_for


def load(*, held_out: int) -> Data:
    """All 1,797 digits, `held_out` of them held out.

    Values are uint8 `(M, 1, 8, 8)`, labels int64 `(M,)` in [0, 10).
    """
    source = load_digits()
    values = torch.from_numpy(source.images)[:, None].mul(255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(source.target).long()
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[stratified_choice(labels, held_out)] = True
    return Data(
        train=Samples(values[~chosen], labels[~chosen]),
        held_out=Samples(values[chosen], labels[chosen]) if held_out else None,
    )


def stratified_choice(labels: Tensor, number: int) -> Tensor:
    """Indices `(number,)` of a fixed random choice with the same share of every class.

    Every sample gets its rank in a random order of its class, divided by the size of the class;
    the samples with the smallest ratios are chosen.
    """
    order = torch.randperm(len(labels), generator=generator_for(0, "digits", "split"))
    share = torch.empty(len(labels))
    for label in range(int(labels.max()) + 1):
        members = order[labels[order] == label]
        share[members] = (torch.arange(len(members)) + 0.5) / len(members)
    return share.argsort(stable=True)[:number]
