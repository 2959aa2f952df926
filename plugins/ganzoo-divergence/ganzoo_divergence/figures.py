"""Divergences between the data's density p and another, q, and the value of a discriminator.

All by quadrature over a `Line` of M nodes, in nats, float64. A density is given by its logarithm
`(..., M)`, a discriminator by its logits `(M,)`; figures are `(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .line import Law, Line

Figure = Callable[..., Tensor]


def kullback_leibler(line: Line, log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL(a || b), the integral of a (log a - log b); infinite where b is 0 and a is not."""
    a = log_a.exp()
    return line.integral(torch.where(a == 0, 0.0, a * (log_a - log_b)))


def jensen_shannon(line: Line, log_q: Tensor) -> Tensor:
    """KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2: between 0 and log 2."""
    log_m = torch.logaddexp(line.log_p, log_q) - math.log(2)
    forward = kullback_leibler(line, line.log_p, log_m)
    return (forward + kullback_leibler(line, log_q, log_m)) / 2


def total_variation(line: Line, log_q: Tensor) -> Tensor:
    """Half the integral of |p - q|: between 0 and 1."""
    return line.integral((line.p - log_q.exp()).abs()) / 2


def value(line: Line, log_q: Tensor, logits: Tensor) -> Tensor:
    """V = E_p log D + E_q log(1 - D) for D = sigmoid(logits).

    Goodfellow et al. 2014 (arXiv:1406.2661), equation 1. At most 2 JS - 2 log 2 (theorem 1).
    """
    return -line.integral(line.p * softplus(-logits) + log_q.exp() * softplus(logits))


def optimal_discriminator(line: Line, log_q: Tensor) -> Tensor:
    """p / (p + q), `(..., M)`: proposition 1 of the same paper. 1/2 where both densities are 0."""
    return (line.log_p - log_q).nan_to_num(nan=0.0).sigmoid()


def discriminator_gap(line: Line, log_q: Tensor, logits: Tensor) -> Tensor:
    """Mean distance of D and the optimal discriminator under (p + q) / 2: between 0 and 1."""
    gap = (logits.sigmoid() - optimal_discriminator(line, log_q)).abs()
    return line.integral((line.p + log_q.exp()) / 2 * gap)


def jackknife(figure: Figure, *laws: Law) -> tuple[float, float]:
    """A figure of one or more laws, without the bias of few samples, and its standard error.

    `figure` takes the logarithms of the laws' densities. With its values f of all samples and
    f_b of all but block b of B, it is B f - (B - 1) mean f_b, from which a bias that falls as
    1 / n is gone, and the error is the root of (B - 1) mean (f_b - mean f_b)^2: Efron and
    Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11. Known laws have the figure
    itself and no error.
    """
    whole = float(figure(*(law.log_q for law in laws)))
    parts = figure(*(law.log_parts for law in laws))
    count = len(parts)
    if not count:
        return whole, 0.0
    mean = float(parts.mean())
    error = math.sqrt((count - 1) * float((parts - mean).square().mean()))
    return count * whole - (count - 1) * mean, error


def divergences(line: Line, law: Law) -> dict[str, float]:
    """`kl(P||G)`, `kl(G||P)`, `js` and `tv` of p and a law."""
    figures: Mapping[str, Figure] = {
        "kl(P||G)": lambda log_q: kullback_leibler(line, line.log_p, log_q),
        "kl(G||P)": lambda log_q: kullback_leibler(line, log_q, line.log_p),
        "js": lambda log_q: jensen_shannon(line, log_q),
        "tv": lambda log_q: total_variation(line, log_q),
    }
    return {name: jackknife(figure, law)[0] for name, figure in figures.items()}
