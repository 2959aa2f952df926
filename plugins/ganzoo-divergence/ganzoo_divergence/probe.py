"""Measures a generator and a discriminator on a line while they are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from ganzoo.api import Step, UserError
from ganzoo.engine import Latent, evaluating, fill_latents, generator_for, seeded

from .divergences import discriminator_gap, divergences, jackknife, jensen_shannon, value
from .line import Distribution, Line
from .picture import draw_densities

CHUNK = 20_000
"""Points that go through a network at once."""


@dataclass(frozen=True)
class Measurement:
    """The networks at one moment."""

    distribution: Distribution
    """p_G."""
    logits: Tensor | None
    """D's logits at the nodes of the line, `(M,)`, or None where D is not measured."""


class DivergenceProbe:
    """The values that `ganzoo_divergence.DivergenceProbe` declares, and a picture of them.

    Every measurement draws the same latents, from a stream fixed by `seed`, so that the
    difference of two measurements has only the noise of the generator's own change.
    """

    def __init__(
        self, line: Line, *, latent: Latent, samples: int, seed: int, discriminator: bool = True
    ) -> None:
        self.line, self.latent = line, latent
        self.samples, self.seed, self.discriminator = samples, seed, discriminator
        self._measure: Callable[[], Measurement]
        """Measures the networks as they are."""
        self._before: Measurement
        """Before the latest group that has a step of G."""
        self._now: Measurement | None = None
        """Of the networks as they are, if they were measured since they changed."""
        self._step: dict[str, float] = {}
        self._last: Measurement
        """The one that the values are of."""
        self._values: dict[str, float]

    def before(self, phases: Sequence[str], step: Step) -> None:
        """Measure the networks if G is about to step."""
        self._measure = lambda: self._measurement(step)
        if "generator" in phases:
            self._before = self._now or self._measure()
        self._now = None

    def after(self, phases: Sequence[str], step: Step) -> None:
        """Compare, if G has stepped."""
        if "generator" in phases:
            self._now = self._measure()
            self._step = step_values(self.line, self._before, self._now)

    def compute(self) -> dict[str, float]:
        """The values of the networks as they are, and those of the iteration's last step of G."""
        last = self._last = self._now or self._measure()
        values = divergences(self.line, last.distribution)
        values["js_noise"] = jackknife(
            lambda log_q: jensen_shannon(self.line, log_q), last.distribution
        )[1]
        if last.logits is not None:
            values |= discriminator_values(self.line, last.distribution, last.logits, values["js"])
        values |= self._step
        self._now, self._step, self._values = None, {}, values
        return values

    def draw(self) -> Image.Image:
        """Both densities, D and the optimal D: see `draw_densities`."""
        density = self._last.distribution.log_q.exp()
        return draw_densities(self.line, density, self._last.logits, self._values)

    def _measurement(self, step: Step) -> Measurement:
        generator, nodes = step.networks.generator, self.line.nodes.float()[:, None]
        device = step.x.device
        if step.fake_labels is not None:
            raise UserError("probe 'divergence' measures generators without classes only")
        # Networks that are random in evaluation mode too get the same noise in every measurement.
        with seeded(self.seed, "probe", device=device):
            if callable(log_prob := getattr(generator, "log_prob", None)):
                log_q = outputs(generator, log_prob, nodes, device)
                distribution = Distribution.known(self.line, log_q)
            else:
                points = outputs(generator, step.generate, self._latents(), device)
                distribution = Distribution.of_samples(self.line, points.reshape(-1))
            D = step.networks.get("discriminator") if self.discriminator else None
            if D is None:
                return Measurement(distribution, None)
            self._check_packing(D, step)
            return Measurement(distribution, outputs(D, step.discriminate, nodes, device))

    def _latents(self) -> Tensor:
        """The latents of every measurement, float32 `(samples, latent_dim)`."""
        z = torch.empty(self.samples, self.latent.dim)
        return fill_latents(self.latent, z, generator_for(self.seed, "latents"))

    @torch.no_grad()
    def _check_packing(self, discriminator: nn.Module, step: Step) -> None:
        """Raise `UserError` where D has one logit for several samples."""
        with evaluating(discriminator):
            if len(step.discriminate(step.x)) == len(step.x):
                return
        raise UserError(
            "probe 'divergence' compares D(x) with p / (p + p_G), but here D judges several "
            "samples together",
            hint="discriminator = false in [[probes]], or discriminator.pack = 1",
        )


def discriminator_values(
    line: Line, distribution: Distribution, logits: Tensor, js: float
) -> dict[str, float]:
    """How far D is from p / (p + p_G), and V from its maximum, which follows from `js`."""

    def gap(log_q: Tensor) -> Tensor:
        return discriminator_gap(line, log_q, logits)

    def game(log_q: Tensor) -> Tensor:
        return value(line, log_q, logits)

    V, optimum = jackknife(game, distribution)[0], 2 * js - 2 * math.log(2)
    return {
        "discriminator_gap": jackknife(gap, distribution)[0],
        "value": V,
        "optimal_value": optimum,
        "value_gap": optimum - V,
    }


def step_values(line: Line, before: Measurement, after: Measurement) -> dict[str, float]:
    """Changes of JS and V in a step of G, with D as it was before; none without D."""
    if before.logits is None:
        return {}
    logits, distributions = before.logits, (before.distribution, after.distribution)
    js, js_noise = jackknife(
        lambda old, new: jensen_shannon(line, new) - jensen_shannon(line, old), *distributions
    )
    change, noise = jackknife(
        lambda old, new: value(line, new, logits) - value(line, old, logits), *distributions
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
    network: nn.Module, function: Callable[[Tensor], Tensor], inputs: Tensor, device: torch.device
) -> Tensor:
    """A function of inputs `(N, ...)`, computed with its network in evaluation mode.

    In float64 on the CPU. Every part of the network is put back into its own mode afterwards.
    """
    with evaluating(network):
        parts = [function(part.to(device)).cpu().double() for part in inputs.split(CHUNK)]
    return torch.cat(parts)
