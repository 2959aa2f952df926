"""Maximum likelihood, for every generator that knows its density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor

from ganzoo.api import Density, Step


class Likelihood:
    """The negative log-likelihood of the batch, and its distance from the lowest one possible.

    `density` is that of the data, or None where it is not known.
    """

    def __init__(self, density: Density | None) -> None:
        self.density = density

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Minimised: `negative log-likelihood`; statistic: `KL(data||G)`. Both in nats."""
        density = cast(Density, step.networks.generator)
        log_prob = density.log_prob(step.x)
        terms = {"negative log-likelihood": -log_prob.mean()}
        if self.density is not None:
            terms["KL(data||G)"] = (self.density.log_prob(step.x) - log_prob.detach()).mean()
        return terms
