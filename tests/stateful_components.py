"""A plugin file: components from papers that keep a state, or have a network and phases of their
own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ganzoo.api import (
    Augmentation,
    AugmentationSpec,
    BuildContext,
    Loss,
    LossSpec,
    Phase,
    Regularizer,
    RegularizerSpec,
    Role,
    Step,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import Tensor


class AdaptiveAugmentation(AugmentationSpec):
    """Mirrors and quarter turns of square images, with a probability p that follows overfitting.

    Adaptive discriminator augmentation, Karras et al. 2020 (arXiv:2006.06676), section 3.1, with
    the first two transformations of appendix B. Every `interval` steps of D, p moves by a constant
    in the direction of r - target, where r = E sign(D(x)) over the real images of these steps.
    """

    type: ClassVar[str] = "ada"
    needs: ClassVar[frozenset[str]] = AugmentationSpec.needs | {"data.images"}

    target: float = Field(0.6, gt=-1, lt=1, description="the r that p is steered to")
    images: PositiveFloat = Field(
        500_000, description="real images over which p can go from 0 to 1"
    )
    interval: PositiveInt = Field(4, description="steps of D between two moves of p")

    def build(self, context: BuildContext) -> Augmentation:
        import torch
        from torch import nn

        target, images, interval = self.target, self.images, self.interval

        class Adaptive(nn.Module):
            """`p`, and since its last move the sum of signs and the number of logits."""

            def __init__(self) -> None:
                super().__init__()
                for name in ("p", "signs", "logits"):
                    self.register_buffer(name, torch.zeros(()))

            def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
                """Which images are mirrored, bool `(N,)`, and quarter turns of each, `(N,)`."""
                N, device = len(x), x.device
                mirror, turn = torch.rand(2, N, device=device) < self.p
                mirror = mirror & (torch.rand(N, device=device) < 0.5)
                return mirror, turn * torch.randint(4, (N,), device=device)

            def forward(self, x: Tensor, draw: tuple[Tensor, Tensor]) -> Tensor:
                mirror, turns = draw
                x = torch.where(mirror[:, None, None, None], x.flip(3), x)
                turned = torch.stack([x.rot90(turn, (2, 3)) for turn in range(4)])
                return turned[turns, torch.arange(len(x), device=x.device)]

            def observe(self, step: Step) -> None:
                if step.phase != "discriminator":
                    return
                self.signs += step.real_logits.sign().sum()
                self.logits += len(step.real_logits)
                due = self.logits >= interval * len(step.real_logits)
                move = (self.signs / self.logits - target).sign() * self.logits / images
                self.p.copy_((self.p + due * move).clamp(0, 1))
                for count in (self.signs, self.logits):
                    count.copy_(torch.where(due, 0.0, count))

        return Adaptive()


class PathLength(RegularizerSpec):
    """weight E (||J^T y|| - a)^2 with the Jacobian J of G at z and noise y, a the running mean.

    Path length regularization, Karras et al. 2020 (arXiv:1912.04958), section 3.2 and appendix B.
    y is normal, divided by the square root of the number of pixels; a is the exponential average
    of the lengths ||J^T y||, and no gradient goes through it.
    """

    type: ClassVar[str] = "path-length"
    phase: ClassVar[str] = "generator"
    differentiates: ClassVar[frozenset[str]] = frozenset({"z"})

    weight: NonNegativeFloat = Field(2.0, description="weight of the penalty")
    decay: float = Field(0.99, ge=0, lt=1, description="decay of the running mean")

    def build(self, context: BuildContext) -> Regularizer:
        import torch
        from torch import nn

        weight, decay = self.weight, self.decay

        class Penalty(nn.Module):
            """`mean` is a."""

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("mean", torch.zeros(()))

            def compute(self, step: Step) -> Mapping[str, Tensor]:
                noise = torch.randn_like(step.fake) / math.sqrt(math.prod(step.fake.shape[2:]))
                product = (step.fake * noise).sum()
                (gradients,) = torch.autograd.grad(product, step.z, create_graph=True)
                lengths = torch.linalg.vector_norm(gradients, dim=1)
                self.mean.lerp_(lengths.detach().mean().to(self.mean.dtype), 1 - decay)
                return {
                    "penalty": weight * (lengths - self.mean.clone()).square().mean(),
                    "length": lengths.detach().mean(),
                }

        return Penalty()


class AdversarialAutoencoder(LossSpec):
    """Codes of real samples become as latents are, since a critic of codes cannot tell them apart.

    Makhzani et al. 2015 (arXiv:1511.05644), section 2: E||G(E(x)) - x||^2 / D, a critic of latents
    against codes, and an encoder that deceives it, each a phase of its own.
    """

    type: ClassVar[str] = "adversarial-autoencoder"
    needs: ClassVar[frozenset[str]] = frozenset({"generator", "encoder"})
    provides: ClassVar[frozenset[str]] = frozenset({"codes"})
    networks: ClassVar[Mapping[str, Role]] = {"critic": Role(kind="discriminator", sees="codes")}
    phases: ClassVar[Mapping[str, Phase]] = {
        "reconstruction": Phase(trains=frozenset({"generator", "encoder"})),
        "critic": Phase(trains=frozenset({"critic"})),
        "deception": Phase(trains=frozenset({"encoder"})),
    }

    def build(self, context: BuildContext) -> Loss:
        from torch.nn.functional import softplus

        class Game:
            def compute(self, step: Step) -> Mapping[str, Tensor]:
                if step.phase == "reconstruction":
                    return {"error": (step.generate(step.code) - step.x).square().mean()}
                critic = step.networks["critic"]
                if step.phase == "deception":
                    return {"loss": softplus(-critic(step.code)).mean()}
                real, fake = critic(step.z), critic(step.code.detach())
                return {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}

            def codes(self, step: Step) -> Any:
                return step.code

        return Game()


@hookimpl
def ganzoo_augmentations() -> Sequence[type[AugmentationSpec]]:
    return [AdaptiveAugmentation]


@hookimpl
def ganzoo_regularizers() -> Sequence[type[RegularizerSpec]]:
    return [PathLength]


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    return [AdversarialAutoencoder]
