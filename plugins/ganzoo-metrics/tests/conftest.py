from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganzoo.api import BuildContext, MetricSpec

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


@pytest.fixture
def measure() -> Measure:
    """The values of a spec by name, of samples that come in chunks of 70.

    Labels of all three sides are 0 where a conditional metric is given none.
    """

    def values(
        spec: MetricSpec,
        real: Tensor,
        generated: Tensor,
        *,
        training: Tensor | None = None,
        held_out: bool = True,
        labels: Tensor | None = None,
        real_labels: Tensor | None = None,
        training_labels: Tensor | None = None,
    ) -> dict[str, float]:
        training = real if training is None else training
        if "condition" in spec.needs:
            labels, real_labels, training_labels = (
                torch.zeros(len(side), dtype=torch.int64) if classes is None else classes
                for side, classes in (
                    (generated, labels),
                    (real, real_labels),
                    (training, training_labels),
                )
            )
        context = BuildContext(
            sample_shape=tuple(real.shape[1:]),
            latent_dim=2,
            num_classes=real.shape[1],
            data=SimpleNamespace(
                held_out="something" if held_out else None,
                train=SimpleNamespace(labels=training_labels),
            ),
            features=SimpleNamespace(training=SimpleNamespace(features=training)),
        )
        metric = spec.build(context)
        for samples, classes, is_real in ((real, real_labels, True), (generated, labels, False)):
            for rows in torch.arange(len(samples)).split(70) if len(samples) else []:
                # Without labels as callers that know of none, with them as those that do.
                keywords = {} if classes is None else {"labels": classes[rows]}
                metric.update(samples[rows], real=is_real, **keywords)
        return dict(metric.compute())

    return values


@pytest.fixture
def draw() -> Draw:
    """Standard normal numbers of a shape; another seed gives others."""

    def normal(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    return normal
