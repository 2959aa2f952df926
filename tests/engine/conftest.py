"""A tiny GAN on the 8x8 digits, and test components that need torch to be built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganzoo import load_recipe, plugins
from ganzoo.api import (
    AugmentationSpec,
    Batch,
    BuildContext,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    Networks,
    Phase,
    RegularizerSpec,
    ScheduleSpec,
)
from ganzoo.engine.ranks import Ranks
from ganzoo.engine.session import Session, prepare
from ganzoo.plugins import Plugin
from ganzoo.recipe import Recipe
from ganzoo.registry import Registry

TINY = """
name = "tiny"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "mlp", hidden = [16] }
discriminator = { type = "mlp", hidden = [16] }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-3, betas = [0.5, 0.999] }
train = { iterations = 20, batch_size = 8 }
log = { every = 5, samples = 4 }
checkpoint = { every = 10 }
"""


class AutoencoderLoss(LossSpec):
    """Squared error of the decoded code, in one phase."""

    type: ClassVar[str] = "test-autoencoder"
    needs: ClassVar[frozenset[str]] = frozenset({"generator", "encoder"})
    provides: ClassVar[frozenset[str]] = frozenset({"codes"})
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"generator", "encoder"})}

    def build(self, context: BuildContext) -> AutoencoderLoss:
        return self

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        decoded = networks.generator(networks.encoder(batch.x))
        return {"error": (decoded - batch.x).square().mean()}

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        return networks.encoder(batch.x)


class DetachedLoss(LossSpec):
    """A loss that forgets to keep its gradient."""

    type: ClassVar[str] = "test-detached"
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"generator"})}

    def build(self, context: BuildContext) -> DetachedLoss:
        return self

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        return {"error": networks.generator(batch.z).detach().mean()}


class CodesLoss(LossSpec):
    """A loss with a code of its own for each training sample."""

    type: ClassVar[str] = "test-codes"
    needs: ClassVar[frozenset[str]] = frozenset({"generator", "data"})
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"generator"})}

    @property
    def has_weights(self) -> bool:
        return True

    def build(self, context: BuildContext) -> CodeTable:
        return CodeTable(len(context.data.train), context.latent_dim)


class CodeTable(nn.Module):
    """Squared error of the samples decoded from codes that are learned."""

    def __init__(self, count: int, latent_dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(count, latent_dim))

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        decoded = networks.generator(self.table[batch.indices])
        return {"error": (decoded - batch.x).square().mean()}


class ShiftAugmentation(AugmentationSpec):
    """Adds the iteration's number, and notes what it was given."""

    type: ClassVar[str] = "test-shift"

    def build(self, context: BuildContext) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, iteration: x + iteration


class WatchingSchedule(ScheduleSpec):
    """D steps alone in the three iterations after its loss was seen to be above 0.6."""

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

    def lr_factor(self, phase: str, iteration: int) -> float:
        return 1.0


class LogitPenalty(RegularizerSpec):
    """Mean square of the real logits."""

    type: ClassVar[str] = "test-logits"

    def build(self, context: BuildContext) -> LogitPenalty:
        return self

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        size = networks.discriminator(batch.x).square().mean()
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
            AutoencoderLoss,
            DetachedLoss,
            CodesLoss,
            ShiftAugmentation,
            WatchingSchedule,
            LogitPenalty,
            ClimbingGenerator,
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

    def make(*overrides: str, text: str = TINY, ranks: Ranks | None = None) -> Session:
        return prepare(recipe(*overrides, text=text), torch.device("cpu"), ranks or Ranks())

    return make
