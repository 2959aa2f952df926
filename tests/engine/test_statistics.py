"""Means on the device."""

from __future__ import annotations

import torch

from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.statistics import Statistics

CPU = torch.device("cpu")


def test_means_since_the_last_reading() -> None:
    statistics = Statistics(CPU)
    for value in (1.0, 2.0, 6.0):
        statistics.add({"a": torch.tensor(value, requires_grad=True)})
    statistics.add({"b": torch.tensor(5.0)})
    assert statistics.read(ProcessGroup()) == {"a": 3.0, "b": 5.0}
    statistics.add({"a": torch.tensor(4.0)})
    assert statistics.read(ProcessGroup()) == {"a": 4.0}
    assert statistics.read(ProcessGroup()) == {}


def test_what_was_added_survives_a_checkpoint() -> None:
    statistics, resumed = Statistics(CPU), Statistics(CPU)
    statistics.add({"a": torch.tensor(1.0)})
    resumed.load_state_dict(statistics.state_dict())
    resumed.add({"a": torch.tensor(3.0)})
    assert resumed.read(ProcessGroup()) == {"a": 2.0}
