"""In an iteration the host only says which groups run."""

from __future__ import annotations

import pytest
import torch

from ganzoo.engine.training import run_iteration
from ganzoo.testing.host_sync import Waits, no_waiting

from .conftest import MakeSession


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_no_iteration_waits_for_the_device(session: MakeSession, schedule: str) -> None:
    tiny = session(f"schedule.type={schedule}", "ema.decay=0.9", "optimizer.lr={from=1e-3,to=0}")
    with no_waiting():
        run_iteration(tiny)
    with pytest.raises(Waits, match="a number is read"), no_waiting():
        torch.ones(()).item()
