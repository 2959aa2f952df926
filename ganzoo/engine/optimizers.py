"""The optimizers of a run, one for each module that is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganzoo.engine.values import MovingValues
from ganzoo.errors import UserError
from ganzoo.ramps import Ramp, Ramps
from ganzoo.recipe import settings

CLASSES: Mapping[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
FUSED = frozenset({"adam", "adamw", "sgd"})


class Optimizers:
    """torch's optimizers by the name of what they train, fused where torch has that.

    Raises `UserError` where something that is trained has no weights.
    """

    def __init__(
        self,
        options: Mapping[str, settings.Optimizer],
        modules: Mapping[str, nn.Module],
        values: MovingValues,
        device: torch.device,
    ) -> None:
        self._options, self._values = options, values
        self.weights = {name: _weights(name, modules[name]) for name in options}
        """Weights by name."""
        self._optimizers: dict[str, Optimizer] = {}
        self._moving = {name: keys for name, each in options.items() if (keys := _moving(each))}
        for name, chosen in options.items():
            fused = chosen.type in FUSED and device.type in ("cpu", "cuda")
            every = list(type(chosen).model_fields)
            arguments = self._arguments(name, every, 0) | ({"fused": True} if fused else {})
            self._optimizers[name] = CLASSES[chosen.type](self.weights[name], **arguments)

    def advance(self, iteration: int) -> None:
        """Set the options that change over the run to their values in an iteration."""
        for name, keys in self._moving.items():
            arguments = self._arguments(name, keys, iteration)
            for group in self._optimizers[name].param_groups:
                group.update(arguments)

    def zero_grad(self, names: Iterable[str]) -> None:
        """Forget the gradients of what `names` say."""
        for name in names:
            for weight in self.weights[name]:  # in half the time of torch's own, which is profiled
                weight.grad = None

    def step(self, names: Iterable[str]) -> None:
        """One step of each."""
        for name in names:
            self._optimizers[name].step()

    def gradients(self, names: Iterable[str]) -> list[Tensor]:
        """All gradients of what `names` say."""
        found = (weight.grad for name in names for weight in self.weights[name])
        return [gradient for gradient in found if gradient is not None]

    def state_dict(self) -> dict[str, Any]:
        """State of each optimizer by name."""
        return {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, here or on another kind of device.

        The options stay those of the recipe and of the device. Raises `ValueError` for moments of
        other weights.
        """
        for name, optimizer in self._optimizers.items():
            moments: Mapping[int, Mapping[str, Tensor]] = state[name]["state"]
            own = optimizer.state_dict()["param_groups"]
            if len({frozenset(each) for each in moments.values()}) > 1:
                raise ValueError(f"the optimizer of the {name} has lost moments")
            for index, each in moments.items():
                if not 0 <= index < len(self.weights[name]):
                    raise ValueError(f"the optimizer of the {name} has no weight {index}")
                for key, moment in each.items():
                    _check_moment(f"{key} of the {name}", moment, self.weights[name][index])
            optimizer.load_state_dict({"state": moments, "param_groups": own})

    def _arguments(self, name: str, keys: Iterable[str], iteration: int) -> dict[str, Any]:
        """Some options of one optimizer in an iteration, as torch takes them."""

        def number(key: str, value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(number(f"{key}.{index}", each) for index, each in enumerate(value))
            return self._values.number(f"optimizer.{name}.{key}", value, iteration)

        options = self._options[name]
        return {key: number(key, getattr(options, key)) for key in keys}


def _check_moment(what: str, moment: Tensor, weight: Tensor) -> None:
    """Raise `ValueError` unless it is a number, or has a value for each of the weight's."""
    number = not moment.shape and moment.dtype == torch.float32
    if not number and (moment.shape, moment.dtype) != (weight.shape, weight.dtype):
        kind = f"{tuple(moment.shape)} of {moment.dtype}"
        raise ValueError(f"{what} is {kind}, not {tuple(weight.shape)} of {weight.dtype}")


def _moving(options: settings.Optimizer) -> list[str]:
    """The options that change over the run."""

    def moves(value: Any) -> bool:
        return any(map(moves, value)) if type(value) is tuple else isinstance(value, Ramp | Ramps)

    return [key for key in type(options).model_fields if moves(getattr(options, key))]


def _weights(name: str, module: nn.Module) -> list[nn.Parameter]:
    weights = list(module.parameters())
    if not weights:
        raise UserError(
            f"the {name} has nothing to train, but the schedule trains it",
            hint="schedule.type=discriminator-only leaves the generator alone",
        )
    return weights
