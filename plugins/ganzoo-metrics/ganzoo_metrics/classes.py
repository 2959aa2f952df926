"""Figures of the extractor's class probabilities."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .as_given import inception_score
from .collected import Collected

RARER = 10
"""A class is held if it is generated at most so many times more rarely than it is real."""


class InceptionScore(Collected):
    """`score` of generated samples, and that of `real` ones."""

    figures: ClassVar[frozenset[str]] = frozenset({"score"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`score` and `real`, each in [1, K]."""
        return {"score": inception_score(generated), "real": inception_score(real)}


class Classes(Collected):
    """`held`, the number of classes still generated, and `kl`, how far their shares are off."""

    figures: ClassVar[frozenset[str]] = frozenset({"held", "kl"})

    def measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """`held`, at most K, and `kl` in nats, from 0 to log(N + 1) with N real samples."""
        classes = real.shape[1]
        real_counts, counts = (
            rows.argmax(dim=1).bincount(minlength=classes) for rows in (real, generated)
        )
        # Whole numbers, so that exactly a tenth is enough.
        often_enough = RARER * counts * len(real) >= real_counts * len(generated)
        held = (real_counts > 0) & often_enough
        # As if there were one real sample more, spread as the generated ones are: every class
        # of theirs then has a real share above 0, and equal shares stay equal.
        found = counts.double() / len(generated)
        softened = (real_counts + found) / (len(real) + 1)
        met = found > 0
        kl = (found[met] * torch.log(found[met] / softened[met])).sum()
        return {"held": float(held.sum()), "kl": max(0.0, float(kl))}
