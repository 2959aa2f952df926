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
    """The figures of a spec by name, of samples that come in chunks of 70."""

    def figures(
        spec: MetricSpec,
        real: Tensor,
        generated: Tensor,
        *,
        training: Tensor | None = None,
        held_out: bool = True,
    ) -> dict[str, float]:
        context = BuildContext(
            sample_shape=tuple(real.shape[1:]),
            latent_dim=2,
            data=SimpleNamespace(held_out="something" if held_out else None),
            features=SimpleNamespace(
                training=SimpleNamespace(features=real if training is None else training)
            ),
        )
        metric = spec.build(context)
        for samples, is_real in ((real, True), (generated, False)):
            for part in samples.split(70) if len(samples) else []:
                metric.update(part, real=is_real)
        return dict(metric.compute())

    return figures


@pytest.fixture
def draw() -> Draw:
    """Standard normal numbers of a shape; another seed gives others."""

    def normal(*shape: int, seed: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    return normal
