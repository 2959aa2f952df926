"""The priors of the core, declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, PositiveInt

from ganzoo.api import BuildContext, Prior, PriorSpec, hookimpl


class LatentPrior(PriorSpec):
    """Latents as in training: drawn from the distribution of [latent]."""

    type: ClassVar[str] = "latent"
    fitted: ClassVar[bool] = False

    def build(self, context: BuildContext) -> Prior:
        from ganzoo.builtin.latents import LatentPrior

        return LatentPrior(context.latent_dim, context.latent_distribution)


class NormalPrior(PriorSpec):
    """One normal distribution with a full covariance, fitted to the codes of real samples."""

    type: ClassVar[str] = "normal"

    def build(self, context: BuildContext) -> Prior:
        from ganzoo.builtin.latents import MixturePrior

        return MixturePrior(context.latent_dim, components=1)


class MixturePrior(PriorSpec):
    """A Gaussian mixture with full covariances, fitted to the codes of real samples.

    By maximum likelihood (EM, from k-means). What an autoencoder's holes cost is seen where its
    samples are drawn from it: Ghosh et al. 2020 (arXiv:1903.12436).
    """

    type: ClassVar[str] = "mixture"

    components: PositiveInt = Field(10, description="Gaussians of the mixture")

    def build(self, context: BuildContext) -> Prior:
        from ganzoo.builtin.latents import MixturePrior

        return MixturePrior(context.latent_dim, components=self.components)


@hookimpl
def ganzoo_priors() -> Sequence[type[PriorSpec]]:
    """The priors of the core."""
    return [LatentPrior, NormalPrior, MixturePrior]
