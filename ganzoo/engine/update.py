"""One phase's update: freeze, compute the terms, backward, average over ranks, step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganzoo.engine.backend import Backend
from ganzoo.engine.networks import Freezer
from ganzoo.engine.ranks import Ranks
from ganzoo.engine.statistics import Statistics
from ganzoo.errors import RunError
from ganzoo.protocols import Batch, Loss, Networks, Regularizer
from ganzoo.recipe import settings

OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
FUSED = frozenset({"adam", "adamw", "sgd"})


def build_optimizer(
    options: settings.Optimizer, weights: Sequence[nn.Parameter], device: torch.device
) -> Optimizer:
    """torch's optimizer for a recipe's table, in its fused form where it has one."""
    arguments = options.model_dump()
    if options.type in FUSED and device.type in ("cpu", "cuda"):
        arguments["fused"] = True
    return OPTIMIZERS[options.type](weights, **arguments)


@dataclass(frozen=True)
class LazyRegularizer:
    """A regularizer with its name and its period k in iterations."""

    name: str
    regularizer: Regularizer
    every: int


def named_terms(where: str, terms: object) -> dict[str, Tensor]:
    """What a loss or regularizer gave: 0-d tensors by name.

    Raises `RunError` for anything else; `where` says in its message what gave it.
    """
    if not isinstance(terms, Mapping):
        raise RunError(f"{where}: {terms!r:.60}", hint="return a dict of tensors by name")
    for name, term in terms.items():
        if not isinstance(term, Tensor):
            raise RunError(
                f"{where}: '{name}' is {type(term).__name__}",
                hint="return a 0-d tensor, such as `batch.x.new_tensor(0.5)`",
            )
        if term.dim():
            raise RunError(
                f"{where}: '{name}' has shape {tuple(term.shape)}", hint="return its mean"
            )
    return dict(terms)


@dataclass(frozen=True)
class Update:
    """The update of one phase. It reads the static batch and never waits for the device."""

    phase: str
    trains: frozenset[str]
    loss: Loss
    regularizers: Sequence[LazyRegularizer]
    networks: Networks
    batch: Batch
    optimizers: Sequence[Optimizer]
    learning_rates: Sequence[float]
    freezer: Freezer
    backend: Backend
    ranks: Ranks
    statistics: Sequence[Statistics]

    def backward(self, iteration: int) -> None:
        """Take the gradients of the phase's terms; move nothing."""
        self.freezer.thaw_only(self.trains)
        with self.backend.autocast():
            given = self.loss.compute(self.phase, self.networks, self.batch)
            terms = named_terms(f"terms of phase '{self.phase}'", given)
        terms |= self._regularization(iteration)
        minimised = [term for term in terms.values() if term.requires_grad]
        if not minimised:
            raise RunError(
                f"phase '{self.phase}': none of the terms {', '.join(terms)} carries a gradient"
                f" to {', '.join(sorted(self.trains))}",
                hint="a loss must not detach what it minimises",
            )
        total = torch.stack(minimised).sum()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total.backward()
        self.ranks.average(self._gradients())
        if len(minimised) > 1:
            terms["total"] = total
        for name, term in terms.items():
            for statistics in self.statistics:
                statistics.add(f"{self.phase}/{name}", term)

    def step(self, lr_factor: float) -> None:
        """Move the phase's networks along the gradients of `backward`."""
        for optimizer, lr in zip(self.optimizers, self.learning_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = lr * lr_factor
            optimizer.step()

    def _regularization(self, iteration: int) -> dict[str, Tensor]:
        """Terms of the regularizers that are due, in float32.

        Those that are minimised are multiplied by their period; statistics stay as they are.
        """
        return {
            f"{lazy.name}/{name}": term * lazy.every if term.requires_grad else term
            for lazy in self.regularizers
            if iteration % lazy.every == 0
            for name, term in named_terms(
                f"terms of regularizer '{lazy.name}'",
                lazy.regularizer.compute(self.networks, self.batch),
            ).items()
        }

    def _gradients(self) -> list[Tensor]:
        return [
            weight.grad
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
