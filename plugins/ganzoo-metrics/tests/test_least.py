"""How many samples each metric says it needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ganzoo_metrics import ganzoo_metrics

from ganzoo.api import MetricSpec, UserError


@pytest.mark.parametrize("declared", ganzoo_metrics(), ids=lambda each: each.type)
def test_a_metric_needs_as_many_samples_as_it_says(declared: type[MetricSpec]) -> None:
    spec = declared()
    features = SimpleNamespace(training=SimpleNamespace(features=torch.randn(50, 3)))
    data = SimpleNamespace(held_out=None, train=torch.rand(50, 1, 4, 4))
    context: Any = SimpleNamespace(
        data=data, features=features, num_classes=2, sample_shape=(1, 4, 4)
    )

    def measured(count: int) -> Any:
        metric = spec.build(context)
        for real in (True, False):
            shape = (count, 1, 4, 4) if spec.reads == "samples" else (count, 3)
            values = torch.rand(shape)
            if spec.reads == "probabilities":
                values = values / values.sum(1, keepdim=True)
            metric.update(values, real=real, labels=torch.zeros(count, dtype=torch.int64))
        return metric.compute()

    assert measured(spec.least_samples) is not None
    if spec.least_samples > 1:
        with pytest.raises(UserError, match=f"needs at least {spec.least_samples} real samples"):
            measured(spec.least_samples - 1)
