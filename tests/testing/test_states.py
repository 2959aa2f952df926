"""The check of what changes in the course of a run, with components that lose it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from handmade import JOINT, loss, squares
from kit import fault, passes, reason
from torch import Tensor, nn

from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    PriorSpec,
    ProbeSpec,
    RegularizerSpec,
    ScheduleSpec,
    Step,
)
from ganzoo.specs import ComponentSpec


class Buffers:
    """Keeps a number where `state_dict` finds it."""

    def __init__(self) -> None:
        self.state = torch.zeros(())

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = state["state"]


class Attributes:
    """Keeps it where nothing finds it."""

    def __init__(self) -> None:
        self.state = torch.zeros(())


class Renamed(Buffers):
    """Has a state dict that holds something else."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": torch.zeros(())}


class Odd(Buffers):
    """Has a state that no checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": self}


Keeper = type[Buffers] | type[Attributes]


def loss_of(keeper: Keeper) -> type[ComponentSpec]:
    """A loss that is weighted by a mean of what it has seen."""

    class Weighted(keeper):  # type: ignore[misc, valid-type]
        def compute(self, step: Step) -> Any:
            weight = self.state
            self.state = self.state + step.fake.detach().mean()
            return {"loss": squares(step.fake, step) * (1 + weight)}

    return loss(build=lambda context: Weighted(), phases=JOINT)


def regularizer_of(keeper: Keeper) -> type[ComponentSpec]:
    """A regularizer whose weight its observations move."""

    class Made(RegularizerSpec):
        """A regularizer of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            class Observing(keeper):  # type: ignore[misc, valid-type]
                def compute(self, step: Step) -> Any:
                    return {"size": step.real_logits.square().mean() * self.state}

                def observe(self, step: Step) -> None:
                    assert not torch.is_grad_enabled()
                    self.state = self.state + step.real_logits.sign().mean() + 2

            return Observing()

    return Made


def augmentation_of(keeper: Keeper) -> type[ComponentSpec]:
    """An augmentation whose strength adapts."""

    class Made(AugmentationSpec):
        """An augmentation of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            class Adaptive(keeper):  # type: ignore[misc, valid-type]
                def draw(self, x: Tensor) -> Tensor:
                    return torch.rand(len(x)) * self.state

                def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
                    return x + draw.view(-1, *(1,) * (x.dim() - 1))

                def observe(self, step: Step) -> None:
                    self.state = self.state + 1

            return Adaptive()

    return Made


def schedule_of(keeper: Keeper) -> type[ComponentSpec]:
    """A schedule that counts its calls."""

    class Made(ScheduleSpec):
        """A schedule of a test."""

        type: ClassVar[str] = "made"
        runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

        def build(self, context: BuildContext) -> Any:
            class Counting(keeper):  # type: ignore[misc, valid-type]
                def phases(self, iteration: int, statistics: Any) -> Sequence[Sequence[str]]:
                    self.state = self.state + 1
                    return [["generator"]] if self.state > 21 else [["discriminator"]]

            return Counting()

    return Made


def prior_of(keeper: Keeper) -> type[ComponentSpec]:
    """A prior that adds up the means of all codes."""

    class Made(PriorSpec):
        """A prior of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            class Summing(keeper):  # type: ignore[misc, valid-type]
                def fit(self, codes: Tensor) -> None:
                    self.state = self.state + codes.mean()

                def sample(self, count: int, generator: torch.Generator) -> Tensor:
                    z = torch.randn(count, context.latent_dim, generator=generator)
                    return z + self.state

            return Summing()

    return Made


def probe_of(keeper: Keeper) -> type[ComponentSpec]:
    """A probe that tells how much has changed since the measurement before."""

    class Made(ProbeSpec):
        """A probe of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            class Comparing(keeper):  # type: ignore[misc, valid-type]
                def before(self, phases: Any, step: Step) -> None: ...

                def after(self, phases: Any, step: Step) -> None:
                    with torch.no_grad():
                        now = step.discriminate(step.x).mean()
                    self.change, self.state = float(now - self.state), now

                def compute(self) -> dict[str, float]:
                    return {"change": self.change}

                def draw(self) -> None: ...

            return Comparing()

    return Made


MAKERS = [loss_of, regularizer_of, augmentation_of, schedule_of, prior_of, probe_of]


@pytest.mark.parametrize("make", MAKERS)
def test_a_state_that_is_saved(make: Any) -> None:
    passes("state-round-trip", make(Buffers))


@pytest.mark.parametrize("make", MAKERS)
def test_a_state_that_is_lost(make: Any) -> None:
    assert fault("state-round-trip", make(Attributes)) == (
        "`state` changes with its calls, and a resumed run would not find it as it was; keep it by "
        "`register_buffer` of a torch.nn.Module, or in `state_dict` and `load_state_dict`"
    )


def test_a_state_dict_that_lacks_what_changes() -> None:
    assert fault("state-round-trip", loss_of(Renamed)) == (
        "`state` changes with its calls, and a resumed run would not find it as it was; keep it by "
        "`register_buffer` of a torch.nn.Module, or in `state_dict` and `load_state_dict`"
    )


def test_the_part_of_a_state_that_is_lost_is_named() -> None:
    class Half(Buffers):
        def __init__(self) -> None:
            super().__init__()
            self.total = torch.zeros(())

        def compute(self, step: Step) -> Any:
            self.state, self.total = self.state + 1, self.total + 1
            return {"loss": squares(step.fake, step) * (self.state + self.total)}

    found = fault("state-round-trip", loss(build=lambda context: Half(), phases=JOINT))
    assert found.startswith("`total` changes with its calls, and a resumed run would not find it")


def test_a_state_that_cannot_be_saved() -> None:
    problem = fault("state-round-trip", loss_of(Odd))
    assert problem.startswith("its state dict cannot be saved and loaded again: ")
    assert problem.endswith(
        "; keep `state` in tensors and plain data, of the same shape in every build"
    )


def test_what_changes_without_an_effect_is_no_state() -> None:
    class Cached(Attributes):
        def compute(self, step: Step) -> Any:
            self.state = step.x.new_tensor(0.5)  # the same in every call
            return {"loss": squares(step.fake, step) * self.state}

    passes("state-round-trip", loss(build=lambda context: Cached(), phases=JOINT))


def test_buffers_of_a_module_are_found() -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def compute(self, step: Step) -> Any:
            self.mean = self.mean.lerp(step.fake.detach().mean(), 0.5)
            return {"loss": (step.fake - self.mean).square().mean() + squares(step.fake, step)}

    passes("state-round-trip", loss(build=lambda context: Running(), phases=JOINT))


@pytest.mark.parametrize("check", ["pure-schedule", "resumed-schedule"])
def test_a_schedule_with_a_state_need_not_be_pure(check: str) -> None:
    assert reason(check, schedule_of(Buffers)) == "it keeps a state; see `state-round-trip`"
