"""Theory on known densities for ganzoo: divergences and the optimal discriminator on a line.

Only declarations stand here; each `build` imports the file that does the work. p is the known
density of the data, p_G that of the generator, D(x) a probability, V(D, G) = E_p log D(x) +
E_G log(1 - D(x)): Goodfellow et al. 2014 (arXiv:1406.2661), equation 1. All in nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ganzoo.api import (
    BuildContext,
    Metric,
    MetricSpec,
    Probe,
    ProbeSpec,
    UserError,
    hookimpl,
)

GANZOO_API_VERSION = 1


class DivergenceProbe(ProbeSpec):
    """How far p_G is from p, how far D is from p / (p + p_G), and what a step of G changes.

    By quadrature on a line; p_G is exact where the generator has a density, otherwise estimated
    from samples, see `ganzoo_divergence.line.Distribution`. The networks are those in training
    (no moving average, no augmentation), in evaluation mode, after the iteration:

    - `kl(P||G)`, `kl(G||P)`, `js`, `tv`: Kullback-Leibler, Jensen-Shannon, total variation;
      `js_noise` is the standard error of `js`, 0 where p_G is exact;
    - `discriminator_gap`: the mean of |D(x) - p(x) / (p(x) + p_G(x))| under (p + p_G) / 2;
    - `value`: V(D, G); `optimal_value`: 2 js - 2 log 2, its maximum over D (theorem 1 of the
      paper); `value_gap`: how far V is below it;
    - `step/value`, `step/js`: changes of V and JS in the iteration's last step of G, with D as it
      was before the step: what G minimises, and the divergence. The latents are the same before
      and after; `step/value_noise` and `step/js_noise` are standard errors of the changes;
    - `step/raised`: 1 where js rose although V fell, each by more than twice its error; else 0.

    V is what G minimises with the loss `minimax`. Recipes without a discriminator have the first
    five values. Raises `UserError` where samples are no points on a line, the density does not
    integrate to 1, the recipe is conditional, or D packs samples.
    """

    type: ClassVar[str] = "divergence"
    needs: ClassVar[frozenset[str]] = frozenset({"data.density"})

    samples: int = Field(
        100_000, ge=1000, description="samples from which the generator's density is estimated"
    )
    discriminator: bool = Field(
        True,
        description="measure D too; false where its sigmoid is no probability, as with the loss "
        "wasserstein",
    )

    def build(self, context: BuildContext) -> Probe:
        """The probe; the seed of its latents is drawn from torch's default random stream."""
        if tuple(context.sample_shape) != (1,):
            shape = ", ".join(map(str, context.sample_shape))
            raise UserError(
                f"probe 'divergence' measures points on a line, of shape (1,), but the samples are "
                f"of shape ({shape})",
                hint="data.type = 'gaussian-1d' has such points",
            )
        import torch

        from ganzoo.engine import Latent

        from .line import Line
        from .probe import DivergenceProbe

        return DivergenceProbe(
            Line.over(context.data),
            latent=Latent(dim=context.latent_dim, distribution=context.latent_distribution),
            samples=self.samples,
            seed=int(torch.randint(2**62, ())),
            discriminator=self.discriminator,
        )


class Divergence(MetricSpec):
    """How far the generated points are from the known density of data on a line, in nats.

    `kl(P||G)`, `kl(G||P)`, `js` (at most log 2) and `tv` (half the integral of |p - p_G|, at most
    1), by quadrature; the density of the samples is estimated, see
    `ganzoo_divergence.line.Distribution`. The estimates are corrected for the bias of few samples,
    so that values of a perfect generator scatter around 0. Data in two or more dimensions have
    none of the values.
    """

    type: ClassVar[str] = "divergence"
    needs: ClassVar[frozenset[str]] = frozenset({"data.density"})
    better: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {
        "kl(P||G)": "lower",
        "kl(G||P)": "lower",
        "js": "lower",
        "tv": "lower",
    }
    labels: ClassVar[Mapping[str, str]] = {
        "kl(P||G)": "KL(P||G)",
        "kl(G||P)": "KL(G||P)",
        "js": "Jensen-Shannon divergence",
        "tv": "Total variation",
    }

    def build(self, context: BuildContext) -> Metric:
        """Divergences from the density of the built data."""
        from .line import Line
        from .metric import DivergenceMetric

        on_a_line = tuple(context.sample_shape) == (1,)
        return DivergenceMetric(Line.over(context.data) if on_a_line else None)


@hookimpl
def ganzoo_probes() -> Sequence[type[ProbeSpec]]:
    """The probe."""
    return [DivergenceProbe]


@hookimpl
def ganzoo_metrics() -> Sequence[type[MetricSpec]]:
    """The metric."""
    return [Divergence]
