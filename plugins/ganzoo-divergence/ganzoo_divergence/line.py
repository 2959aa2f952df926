"""Densities on a line: that of the data at evenly spaced nodes, and others, known or estimated.

M is the number of nodes. Everything is float64 on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ganzoo.api import Density, UserError
from ganzoo.engine import Data, Samples

REACH = 5
"""Length of the line, as a multiple of the range of the data."""
NODES_PER_SCALE = 400
MOST_NODES = 2**17
BANDWIDTH = 0.05
"""Width of the kernel of a density estimate, in the data's scale."""
BLOCKS = 10
"""Parts of the samples, each of which is left out once."""
SCALE_POINTS = 10_000
"""Points of the data from which their scale is computed."""


@dataclass(frozen=True)
class Line:
    """Evenly spaced nodes, and the density p of the data at each.

    The data's scale is the smaller of their standard deviation and 1 / sqrt(E (d log p / dx)^2),
    the root of the inverse Fisher information of a shift: for a Gaussian its standard deviation,
    for Gaussians far apart that of each.
    """

    nodes: Tensor
    """`(M,)`, 400 to a scale unless that is more than 2^17."""
    log_p: Tensor
    """`(M,)`, in nats."""
    bandwidth: float
    """Standard deviation of the kernel of an estimate: a twentieth of the data's scale."""
    view: tuple[float, float]
    """Ends of the part that pictures show."""

    @classmethod
    def over(cls, data: Data) -> Line:
        """The line around the training points `(M, 1)` of `data`, whose density is known.

        Raises `UserError` where all points are one, where the density does not integrate to 1
        and where it is too fine for the number of nodes.
        """
        density, points = cast(Density, data.density), training_points(data)
        low, high = points.min().item(), points.max().item()
        if not high > low:
            raise UserError(
                f"the training points all lie at {low:.4g}, which is no sample of a density",
                hint="data.samples=50000 is usual",
            )
        middle, half = (low + high) / 2, (high - low) / 2
        scale = scale_of(density, points[torch.linspace(0, len(points) - 1, SCALE_POINTS).long()])
        count = int(min(2 * REACH * half / scale * NODES_PER_SCALE, MOST_NODES))
        nodes = torch.linspace(
            middle - REACH * half, middle + REACH * half, count + 1, dtype=torch.float64
        )
        log_p = density.log_prob(nodes[:, None]).double()
        line = cls(nodes, log_p, BANDWIDTH * scale, (middle - 1.5 * half, middle + 1.5 * half))
        total = float(line.integral(log_p.exp()))
        if not (abs(total - 1) < 0.01 and line.bandwidth > 2 * line.spacing):
            raise UserError(
                f"the data's density integrates to {total:.4g} on the line from "
                f"{nodes[0]:.4g} to {nodes[-1]:.4g}, in {count} steps of {line.spacing:.3g}; its "
                f"finest detail is of {scale:.3g}",
                hint="the integral must be 1, and the finest detail at least 40 steps wide; use a "
                "smaller distance between the modes, or wider modes",
            )
        return line

    @property
    def spacing(self) -> float:
        """Distance between two nodes, in units of the data."""
        return float(self.nodes[1] - self.nodes[0])

    @property
    def p(self) -> Tensor:
        """The density of the data at the nodes, `(M,)`."""
        return self.log_p.exp()

    def integral(self, values: Tensor) -> Tensor:
        """Integrals of functions given at the nodes, `(..., M)` to `(...)`.

        By the trapezoid rule, in which the error of a smooth function that vanishes at both ends
        falls faster than any power of the spacing.
        """
        return values.sum(-1) * self.spacing


def training_points(data: Data) -> Tensor:
    """The values `(M,)` of the training points `(M, 1)`, the first 10,000 of a stream."""
    train = data.train
    if isinstance(train, Samples):
        return train.values.reshape(-1).double().cpu()
    return torch.cat([train[index][0] for index in range(min(len(train), SCALE_POINTS))]).double()


