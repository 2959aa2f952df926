"""A Gaussian mixture as generator for ganzoo, and maximum likelihood to train it.

Only declarations stand here; each `build` imports the file that does the work. p(x) is the
density of the data, p_G(x) that of the generator, E a mean over the batch of N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

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
    from torch import nn

GANZOO_API_VERSION = 1


class MixtureGenerator(GeneratorSpec):
    """Gaussian mixture p_G(x) = sum_k share_k N(x; mean_k, covariance_k), with its density.

    Bishop 2006, "Pattern Recognition and Machine Learning", section 9.2. z `(N, D + 1)` to
    points x `(N, D)` in the units of the data: the first value of z chooses the component, the
    others are the noise around its mean. A GAN's loss trains means and covariances; the shares
    have a gradient through the density only. Raises `UserError` where the data are no points in
    memory, or too few, and where `latent.dim` is not D + 1.
    """

    type: ClassVar[str] = "mixture"
    needs: ClassVar[frozenset[str]] = frozenset({"data.points"})
    provides: ClassVar[frozenset[str]] = frozenset({"log_prob"})

    components: PositiveInt = Field(8, description="number of Gaussians")
    covariance: Literal["full", "diagonal", "spherical"] = Field(
        "full", description="shape of each Gaussian: any ellipse, one along the axes, or a circle"
    )
    initialization: Literal["k-means", "random"] = Field(
        "k-means",
        description="first means: centres of clusters, or random points of the data; at first all "
        "Gaussians are round, of equal size and share",
    )
    scale_floor: PositiveFloat = Field(
        1e-3,
        description="lower bound of each standard deviation, in units of the data; without one a "
        "Gaussian could shrink to a point",
    )

    def build(self, context: BuildContext) -> nn.Module:
        """The mixture, around the origin until `initialize` is called."""
        _check_shapes(context)
        from .networks import Mixture

        return Mixture(
            components=self.components,
            dimension=context.sample_shape[0],
            covariance=self.covariance,
            scale_floor=self.scale_floor,
            latent_distribution=context.latent_distribution,
        )

    def initialize(self, network: nn.Module, context: BuildContext) -> None:
        """Set means and scale from the training points. Raises `UserError` for too few points."""
        from .networks import Mixture
        from .start import START, training_points

        assert isinstance(network, Mixture)
        points = training_points(context.data, self.components)
        network.start(*START[self.initialization](points, self.components))


class LikelihoodLoss(LossSpec):
    """The generator minimises -E log p_G(x), the negative log-likelihood of real samples.

    In nats per sample. It is KL(data || G) plus the entropy of the data, which does not depend on
    the generator: Goodfellow 2016 (arXiv:1701.00160), section 2.1. Where the density p of the
    data is known, the statistic `KL(data||G)` is E [log p(x) - log p_G(x)]. It is an estimate
    from one batch and may be negative, unlike its expectation.
    """

    type: ClassVar[str] = "likelihood"
    needs: ClassVar[frozenset[str]] = frozenset({"generator.log_prob", "data"})
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains=frozenset({"generator"}))}
    terms: ClassVar[Mapping[str, str]] = {
        "joint/negative log-likelihood": "-E log p_G(x), in nats per sample",
        "joint/KL(data||G)": "E [log p(x) - log p_G(x)], where p is known: near 0 at the end",
    }

    def build(self, context: BuildContext) -> Loss:
        """The loss, with the density of the data where it is known."""
        from .losses import Likelihood

        return Likelihood(context.data.density)


def _check_shapes(context: BuildContext) -> None:
    """Raise `UserError` unless samples are points and z has one value more than a point."""
    shape = context.sample_shape
    if len(shape) != 1:
        raise UserError(
            f"'mixture' makes points `(D,)`, but the data are of shape {shape}",
            hint="generator.type = 'mlp' makes images; data.type = 'ring' has points",
        )
    wanted = shape[0] + 1
    if context.latent_dim != wanted:
        raise UserError(
            f"'mixture' needs latent.dim = {wanted} for points of {shape[0]} "
            f"value{'s' * (shape[0] != 1)}, not {context.latent_dim}",
            hint="the first value of z chooses the component, the others are the noise around its "
            "mean",
        )


@hookimpl
def ganzoo_generators() -> Sequence[type[GeneratorSpec]]:
    """The generator."""
    return [MixtureGenerator]


@hookimpl
def ganzoo_losses() -> Sequence[type[LossSpec]]:
    """The loss."""
    return [LikelihoodLoss]
