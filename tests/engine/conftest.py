"""A tiny GAN on the 8x8 digits, and test components that need torch to be built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field
from tiny import AUTOENCODER as CODING
from tiny import CodingLoss, tiny
from torch import Tensor, nn

from ganzoo import load_recipe, plugins
from ganzoo.api import (
    AugmentationSpec,
    BuildContext,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    Phase,
    RegularizerSpec,
    ScheduleSpec,
    Step,
    Value,
)
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session, prepare
from ganzoo.plugins import Plugin
from ganzoo.recipe import Recipe
from ganzoo.registry import Registry

TINY = tiny()
AUTOENCODER = tiny(**CODING)
"""The tiny recipe with a loss that knows codes."""
CODES = tiny(**{**CODING, "encoder": None, "loss": '{ type = "test-codes" }'})
"""The tiny recipe with a loss that has weights."""


class DetachedLoss(LossSpec):
    """A loss that forgets to keep its gradient."""

    type: ClassVar[str] = "test-detached"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"generator"})}

    def build(self, context: BuildContext) -> DetachedLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"error": step.fake.detach().mean()}


class CodesLoss(LossSpec):
    """A loss with a code of its own for each training sample."""

    type: ClassVar[str] = "test-codes"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"generator"})}

    @property
    def has_weights(self) -> bool:
        return True

    def build(self, context: BuildContext) -> CodeTable:
        return CodeTable(context.training_samples, context.latent_dim)


class CodeTable(nn.Module):
    """Squared error of the samples decoded from codes that are learned."""

    def __init__(self, count: int, latent_dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(count, latent_dim))

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        decoded = step.generate(self.table[step.indices])
        return {"error": (decoded - step.x).square().mean()}


class ShiftAugmentation(AugmentationSpec):
    """Adds a uniform number to each sample, times a factor that may change over the run."""

    type: ClassVar[str] = "test-shift"

    factor: Value = Field(1.0, ge=0, description="largest shift")

    def build(self, context: BuildContext) -> Shift:
        return Shift(context.value(self.factor))


class Shift:
    def __init__(self, factor: Tensor) -> None:
        self.factor = factor

    def draw(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device)

    def __call__(self, x: Tensor, draw: Tensor) -> Tensor:
        return x + self.factor * draw


class WatchingSchedule(ScheduleSpec):
    """D steps alone in the three iterations after its loss was above 0.6."""

    type: ClassVar[str] = "test-watching"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    @property
    def observes(self) -> int:
        return 3

    def build(self, context: BuildContext) -> WatchingSchedule:
        return self

    def phases(self, iteration: int, statistics: Mapping[str, float]) -> Sequence[Sequence[str]]:
        busy = statistics.get("discriminator/real", 0.0) > 0.6
        return (("discriminator",),) if busy else (("discriminator",), ("generator",))


class LogitPenalty(RegularizerSpec):
    """Mean square of the real logits."""

    type: ClassVar[str] = "test-logits"

    def build(self, context: BuildContext) -> LogitPenalty:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        size = step.real_logits.square().mean()
        return {"size": size, "logged": size.detach()}


class Climber(nn.Module):
    """Climbs D from noise by one step; holds D without owning its weights."""

    def __init__(self, discriminator: nn.Module, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.climb = lambda x: torch.autograd.grad(discriminator(x).sum(), x)[0]
        self.sample_shape = sample_shape

    def forward(self, z: Tensor) -> Tensor:
        with torch.enable_grad():
            x = torch.rand(len(z), *self.sample_shape, device=z.device).requires_grad_()
            return (x + self.climb(x)).detach().clamp(-1, 1)


class Follower(nn.Module):
    """A generator with weights that adds the gradient of D to what it makes."""

    def __init__(self, discriminator: nn.Module, latent_dim: int, sample_shape: tuple) -> None:
        super().__init__()
        self.discriminator = (discriminator,)  # in a tuple: not a part of this one
        self.sample_shape = sample_shape
        self.linear = nn.Linear(latent_dim, math.prod(sample_shape))

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).tanh().view(-1, *self.sample_shape)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.discriminator[0](leaf).sum(), leaf)
        return (x + gradient).clamp(-1, 1)


class FollowingGenerator(GeneratorSpec):
    """A generator with weights that needs the discriminator."""

    type: ClassVar[str] = "test-follower"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    def build(self, context: BuildContext) -> nn.Module:
        return Follower(context.networks["discriminator"], context.latent_dim, context.sample_shape)


class ClimbingGenerator(GeneratorSpec):
    """A generator without weights that needs the discriminator."""

    type: ClassVar[str] = "test-climber"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})

    def build(self, context: BuildContext) -> nn.Module:
        return Climber(context.networks["discriminator"], context.sample_shape)


class NormalisedEncoder(EncoderSpec):
    """An encoder with batch norm and weights that stay as they are."""

    type: ClassVar[str] = "test-normalised"

    def build(self, context: BuildContext) -> nn.Module:
        size = 1
        for length in context.sample_shape:
            size *= length
        frozen = nn.Linear(size, 8).requires_grad_(False)
        return nn.Sequential(
            nn.Flatten(), frozen, nn.BatchNorm1d(8), nn.Linear(8, context.latent_dim)
        )


MINE = Plugin(
    "test:components",
    "test",
    "1.0",
    tuple(
        (spec.kind, spec)
        for spec in (
            CodingLoss,
            DetachedLoss,
            CodesLoss,
            ShiftAugmentation,
            WatchingSchedule,
            LogitPenalty,
            ClimbingGenerator,
            FollowingGenerator,
            NormalisedEncoder,
        )
    ),
)

MakeRecipe = Callable[..., Recipe]
MakeSession = Callable[..., Session]


@pytest.fixture
def registry() -> Registry:
    return Registry([*plugins.installed().all, MINE])


@pytest.fixture
def recipe(tmp_path: Path, registry: Registry) -> MakeRecipe:
    """A function that loads the tiny recipe with overrides, or another text."""

    def make(*overrides: str, text: str = TINY) -> Recipe:
        file = tmp_path / "tiny.toml"
        file.write_text(text)
        return load_recipe(file, *overrides, registry=registry)

    return make


@pytest.fixture
def session(recipe: MakeRecipe) -> MakeSession:
    """A function that builds a session on the CPU."""

    def make(*overrides: str, text: str = TINY, group: ProcessGroup | None = None) -> Session:
        loaded = recipe(*overrides, text=text)
        return prepare(loaded, torch.device("cpu"), group or ProcessGroup())

    return make