def scale_of(density: Density, points: Tensor) -> float:
    """The scale of the data, as `Line` describes it, from points `(M,)` that follow the density.

    Derivatives are central differences; those that are not finite are left out.
    """
    std = points.std()
    step = 1e-4 * std
    high, low = (density.log_prob((points + shift)[:, None]) for shift in (step, -step))
    slopes = (high - low).double() / (2 * step)
    fisher = slopes[slopes.isfinite()].square().mean()
    return min(float(std), float(fisher.rsqrt()))


@dataclass(frozen=True)
class Distribution:
    """A density q at the nodes of a line, and its estimates without one block of the samples.

    A known density has no blocks. An estimate convolves the n samples with a Gaussian kernel a
    twentieth as wide as the data's scale, and so does not resolve anything finer. One more
    sample, distributed as p, is added to the n, so that log q is finite wherever p is above zero:
    the estimate of KL(P||G) is log n + 1 at most, and too low where the data have mass where no
    sample is.

    With 100,000 samples of p itself the estimate of JS is 0 with a standard error of 1e-5 (10,000:
    1e-4), that of either KL 0 with one of 1e-4 (1e-3), and that of the total variation 0.003
    (0.01) too high; with samples of a Gaussian of 0.8 or of 0.3 times the width of p, JS is 1 %
    too low, of one in the middle of p and 0.024 times as wide, 13 %.
    """

    log_q: Tensor
    """`(M,)`, in nats."""
    log_parts: Tensor
    """`(B, M)`: without each of the B blocks. B is 0 for a known density."""

    @classmethod
    def known(cls, line: Line, log_q: Tensor) -> Distribution:
        """A density given by its logarithm at the nodes, `(M,)`.

        Its mass outside of the line is put on the last node.
        """
        total = line.integral(log_q.exp())
        # The integral exceeds 1 only for a density with details finer than the nodes.
        log_q = log_q - total.clamp(min=1).log()
        if (missing := 1 - total) > 1e-3:
            log_q = log_q.clone()
            log_q[-1] = torch.logaddexp(log_q[-1], (missing / line.spacing).log())
        return cls(log_q, log_q.new_empty(0, len(log_q)))

    @classmethod
    def of_samples(cls, line: Line, samples: Tensor) -> Distribution:
        """The density of points `(N,)`, N >= 10, in blocks of samples that follow each other.

        Samples beyond the line count as lying at its end. Where one is not finite, all densities
        are not a number.
        """
        if not samples.isfinite().all():
            nan = torch.full_like(line.nodes, math.nan)
            return cls(nan, nan.expand(BLOCKS, -1))
        blocks = samples.double().tensor_split(BLOCKS)
        counts = torch.stack([_smoothed(line, _binned(line, block)) for block in blocks])
        sizes = torch.tensor([len(block) for block in blocks], dtype=torch.float64)[:, None]
        total, count = counts.sum(0), len(samples)
        return cls(
            ((total + line.p) / (count + 1)).log(),
            ((total - counts).clamp(min=0).add(line.p) / (count - sizes + 1)).log(),
        )


def _binned(line: Line, samples: Tensor) -> Tensor:
    """Samples `(N,)` as masses at the nodes, `(M,)`: each shared by its two neighbours.

    Sharing makes the masses, and all that is computed from them, continuous in the samples, so
    that a small change of the generator changes them little, if the latents are the same.
    """
    # The kernel must not extend beyond the ends.
    room = 6 * line.bandwidth
    inside = samples.clamp(float(line.nodes[0]) + room, float(line.nodes[-1]) - room)
    places = (inside - line.nodes[0]) / line.spacing
    left = places.long()
    share, count = places - left, len(line.nodes)
    return left.bincount(1 - share, count) + (left + 1).bincount(share, count)


def _smoothed(line: Line, masses: Tensor) -> Tensor:
    """Masses `(M,)` as a density `(M,)` of the same integral, after a Gaussian kernel."""
    frequencies = torch.fft.rfftfreq(len(masses), line.spacing, dtype=torch.float64)
    kernel = (-0.5 * (2 * math.pi * line.bandwidth * frequencies).square()).exp()
    density: Tensor = torch.fft.irfft(torch.fft.rfft(masses) * kernel, len(masses)) / line.spacing
    # Rounding leaves values of about 1e-16 times the largest on either side of zero.
    return density.clamp(min=0)
