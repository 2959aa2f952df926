"""Looks at a generator and a discriminator on a line while they are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ganzoo.api import Batch, Networks
from ganzoo.engine import evaluating, seeded

from .figures import discriminator_gap, divergences, jackknife, jensen_shannon, value
from .line import Law, Line
from .picture import draw_densities

CHUNK = 20_000


@dataclass(frozen=True)
class Look:
    """The networks at one moment."""

    law: Law
    """p_G."""
    logits: Tensor | None
    """D's logits at the nodes of the line, `(M,)`, or None where D is not looked at."""


class DivergenceProbe:
    """The figures that `ganzoo_divergence.DivergenceProbe` declares, and a picture of them.

    Every look draws the same latents, from a stream fixed by `seed`: of the difference of two
    looks, only the noise that the generator's own change has is left.
    """

    def __init__(
        self,
        line: Line,
        *,
        latent_dim: int,
        latent_distribution: str,
        samples: int,
        seed: int,
        discriminator: bool = True,
    ) -> None:
        self.line = line
        self.latent_dim, self.latent_distribution = latent_dim, latent_distribution
        self.samples, self.seed, self.discriminator = samples, seed, discriminator
        self._look: Callable[[], Look]
        """Looks at the networks as they are."""
        self._before: Look
        """Before the latest group that has a step of G."""
        self._now: Look | None = None
        """The networks as they are, if they were looked at since they moved."""
        self._step: dict[str, float] = {}
        self._seen: Look
        """What the figures are of."""
        self._figures: dict[str, float]

    def before(self, phases: Sequence[str], networks: Networks, batch: Batch) -> None:
        """Look at the networks if G is about to step."""
        self._look = lambda: self._look_at(networks, batch.x.device)
        if "generator" in phases:
            self._before = self._now or self._look()
        self._now = None

    def after(self, phases: Sequence[str], networks: Networks, batch: Batch) -> None:
        """Compare, if G has stepped."""
        if "generator" in phases:
            self._now = self._look()
            self._step = step_figures(self.line, self._before, self._now)

    def compute(self) -> dict[str, float]:
        """The figures of the networks as they are, and those of the iteration's last step of G."""
        self._seen, self._now = self._now or self._look(), None
        look = self._seen
        figures = divergences(self.line, look.law)
        figures["js_noise"] = jackknife(lambda q: jensen_shannon(self.line, q), look.law)[1]
        if look.logits is not None:
            figures |= discriminator_figures(self.line, look.law, look.logits, figures["js"])
        figures |= self._step
        self._step = {}
        self._figures = figures
        return figures

    def draw(self) -> Image.Image:
        """Both densities, D and the optimal D: see `draw_densities`."""
        look = self._seen
        return draw_densities(self.line, look.law.log_q.exp(), look.logits, self._figures)

    def _look_at(self, networks: Networks, device: torch.device) -> Look:
        generator, nodes = networks.generator, self.line.nodes.float()[:, None]
        # Networks that are random also in evaluation mode are the same at every look.
        with seeded(self.seed, "probe", device=device):
            if callable(log_prob := getattr(generator, "log_prob", None)):
                law = Law.known(self.line, outputs(generator, log_prob, nodes, device))
            else:
                points = outputs(generator, generator, self._latents(), device)
                law = Law.of_samples(self.line, points.reshape(-1))
            D: nn.Module | None = networks.discriminator if self.discriminator else None
            return Look(law, None if D is None else outputs(D, D, nodes, device))

    def _latents(self) -> Tensor:
        """The latents of every look, float32 `(samples, latent_dim)`."""
        stream = torch.Generator().manual_seed(self.seed)
        z = torch.empty(self.samples, self.latent_dim)
        if self.latent_distribution == "uniform":
            return z.uniform_(-1, 1, generator=stream)
        return z.normal_(generator=stream)


def discriminator_figures(line: Line, law: Law, logits: Tensor, js: float) -> dict[str, float]:
    """How far D is from p / (p + p_G), and V from its maximum, which follows from `js`."""
    figures = {
        "discriminator_gap": jackknife(lambda q: discriminator_gap(line, q, logits), law)[0],
        "value": jackknife(lambda q: value(line, q, logits), law)[0],
        "optimal_value": 2 * js - 2 * math.log(2),
    }
    return figures | {"value_gap": figures["optimal_value"] - figures["value"]}


def step_figures(line: Line, before: Look, after: Look) -> dict[str, float]:
    """What a step of G did to JS and to V, D being held as it was before; none without D."""
    if before.logits is None:
        return {}
    logits, laws = before.logits, (before.law, after.law)
    js, js_noise = jackknife(
        lambda old, new: jensen_shannon(line, new) - jensen_shannon(line, old), *laws
    )
    change, noise = jackknife(
        lambda old, new: value(line, new, logits) - value(line, old, logits), *laws
    )
    return {
        "step/value": change,
        "step/value_noise": noise,
        "step/js": js,
        "step/js_noise": js_noise,
        "step/raised": float(js > 2 * js_noise and change < -2 * noise),
    }


@torch.no_grad()
def outputs(
    network: nn.Module, function: Callable[[Tensor], Any], inputs: Tensor, device: torch.device
) -> Tensor:
    """What a function of a network in evaluation mode gives for inputs `(N, ...)`.

    In float64 on the CPU. Every part of the network is back in its own mode afterwards.
    """
    with evaluating(network):
        parts = [function(part.to(device)).cpu().double() for part in inputs.split(CHUNK)]
    return torch.cat(parts)
