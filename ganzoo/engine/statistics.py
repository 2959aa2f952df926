"""Running means that gather on the device and are read once in a while."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.ranks import Ranks


class Statistics:
    """Means of named 0-d tensors since the last reading."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Take in one value; the host does not wait for it."""
        if name not in self._sums:
            self._sums[name] = torch.zeros((), device=self._device)
            self._counts[name] = 0
        self._sums[name].add_(value.detach())
        self._counts[name] += 1

    def read(self, ranks: Ranks) -> dict[str, float]:
        """The means by name, over all ranks; start anew."""
        names = [name for name, count in self._counts.items() if count]
        if not names:
            return {}
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        ranks.average([means])
        values = means.tolist()  # host sync: the one of the logging interval
        for name in names:
            self._sums[name].zero_()
            self._counts[name] = 0
        return dict(zip(names, values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What has gathered since the last reading."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._sums = {name: value.to(self._device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
