"""Divergences between the data's density p and another, q, and the value of a discriminator.

All by quadrature over a `Line` of M nodes, in nats, float64. A density is given by its logarithm
`(..., M)`, a discriminator by its logits `(M,)`; results are `(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .line import Distribution, Line

Functional = Callable[..., Tensor]
"""From logarithms of densities, each `(..., M)`, to numbers `(...)`."""


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


def jackknife(functional: Functional, *distributions: Distribution) -> tuple[float, float]:
    """A functional of one or more distributions, corrected for bias, and its standard error.

    With the values f for all samples and f_b without block b of B, the corrected value is
    B f - (B - 1) mean f_b, which has no bias of order 1 / n, and the error is the root of
    (B - 1) mean (f_b - mean f_b)^2: Efron and Tibshirani 1993, "An Introduction to the
    Bootstrap", chapter 11. For known distributions the value is exact and the error 0.
    """
    whole = float(functional(*(each.log_q for each in distributions)))
    parts = functional(*(each.log_parts for each in distributions))
    count = len(parts)
    if not count:
        return whole, 0.0
    mean = float(parts.mean())
    error = math.sqrt((count - 1) * float((parts - mean).square().mean()))
    return count * whole - (count - 1) * mean, error


def divergences(line: Line, distribution: Distribution) -> dict[str, float]:
    """`kl(P||G)`, `kl(G||P)`, `js` and `tv` of p and a distribution."""
    functionals: Mapping[str, Functional] = {
        "kl(P||G)": lambda log_q: kullback_leibler(line, line.log_p, log_q),
        "kl(G||P)": lambda log_q: kullback_leibler(line, log_q, line.log_p),
        "js": lambda log_q: jensen_shannon(line, log_q),
        "tv": lambda log_q: total_variation(line, log_q),
    }
    return {name: jackknife(each, distribution)[0] for name, each in functionals.items()}
