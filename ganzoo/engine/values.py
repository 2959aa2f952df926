"""Numbers of a recipe that change over the run, as tensors on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo.ramps import Ramp, Ramps, value_at
from ganzoo.specs import ComponentSpec


class MovingValues:
    """A 0-d tensor for each ramp, kept current by `advance`; pure functions of the iteration."""

    def __init__(self, iterations: int, device: torch.device) -> None:
        self._iterations, self._device = iterations, device
        self._ramps: dict[str, Ramp | Ramps] = {}
        self._tensors: dict[str, Tensor] = {}

    def tensor(self, place: str, ramp: Ramp | Ramps) -> Tensor:
        """The 0-d float32 tensor of the ramp at a place of the recipe, always the same one."""
        if place not in self._tensors:
            self._ramps[place] = ramp
            start = value_at(ramp, 0, self._iterations)
            self._tensors[place] = torch.tensor(start, device=self._device)
        return self._tensors[place]

    def of(self, place: str, spec: ComponentSpec) -> Callable[[Ramp | Ramps], Tensor]:
        """What a component calls for the ramps among its keys; see `BuildContext.value`."""

        def moving(ramp: Ramp | Ramps) -> Tensor:
            names = [name for name in type(spec).model_fields if getattr(spec, name) is ramp]
            return self.tensor(f"{place}.{names[0] if names else 'value'}", ramp)

        return moving

    def number(self, place: str, value: float | Ramp | Ramps, iteration: int) -> float:
        """A number for the host in an iteration; a ramp is shown in the logs."""
        if isinstance(value, Ramp | Ramps):
            self._ramps[place] = value
        return value_at(value, iteration, self._iterations)

    def advance(self, iteration: int) -> None:
        """Make all tensors current for an iteration, counted from 0."""
        for place, tensor in self._tensors.items():
            tensor.fill_(value_at(self._ramps[place], iteration, self._iterations))

    def current(self, iteration: int, iterations: int | None = None) -> dict[str, float]:
        """Every ramp's value in an iteration, by its place, such as `optimizer.generator.lr`; in a
        run of another length, if `iterations` is given."""
        return {
            place: value_at(ramp, iteration, iterations or self._iterations)
            for place, ramp in self._ramps.items()
        }
