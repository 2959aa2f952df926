"""Running means, kept on the device and read once in a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.process_group import ProcessGroup


class Statistics:
    """Means of named 0-d tensors since the last reading."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take in one value of each name; the host does not wait for them."""
        for name in values:
            if name not in self._sums:
                self._sums[name] = torch.zeros((), device=self._device)
                self._counts[name] = 0
            self._counts[name] += 1
        torch._foreach_add_([self._sums[name] for name in values], list(values.values()))

    @property
    def sums(self) -> dict[str, Tensor]:
        """Sums by name, 0-d, of what was taken in since the last reading."""
        return {name: total for name, total in self._sums.items() if self._counts[name]}

    def read(self, group: ProcessGroup) -> dict[str, float]:
        """The means by name, over all processes; starts anew."""
        names = [name for name, count in self._counts.items() if count]
        if not names:
            return {}
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        group.average([means])
        values = means.tolist()  # host sync: the one of the logging interval
        for name in names:
            self._sums[name].zero_()
            self._counts[name] = 0
        return dict(zip(names, values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last reading."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._sums = {name: value.to(self._device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])


class Observation:
    """What a schedule that observes the run sees: means over every k iterations."""

    def __init__(self, every: int, device: torch.device) -> None:
        self.every = every
        self.statistics = Statistics(device)
        self.latest: dict[str, float] = {}
        """The means that were read last."""

    def advance(self, iteration: int, group: ProcessGroup) -> None:
        """Read the means if it is time, after an iteration counted from 0."""
        if self.every and (iteration + 1) % self.every == 0:
            self.latest = self.statistics.read(group)  # host sync: the schedule's wish

    def state_dict(self) -> dict[str, Any]:
        """The latest means, and what was added since."""
        return {"latest": self.latest, "statistics": self.statistics.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.latest = state["latest"]
        self.statistics.load_state_dict(state["statistics"])
