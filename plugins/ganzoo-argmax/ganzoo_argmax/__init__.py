"""A generator without weights that solves argmax D(x) by gradient ascent, and its loss.

A trained generator has learned the solution of argmax_x D(x); this one solves it. Training goes
in rounds: D learns to tell real samples from the negatives, then climbs to its own maxima, which
are the next negatives. That is a short-run energy-based model with the energy -D(x): Nijkamp et
al. 2019 (arXiv:1904.09770), Du and Mordatch 2019 (arXiv:1903.08689). Only declarations stand
here; each `build` imports the file that does the work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ganzoo.api import (
    BuildContext,
    GeneratorSpec,
    Loss,
    LossSpec,
    Phase,
    UserError,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

GANZOO_API_VERSION = 1


class ArgmaxGenerator(GeneratorSpec):
    """Gradient ascent on the discriminator, with nothing to train; schedule discriminator-only.

    z `(N, latent_dim)` to x `(N, *sample_shape)`, images in [-1, 1], points within the data's
    extent and a margin; `latent.dim` is the number of values of a sample. Each step moves x by
    `step_size` grad D(x), D being in evaluation mode. Restarts and a pool of earlier solutions:
    Du and Mordatch 2019 (arXiv:1903.08689), section 3.2; starts from noise alone: Nijkamp et al.
    2019 (arXiv:1904.09770). In evaluation mode z decides the sample: it is the noise that is
    climbed from, or chooses the solution or the real sample that is, and no noise is added on
    the way. Raises `UserError` for another `latent.dim`, and where points, or real samples to
    start from, are not in memory.
    """

    type: ClassVar[str] = "argmax"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator", "data"})
    compiles: ClassVar[bool] = False

    start: Literal["noise", "data", "pool"] = Field(
        "pool",
        description="where the ascent begins: noise in the box, real samples, or earlier solutions",
    )
    pool_size: PositiveInt = Field(10_000, description="earlier solutions that are kept (pool)")
    restarts: float = Field(
        0.05, ge=0, le=1, description="share of starts from noise in training (pool)"
    )
    best_share: float = Field(
        1.0, gt=0, le=1, description="share of earlier solutions, the highest by D, sampled (pool)"
    )
    start_noise: NonNegativeFloat = Field(
        0.0, description="multiple of z that is added to what the ascent begins at (data, pool)"
    )
    steps: PositiveInt = Field(20, description="steps of the ascent")
    sampling_steps: PositiveInt | None = Field(
        None, description="steps in evaluation mode; as many as in training if left out"
    )
    step_size: PositiveFloat = Field(
        0.1, description="multiple of the gradient of D by which a step moves"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last step kept in the next")
    longest_gradient: NonNegativeFloat = Field(
        0.0, description="bound on the norm of a sample's gradient; 0 for none"
    )
    noise: NonNegativeFloat = Field(
        0.0,
        description="standard deviation of normal noise in each step of training (Langevin)",
    )
    margin: NonNegativeFloat = Field(
        0.25, description="points: free room around the data, as a share of their extent"
    )

    def build(self, context: BuildContext) -> nn.Module:
        from .generator import ArgmaxGenerator

        _check_latents(context)
        low, high = self._box(context)
        return ArgmaxGenerator(
            discriminator=context.networks["discriminator"],
            sample_shape=context.sample_shape,
            low=low,
            high=high,
            latent_distribution=context.latent_distribution,
            data=_values(context, "its starts") if self.start == "data" else None,
            pool_size=self.pool_size if self.start == "pool" else 0,
            **self.model_dump(exclude={"start", "pool_size", "margin"}),
        )

    def _box(self, context: BuildContext) -> tuple[Tensor, Tensor]:
        """Corners that samples stay between: two numbers for images, two points for points."""
        import torch

        if len(context.sample_shape) == 3:
            return torch.tensor(-1.0), torch.tensor(1.0)
        values = _values(context, "the box of its samples")
        low, high = values.amin(0), values.amax(0)
        room = self.margin * (high - low)
        return low - room, high + room


def _values(context: BuildContext, what: str) -> Tensor:
    """The training samples, from which the generator takes `what`."""
    values: Tensor | None = getattr(context.data.train, "values", None)
    if values is None:
        raise UserError(
            f"generator 'argmax' takes {what} from data in memory, but these are read from disk",
            hint="data.in_memory=true where there is such a key",
        )
    return values


def _check_latents(context: BuildContext) -> None:
    """Noise in the box is made of z, one value of z for each value of a sample."""
    wanted = math.prod(context.sample_shape)
    if context.latent_dim != wanted:
        shape = "x".join(map(str, context.sample_shape))
        raise UserError(
            f"latent.dim = {context.latent_dim}, but generator 'argmax' starts from noise in the "
            f"shape of a sample, {shape}",
            hint=f"latent.dim = {wanted}",
        )


class ArgmaxLoss(LossSpec):
    """Cross-entropy of real samples and D's own maxima, with a small cost on large logits.

    D minimises E softplus(-D(x)) + E softplus(D(G(z))) + logit_weight (E D(x)^2 + E D(G(z))^2),
    D(x) being a logit `(N,)`; in nats. The last term is that of Du and Mordatch 2019
    (arXiv:1903.08689), section 3.3, which keeps the slopes that are climbed from growing.
    """

    type: ClassVar[str] = "argmax"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains=frozenset({"discriminator"}))
    }

    logit_weight: NonNegativeFloat = Field(0.01, description="weight of the squared logits")

    def build(self, context: BuildContext) -> Loss:
        from .losses import ArgmaxLoss

        return ArgmaxLoss(self.logit_weight)


@hookimpl
def ganzoo_generators() -> Sequence[type[GeneratorSpec]]:
    """The generator."""
    return [ArgmaxGenerator]


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    """The loss."""
    return [ArgmaxLoss]
