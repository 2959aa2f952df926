"""A generator without weights that solves argmax D(x) by gradient ascent, and its loss.

A trained generator has learned the solution of argmax_x D(x); this one computes it. In every
iteration D learns to separate real samples from negatives, which are its own maxima, computed by
gradient ascent. That is a short-run energy-based model with the energy -D(x): Nijkamp et al. 2019
(arXiv:1904.09770), Du and Mordatch 2019 (arXiv:1903.08689). Only declarations stand here; each
`build` imports the file that does the work.
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

    z `(N, latent_dim)` to x `(N, *sample_shape)`, images in [-1, 1], points in a box around the
    data; `latent.dim` is the number of values of a sample. Each step moves x by `step_size`
    grad D(x), with D in evaluation mode. Restarts and a pool of earlier solutions: Du and
    Mordatch 2019 (arXiv:1903.08689), section 3.2; starts from noise alone: Nijkamp et al. 2019
    (arXiv:1904.09770). In evaluation mode the sample is a function of z: z is the noise from
    which the ascent starts, or chooses the solution or the real sample from which it does, and
    the steps add no noise. The pool, the real samples and the box are saved with the weights.
    Raises `UserError` for another `latent.dim`, and for points that are not in memory.
    """

    type: ClassVar[str] = "argmax"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    compiles: ClassVar[bool] = False

    start: Literal["noise", "data", "pool"] = Field(
        "pool",
        description="where the ascent starts: noise in the box, real samples, or earlier solutions",
    )
    pool_size: PositiveInt = Field(
        10_000,
        description="earlier solutions (pool), or real samples at most (data), that are saved with "
        "the weights",
    )
    restarts: float = Field(
        0.05, ge=0, le=1, description="share of starts from noise in training (pool)"
    )
    best_share: float = Field(
        1.0, gt=0, le=1, description="share of the pool, with the highest D, that is sampled (pool)"
    )
    start_noise: NonNegativeFloat = Field(
        0.0, description="multiple of z that is added to the start of the ascent (data, pool)"
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
        0.0, description="upper bound of the norm of a sample's gradient; 0 for none"
    )
    noise: NonNegativeFloat = Field(
        0.0,
        description="standard deviation of normal noise in each step of training (Langevin)",
    )
    margin: NonNegativeFloat = Field(
        0.25, description="points: margin of the box around the data, as a share of their range"
    )

    def build(self, context: BuildContext) -> nn.Module:
        """The generator; the box of points is a wide one until `initialize` is called."""
        from .generator import ArgmaxGenerator

        _check_latents(context)
        data_size = min(self.pool_size, context.training_samples)
        keys = self.arguments()
        del keys["start"], keys["pool_size"], keys["margin"]
        return ArgmaxGenerator(
            discriminator=context.networks["discriminator"],
            sample_shape=context.sample_shape,
            latent_distribution=context.latent_distribution,
            data_size=data_size if self.start == "data" else 0,
            pool_size=self.pool_size if self.start == "pool" else 0,
            **keys,
        )

    def initialize(self, network: nn.Module, context: BuildContext) -> None:
        """Set the box of points, and the real samples from which the ascent starts."""
        from .generator import ArgmaxGenerator, chosen_samples

        assert isinstance(network, ArgmaxGenerator)
        if len(context.sample_shape) == 1:
            points = _points(context)
            low, high = points.amin(0), points.amax(0)
            margin = self.margin * (high - low)
            network.set_box(low - margin, high + margin)
        if len(network.data):
            network.data.copy_(chosen_samples(context.data.train, len(network.data)))


def _points(context: BuildContext) -> Tensor:
    """The training points `(M, D)`."""
    from ganzoo.engine import Samples

    train = context.data.train
    if not isinstance(train, Samples):
        raise UserError(
            "generator 'argmax' computes the box of its samples from points in memory, but these "
            "are read from disk",
            hint="data.in_memory = true where there is such a key",
        )
    return train.values


def _check_latents(context: BuildContext) -> None:
    """Raise `UserError` unless z has one value for each value of a sample, as noise needs."""
    wanted = math.prod(context.sample_shape)
    if context.latent_dim != wanted:
        shape = "x".join(map(str, context.sample_shape))
        raise UserError(
            f"latent.dim = {context.latent_dim}, but generator 'argmax' starts from noise in the "
            f"shape of a sample, {shape}",
            hint=f"latent.dim = {wanted}",
        )


class ArgmaxLoss(LossSpec):
    """Cross-entropy of real samples and D's own maxima, with a penalty on large logits.

    D minimises E softplus(-D(x)) + E softplus(D(G(z))) + logit_weight (E D(x)^2 + E D(G(z))^2),
    D(x) being a logit `(N,)`; in nats. The last term is that of Du and Mordatch 2019
    (arXiv:1903.08689), section 3.3, which keeps the gradients of D from growing.
    """

    type: ClassVar[str] = "argmax"
    phases: ClassVar[Mapping[str, Phase]] = {
        "discriminator": Phase(trains=frozenset({"discriminator"}))
    }
    terms: ClassVar[Mapping[str, str]] = {
        "discriminator/real": "E softplus(-D(x)), in nats: log 2 = 0.693 where D does not know",
        "discriminator/fake": "E softplus(D(G(z))) at D's own maxima, in nats",
        "discriminator/logits": "logit_weight (E D(x)^2 + E D(G(z))^2)",
        "discriminator/D(x)": "mean probability that D gives real samples of being real",
        "discriminator/D(G(z))": "mean probability that D gives its own maxima of being real",
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
