"""In an iteration the host only says which groups run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import one_hot

from ganzoo.engine.training import run_iteration
from ganzoo.testing.modes import Waits, no_waiting

from .conftest import MakeSession


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_no_iteration_waits_for_the_device(session: MakeSession, schedule: str) -> None:
    tiny = session(f"schedule.type={schedule}", "ema.decay=0.9", "optimizer.lr={from=1e-3,to=0}")
    with no_waiting():
        run_iteration(tiny)
    with pytest.raises(Waits, match="a number is read"), no_waiting():
        torch.ones(()).item()


X = torch.eye(3)
COUNTS = torch.ones(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (lambda: bool(X.sum() > 0), "a number is read (`.item()`, `float()`, `if` on a tensor)"),
        (lambda: torch.equal(X, X), "tensors are compared (`torch.equal`)"),
        (lambda: torch.where(X > 0), "places are counted (`nonzero`, `where` with one argument)"),
        (lambda: torch.linalg.inv(X), "a factorisation is checked (take its `_ex` form)"),
        (lambda: torch.bincount(COUNTS), "values are counted (`bincount`)"),
        (lambda: X.masked_select(X > 0), "values are counted (`masked_select`)"),
        (lambda: X.repeat_interleave(COUNTS, 0), "values are counted (`repeat_interleave`)"),
        (lambda: X.index_put((X > 0,), X[0, 0], accumulate=True), "values are counted (`x[mask]`;"),
        (lambda: one_hot(COUNTS), "classes are counted (`one_hot` without `num_classes`)"),
        (lambda: X.cpu(), "values are copied to the host (`.cpu()`)"),
    ],
)
def test_what_the_host_waits_for(operation: Callable[[], object], what: str) -> None:
    with pytest.raises(Waits, match=re.escape(what)), no_waiting():
        operation()


def test_what_knows_how_many_values_come_does_not_wait() -> None:
    with no_waiting():
        assert X.repeat_interleave(COUNTS, 0, output_size=3).shape == (3, 3)
        assert X[COUNTS].shape == (3, 3)
        assert X.index_put((X > 0,), X[0, 1]).shape == (3, 3)
        assert one_hot(COUNTS, 4).shape == (3, 4)
        torch.linalg.inv_ex(X)
