"""A loss, regularizer or augmentation in its world, and how it is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.engine.networks import Freezer
from ganzoo.engine.random import seeded
from ganzoo.protocols import Batch, Networks
from ganzoo.specs import NETWORKS, AugmentationSpec, ComponentSpec, LossSpec, RegularizerSpec
from ganzoo.testing.checks import Subject, Wrong
from ganzoo.testing.surroundings import CPU, Surroundings, smallest
from ganzoo.testing.watching import said

Terms = Mapping[str, Tensor]

COUNT = 8
"""Samples of a batch."""


@dataclass(frozen=True)
class Part:
    """What is computed at once: one phase of a loss, or all of another component."""

    phase: str | None
    trains: frozenset[str]
    """Slots of the networks that it may move, and `loss` for a loss's own weights."""

    @property
    def where(self) -> str:
        """For messages."""
        return "terms" if self.phase is None else f"terms of phase '{self.phase}'"


def parts(spec: ComponentSpec) -> Sequence[Part]:
    """The parts of a component."""
    if isinstance(spec, LossSpec):
        return [Part(phase, spec.trains(phase)) for phase in spec.phases]
    if isinstance(spec, RegularizerSpec) and spec.phase in NETWORKS:
        return [Part(None, frozenset({spec.phase}))]
    return [Part(None, frozenset(NETWORKS))]


@dataclass
class Trial:
    """One part of a component just built, with networks of its own, frozen as in a run."""

    world: Surroundings
    part: Part
    component: Any
    modules: Mapping[str, nn.Module]
    """The networks by slot, and the loss as `loss` if it is a module."""
    batch: Batch

    def compute(
        self,
        batch: Batch | None = None,
        *,
        watched: AbstractContextManager[object] | None = None,
    ) -> Any:
        """What the component gives, an augmentation as the term `samples`.

        What is random in it is the same in every call.
        """
        batch = batch or self.batch
        with seeded(0, "noise", device=CPU), watched or nullcontext():
            try:
                return self._computed(batch)
            except (TypeError, AttributeError) as error:
                if "NoneType" not in str(error):
                    raise
                there = ", ".join(sorted(self.modules))
                raise Wrong(
                    f"{self.part.where}: {said(error)}; if it uses another network than {there}, "
                    "name that in `needs`, or in `trains` of the phase"
                ) from error

    def _computed(self, batch: Batch) -> Any:
        networks = Networks(**{slot: self.modules.get(slot) for slot in NETWORKS})  # type: ignore[arg-type]
        if isinstance(self.world.spec, AugmentationSpec):
            return {"samples": self.component(batch.x, batch.iteration)}
        if self.part.phase is None:
            return self.component.compute(networks, batch)
        return self.component.compute(self.part.phase, networks, batch)

    def minimised(self, terms: Terms) -> Tensor:
        """The sum that the engine takes the gradient of; raises `Wrong` where there is none."""
        minimised = [term.sum() for term in terms.values() if term.requires_grad]
        if not minimised:
            names = ", ".join(f"'{name}'" for name in terms)
            raise Wrong(
                f"{self.part.where}: none of {names} carries a gradient; do not detach what is "
                "minimised"
            )
        return torch.stack(minimised).sum()

    def weights(self, slot: str) -> list[nn.Parameter]:
        """The weights of a network, or of the loss, that want to be trained now."""
        module = self.modules.get(slot)
        if module is None:
            return []
        return [weight for weight in module.parameters() if weight.requires_grad]


def trial(
    world: Surroundings,
    part: Part,
    *,
    count: int = COUNT,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
) -> Trial:
    """A part in a fresh copy of a world, in some precision, on some device."""
    world = world.fresh()
    component = world.build()
    modules = dict(world.networks)
    if isinstance(world.spec, LossSpec) and isinstance(component, nn.Module):
        modules["loss"] = component
    for module in modules.values():
        module.to(device=device, dtype=dtype)
    Freezer(modules).thaw_only(part.trains)
    return Trial(world, part, component, modules, on(device, world.batch(count, dtype=dtype)))


def trials(subject: Subject, dtype: torch.dtype = torch.float32) -> Iterator[Trial]:
    """Every part of a component in the smallest of its worlds."""
    for world in smallest(subject):
        for part in parts(world.spec):
            yield trial(world, part, dtype=dtype)


def on(device: torch.device, batch: Batch) -> Batch:
    """A batch on another device."""
    return Batch(
        x=batch.x.to(device),
        z=batch.z.to(device),
        labels=None if batch.labels is None else batch.labels.to(device),
        indices=batch.indices.to(device),
        iteration=batch.iteration.to(device),
    )


def repeated(batch: Batch, times: int) -> Batch:
    """A batch that holds every sample several times."""
    return replace(
        batch,
        x=torch.cat([batch.x] * times),
        z=torch.cat([batch.z] * times),
        labels=None if batch.labels is None else batch.labels.repeat(times),
        indices=batch.indices.repeat(times),
    )
