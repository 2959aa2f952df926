"""A generator that computes maxima of the discriminator instead of having learned them.

Shapes: N samples of `sample_shape`, `(C, H, W)` or `(D,)`; P solutions in the pool.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo.engine import Samples, Stream, evaluating, to_unit

from .ascent import climb

CHUNK = 1000
"""Solutions that go through D at once."""
UNKNOWN = 10.0
"""Half the side of the box of points until it is set from the data."""


def chosen_samples(part: Samples | Stream, count: int) -> Tensor:
    """`count` > 0 samples `(count, *sample_shape)`, images in uint8, in the data set's order.

    A random choice without repetition, from torch's default random stream.
    """
    indices = torch.randperm(len(part))[:count].sort().values
    if isinstance(part, Samples):
        return part.values[indices]
    return torch.stack([part[index][0] for index in indices.tolist()])


class ArgmaxGenerator(nn.Module):
    """z `(N, latent_dim)` to x `(N, *sample_shape)` near local maxima of D, within a box.

    It has no weights, and the discriminator is not a part of it: `state_dict()` holds the pool of
    earlier solutions, the real samples to start from and the box of points. A call in training
    mode changes the pool; one in evaluation mode changes nothing and draws no random numbers, so
    that the sample is a function of z.
    """

    data: Tensor
    pool: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        *,
        discriminator: nn.Module,
        sample_shape: tuple[int, ...],
        latent_distribution: Literal["normal", "uniform"] = "normal",
        data_size: int = 0,
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
        """Every ascent starts from the pool, or without one (`pool_size` 0) from one of `data_size`
        real samples, or with neither from noise.

        The first solutions of the pool are noise, drawn from torch's default random stream. Real
        samples and the box of points are set later: see `data` and `set_box`.
        """
        super().__init__()
        # A module in a tuple is not registered as a part of this one.
        self._discriminator = (discriminator,)
        self.sample_shape = sample_shape
        self.normal = latent_distribution == "normal"
        self.restarts, self.best_share, self.start_noise = restarts, best_share, start_noise
        self.steps = steps
        self.sampling_steps = steps if sampling_steps is None else sampling_steps
        self.step_size, self.momentum = step_size, momentum
        self.longest_gradient, self.noise = longest_gradient, noise
        images = len(sample_shape) == 3
        high = torch.ones(()) if images else torch.full(sample_shape, UNKNOWN)
        # The box of images is always the same one.
        self.register_buffer("low", -high, persistent=not images)
        self.register_buffer("high", high, persistent=not images)
        kind = torch.uint8 if images else torch.float32
        self.register_buffer("data", torch.zeros(data_size, *sample_shape, dtype=kind))
        self.register_buffer("pool", torch.empty(pool_size, *sample_shape))
        self._fill_pool()

    def set_box(self, low: Tensor, high: Tensor) -> None:
        """Set the corners of the box of points, both `(D,)`, and fill the pool with noise in it."""
        self.low.copy_(low)
        self.high.copy_(high)
        self._fill_pool()

    def _fill_pool(self) -> None:
        # Drawn on the CPU, so that the pool is the same on every device.
        noise = torch.rand(self.pool.shape)
        self.pool.copy_(torch.lerp(self.low.cpu(), self.high.cpu(), noise))

    def forward(self, z: Tensor) -> Tensor:
        """Climb from starts computed from z; in training solutions go into the pool."""
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
        """Starts `(N, ...)`, and the slots of the pool for the first min(N, P) solutions.

        Those start from the solutions in their slots, which are all different, except for a share
        of restarts from noise.
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
        """Starts `(N, ...)` that depend on z alone; z chooses solutions where there is a pool."""
        if not len(self.pool):
            return self._fresh(z)
        best = self._best()
        return self.pool[best[self._chosen(z, len(best))]] + self._shift(z)

    def _fresh(self, z: Tensor) -> Tensor:
        """Starts `(N, ...)` without a pool: real samples chosen and moved by z, or noise from z."""
        if not len(self.data):
            return self._noise(z)
        return to_unit(self.data[self._chosen(z, len(self.data))]) + self._shift(z)

    def _chosen(self, z: Tensor, count: int) -> Tensor:
        """Indices `(N,)` below `count`, uniform for random z, from the first value of z."""
        return (self._unit(z[:, 0]) * count).long().clamp(max=count - 1)

    @torch.no_grad()
    def _best(self) -> Tensor:
        """Indices of the solutions with the highest logits, in the pool's order."""
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
        """What is added to solutions and real samples, so that equal ones become different."""
        return self.start_noise * z.view(-1, *self.sample_shape)
