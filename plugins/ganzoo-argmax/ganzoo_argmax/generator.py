"""A generator that climbs the discriminator instead of having learned where its top is.

Shapes: N samples of `sample_shape`, `(C, H, W)` or `(D,)`; P solutions in the pool.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.engine import evaluating, to_unit

from .ascent import climb

CHUNK = 1000
"""Solutions that D judges at once."""


class ArgmaxGenerator(nn.Module):
    """z `(N, latent_dim)` to x `(N, *sample_shape)` near local maxima of D, within a box.

    It has no weights. The discriminator that it climbs is not a part of it: `parameters()` and
    `state_dict()` know only the pool of earlier solutions. A call in training mode changes the
    pool; one in evaluation mode changes nothing and draws nothing, so z decides the sample.
    """

    data: Tensor | None
    pool: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        *,
        discriminator: nn.Module,
        sample_shape: tuple[int, ...],
        low: Tensor,
        high: Tensor,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        data: Tensor | None = None,
        pool_size: int = 0,
        restarts: float = 0.05,
        best_share: float = 1.0,
        start_noise: float = 0.0,
        steps: int = 20,
        sampling_steps: int | None = None,
        step_size: float = 0.1,
        momentum: float = 0.0,
        longest_gradient: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        """`low` and `high`, shaped to broadcast with a sample, are the corners of the box.

        Without a pool (`pool_size` 0) every start is noise, or one of `data` `(M, *sample_shape)`,
        images in uint8. The pool's first solutions are noise, too, drawn from torch's default
        stream.
        """
        super().__init__()
        # In a tuple, a module is not registered as a part of this one.
        self._discriminator = (discriminator,)
        self.sample_shape = sample_shape
        self.normal = latent_distribution == "normal"
        self.restarts, self.best_share, self.start_noise = restarts, best_share, start_noise
        self.steps = steps
        self.sampling_steps = steps if sampling_steps is None else sampling_steps
        self.step_size, self.momentum = step_size, momentum
        self.longest_gradient, self.noise = longest_gradient, noise
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("data", data, persistent=False)
        drawn = torch.rand(pool_size, *sample_shape)
        self.register_buffer("pool", torch.lerp(low, high, drawn))

    def forward(self, z: Tensor) -> Tensor:
        """Climb from starts made of z, in training from the pool's and into it."""
        if self.training:
            starts, slots = self._training_starts(z)
            x = self._climb(starts, self.steps, self.noise)
            self.pool[slots] = x[: len(slots)]
            return x
        return self._climb(self._sampling_starts(z), self.sampling_steps, 0.0)

    def _climb(self, starts: Tensor, steps: int, noise: float) -> Tensor:
        return climb(
            self._discriminator[0],
            starts,
            low=self.low,
            high=self.high,
            steps=steps,
            step_size=self.step_size,
            momentum=self.momentum,
            longest_gradient=self.longest_gradient,
            noise=noise,
        )

    def _training_starts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Starts `(N, ...)` and the pool's places that the first min(N, P) solutions go to.

        Those first ones start from the solutions in these places, all different ones, but for
        a share of restarts from noise.
        """
        starts = self._fresh(z)
        slots = torch.randperm(len(self.pool), device=z.device)[: len(z)]
        if not len(slots):
            return starts, slots
        count = len(slots)
        kept = torch.rand(count, device=z.device) >= self.restarts
        earlier = self.pool[slots] + self._shift(z[:count])
        kept = kept.view(-1, *[1] * len(self.sample_shape))
        starts[:count] = torch.where(kept, earlier, starts[:count])
        return starts, slots

    def _sampling_starts(self, z: Tensor) -> Tensor:
        """Starts `(N, ...)` that depend on z alone: the pool's solution that z chooses, if any."""
        if not len(self.pool):
            return self._fresh(z)
        best = self._best()
        return self.pool[best[self._chosen(z, len(best))]] + self._shift(z)

    def _fresh(self, z: Tensor) -> Tensor:
        """Starts `(N, ...)` without a pool: real samples chosen and moved by z, or noise of z."""
        if self.data is None:
            return self._noise(z)
        return to_unit(self.data[self._chosen(z, len(self.data))]) + self._shift(z)

    def _chosen(self, z: Tensor, count: int) -> Tensor:
        """Places `(N,)` below `count`, chosen evenly by the first value of z."""
        return (self._unit(z[:, 0]) * count).long().clamp(max=count - 1)

    @torch.no_grad()
    def _best(self) -> Tensor:
        """Places of the pool's best share by the logits of D, in the pool's order."""
        count = max(1, round(self.best_share * len(self.pool)))
        if count == len(self.pool):
            return torch.arange(count, device=self.pool.device)
        discriminator = self._discriminator[0]
        with evaluating(discriminator):
            logits = torch.cat([discriminator(part) for part in self.pool.split(CHUNK)])
        return logits.topk(count).indices.sort().values

    def _unit(self, z: Tensor) -> Tensor:
        """Latents as values that are uniform on [0, 1], shaped as z."""
        if self.normal:
            return (1 + torch.erf(z / math.sqrt(2))) / 2
        return (z + 1) / 2

    def _noise(self, z: Tensor) -> Tensor:
        """Latents as points `(N, *sample_shape)` that are uniform in the box."""
        return torch.lerp(self.low, self.high, self._unit(z).view(-1, *self.sample_shape))

    def _shift(self, z: Tensor) -> Tensor:
        """What is added to solutions and real samples, so that equal ones part."""
        return self.start_noise * z.view(-1, *self.sample_shape)
