"""f-divergences in their variational form (Nowozin et al. 2016, arXiv:1606.00709).

For a convex f with f(1) = 0 and its conjugate f*(t) = sup_u (u t - f(u)),

    D_f(P || Q) = E_q f(p / q) = sup_T  E_p T(x) - E_q f*(T(x)),   reached at T = f'(p / q).

The logit l of D becomes T by the output activation g_f, which maps the real line into the
domain of f*: T = g_f(l). P is the data, Q the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

KNEE = 20.0
"""Logit beyond which exponentials go on as straight lines."""


def compressed(logits: Tensor) -> Tensor:
    """The logits `(N,)` where they are within +-20, and logarithmic beyond, with no kink.

    exp(compressed(l)) is exp(l) up to e^20 and from there its tangent, so that terms, gradients
    and an optimizer's squares of them stay within float32. Any increasing map of the logits is
    a choice of g_f as good as another, so the bound stays a bound.
    """
    excess = (logits.abs() - KNEE).clamp(min=0)
    beyond = logits.sign() * (KNEE + excess.log1p())
    return torch.where(excess > 0, beyond, logits)


@dataclass(frozen=True)
class Divergence:
    """One f-divergence; both functions map logits `(N,)` to `(N,)` and never overflow."""

    activation: Callable[[Tensor], Tensor]
    """g_f(l), the value of T."""
    conjugate: Callable[[Tensor], Tensor]
    """f*(g_f(l)), written so that nothing cancels."""


DIVERGENCES: Mapping[str, Divergence] = {
    # f(u) = u log u, f*(t) = exp(t - 1), g_f(l) = l
    "kl": Divergence(compressed, lambda v: (compressed(v) - 1).exp()),
    # f(u) = -log u, f*(t) = -1 - log(-t), g_f(l) = -exp(-l)
    "reverse-kl": Divergence(lambda v: -(-compressed(v)).exp(), lambda v: compressed(v) - 1),
    # f(u) = (u - 1)^2, f*(t) = t^2 / 4 + t, g_f(l) = l
    "pearson-chi2": Divergence(lambda v: v, lambda v: v.square() / 4 + v),
    # f(u) = (sqrt u - 1)^2, f*(t) = t / (1 - t), g_f(l) = 1 - exp(-l)
    "squared-hellinger": Divergence(
        lambda v: -(-compressed(v)).expm1(), lambda v: compressed(v).expm1()
    ),
    # f(u) = u log u - (u + 1) log((u + 1) / 2), f*(t) = -log(2 - exp t), g_f = log(2 sigmoid l)
    "jensen-shannon": Divergence(
        lambda v: math.log(2) - softplus(-v), lambda v: softplus(v) - math.log(2)
    ),
    # f(u) = |u - 1| / 2, f*(t) = t on [-1/2, 1/2], g_f(l) = tanh(l) / 2
    "total-variation": Divergence(lambda v: v.tanh() / 2, lambda v: v.tanh() / 2),
}
"""The divergences by the names that recipes write."""


def bound_terms(divergence: Divergence, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """-E g_f(D(x)) and E f*(g_f(D(G(z)))) from logits `(N,)`, which D minimises.

    The statistic `bound` is minus their sum, V: a lower bound of the divergence but for the
    noise of the batch (in nats for `kl`, `reverse-kl` and `jensen-shannon`).
    """
    real_term = -divergence.activation(real).mean()
    fake_term = divergence.conjugate(fake).mean()
    return {"real": real_term, "fake": fake_term, "bound": -(real_term + fake_term).detach()}


def saturating_term(divergence: Divergence, fake: Tensor) -> Tensor:
    """-E f*(g_f(D(G(z)))) from logits `(N,)`: the part of V that G moves."""
    return -divergence.conjugate(fake).mean()


def non_saturating_term(divergence: Divergence, fake: Tensor) -> Tensor:
    """-E g_f(D(G(z))) from logits `(N,)`."""
    return -divergence.activation(fake).mean()
