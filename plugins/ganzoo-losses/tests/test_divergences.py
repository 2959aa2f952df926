"""f-divergences: conjugates by search, bounds by quadrature over two known Gaussians.

Everything about f is written here a second time, from its definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ganzoo_losses import FDivergenceLoss
from ganzoo_losses.divergences import DIVERGENCES, KNEE, bound_terms, compressed
from torch import Tensor

from ganzoo.api import BuildContext

Function = Callable[[Tensor], Tensor]

F: dict[str, Function] = {
    "kl": lambda u: torch.special.xlogy(u, u),
    "reverse-kl": lambda u: -u.log(),
    "pearson-chi2": lambda u: (u - 1) ** 2,
    "squared-hellinger": lambda u: (u.sqrt() - 1) ** 2,
    "jensen-shannon": lambda u: torch.special.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(),
    "total-variation": lambda u: (u - 1).abs() / 2,
}
"""f, with f(1) = 0."""

LOGITS: dict[str, Function] = {
    "kl": lambda u: 1 + u.log(),
    "reverse-kl": torch.log,
    "pearson-chi2": lambda u: 2 * (u - 1),
    "squared-hellinger": lambda u: u.log() / 2,
    "jensen-shannon": torch.log,
    "total-variation": lambda u: 1e4 * (u - 1).sign(),
}
"""The logits at which g_f(l) = f'(u)."""

NAMES = pytest.mark.parametrize("name", list(F))

x = torch.linspace(-14, 14, 40_001, dtype=torch.float64)


def density(mean: float, deviation: float) -> Tensor:
    return (-(((x - mean) / deviation) ** 2) / 2).exp() / (deviation * math.sqrt(2 * math.pi))


p, q = density(0.0, 1.0), density(0.7, 1.2)


def integral(values: Tensor) -> float:
    return torch.trapezoid(values, x).item()


def bound(name: str, logits: Tensor) -> float:
    """V(T) for T = g_f(logits at x)."""
    divergence = DIVERGENCES[name]
    return integral(p * divergence.activation(logits)) - integral(q * divergence.conjugate(logits))


def true_divergence(name: str) -> float:
    return integral(q * F[name](p / q))


def test_every_divergence_is_tested() -> None:
    assert list(F) == list(DIVERGENCES) == list(LOGITS)


@NAMES
def test_activations_hit_the_derivative_of_f(name: str) -> None:
    u = torch.tensor([0.05, 0.4, 0.9, 1.3, 4.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F[name](u).sum(), u)
    torch.testing.assert_close(DIVERGENCES[name].activation(LOGITS[name](u)).detach(), slope)


@NAMES
def test_conjugates_are_suprema(name: str) -> None:
    """f*(g_f(l)) = sup_u u g_f(l) - f(u), by search over u."""
    u = torch.cat([torch.tensor([0.0, 1.0]), torch.logspace(-12, 6, 200_001)]).double()
    if name == "reverse-kl":
        u = u[1:]  # f(0) is infinite
    if name == "pearson-chi2":
        u = torch.linspace(-20, 20, 400_001, dtype=torch.float64)  # the paper's f* is for all u
    for logit in torch.linspace(-4, 4, 17, dtype=torch.float64):
        t = DIVERGENCES[name].activation(logit)
        supremum = (u * t - F[name](u)).max()
        torch.testing.assert_close(
            DIVERGENCES[name].conjugate(logit), supremum, rtol=1e-6, atol=1e-6
        )


@NAMES
def test_the_bound_at_its_optimum_is_the_divergence(name: str) -> None:
    assert bound(name, LOGITS[name](p / q)) == pytest.approx(true_divergence(name), abs=1e-9)


def test_the_divergences_are_the_ones_that_their_names_say() -> None:
    """Against closed forms for two Gaussians, and against definitions that do not mention f."""
    m, s = 0.7, 1.2
    assert true_divergence("kl") == pytest.approx(math.log(s) + (1 + m**2) / (2 * s**2) - 0.5)
    assert true_divergence("reverse-kl") == pytest.approx(-math.log(s) + (s**2 + m**2) / 2 - 0.5)
    affinity = math.sqrt(2 * s / (1 + s**2)) * math.exp(-(m**2) / (4 * (1 + s**2)))
    assert true_divergence("squared-hellinger") == pytest.approx(2 - 2 * affinity)
    assert true_divergence("pearson-chi2") == pytest.approx(integral((p - q) ** 2 / q))
    assert true_divergence("total-variation") == pytest.approx(integral((p - q).abs()) / 2)
    middle = (p + q) / 2
    js = integral(p * (p / middle).log() + q * (q / middle).log()) / 2
    assert true_divergence("jensen-shannon") == pytest.approx(2 * js)


@NAMES
@pytest.mark.parametrize("seed", range(5))
def test_any_other_function_gives_a_lower_bound(name: str, seed: int) -> None:
    best, divergence = LOGITS[name](p / q).clamp(-25, 25), true_divergence(name)
    stream = torch.Generator().manual_seed(seed)
    a, b, c, d = torch.randn(4, generator=stream, dtype=torch.float64).tolist()
    detour = a * torch.sin(2 * x + b) + c
    if name == "total-variation":
        detour = detour - 300 * (x.sin() > 0.5)  # tanh is flat where D is sure
    for size in (0.1, 1.0):
        assert bound(name, best + size * detour) < divergence - 1e-6
    assert bound(name, a + b * x + d * x.abs()) < divergence


@NAMES
def test_at_f_prime_of_one_the_bound_is_zero(name: str) -> None:
    """T = f'(1) is the best answer where P = Q, and D_f = 0 then (paper, table 2)."""
    logits = LOGITS[name](torch.ones_like(x))
    assert bound(name, logits) == pytest.approx(0, abs=1e-9)


@NAMES
def test_the_loss_of_a_large_sample_is_minus_the_divergence(name: str) -> None:
    """Through the loss's own terms: x at the quantiles of the two Gaussians."""
    middle = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    real, fake = torch.special.ndtri(middle), 0.7 + 1.2 * torch.special.ndtri(middle)

    def logits(x: Tensor) -> Tensor:
        log_ratio = -(x**2) / 2 + ((x - 0.7) / 1.2) ** 2 / 2 + math.log(1.2)
        return LOGITS[name](log_ratio.exp())

    terms = bound_terms(DIVERGENCES[name], logits(real), logits(fake))
    expected = pytest.approx(true_divergence(name), rel=2e-3)
    assert -(terms["real"] + terms["fake"]).item() == expected
    assert terms["bound"].item() == expected


def test_jensen_shannon_is_the_minimax_value_plus_log_4() -> None:
    real, fake = torch.randn(2, 9, dtype=torch.float64)
    terms = bound_terms(DIVERGENCES["jensen-shannon"], real, fake)
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(terms["bound"], value + math.log(4))


@NAMES
def test_the_two_generators_minimise_what_they_say(name: str) -> None:
    from ganzoo_losses.divergences import non_saturating_term, saturating_term

    divergence, fake = DIVERGENCES[name], torch.linspace(-3, 2, 6, dtype=torch.float64)
    real = torch.zeros_like(fake)
    moved = bound_terms(divergence, real, fake)["bound"] - divergence.activation(real).mean()
    torch.testing.assert_close(saturating_term(divergence, fake), moved)
    torch.testing.assert_close(
        non_saturating_term(divergence, fake), -divergence.activation(fake).mean()
    )
    context = BuildContext(sample_shape=(1,), latent_dim=1)
    for generator, term in (
        ("saturating", saturating_term),
        ("non-saturating", non_saturating_term),
    ):
        spec = FDivergenceLoss(divergence=name, generator=generator)  # type: ignore[arg-type]
        assert spec.build(context).generator_term(fake) == term(divergence, fake)  # type: ignore[attr-defined]


def test_compressed_logits_are_themselves_then_logarithmic() -> None:
    v = torch.tensor([-300.0, -20.0, -3.0, 0.0, 20.0, 20.5, 1e4], dtype=torch.float64)
    expected = torch.tensor(
        [-20 - math.log(281), -20, -3, 0, 20, 20 + math.log(1.5), 20 + math.log(9981)]
    )
    torch.testing.assert_close(compressed(v), expected.double())
    v = torch.linspace(-40, 40, 41, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(
        compressed(v[v > 20]).exp(), math.exp(KNEE) * (1 + v[v > 20] - KNEE), msg="the tangent"
    )
    assert torch.autograd.gradcheck(compressed, (v,))
    (slope,) = torch.autograd.grad(compressed(v).sum(), v)
    assert (slope > 0).all()
    torch.testing.assert_close(compressed(-v), -compressed(v))


@NAMES
def test_beyond_the_knee_the_bound_is_a_bound(name: str) -> None:
    """f*(t) >= u t - f(u) for every u: what makes V a lower bound, at huge logits too."""
    v = torch.tensor([-1e4, -30.0, 30.0, 1e4], dtype=torch.float64)[:, None]
    u = torch.logspace(-8, 8, 1001, dtype=torch.float64)
    t, conjugate = DIVERGENCES[name].activation(v), DIVERGENCES[name].conjugate(v)
    slack = conjugate - (u * t - F[name](u))
    assert (slack >= -1e-9 * (u * t).abs() - 1e-9).all()


@pytest.mark.parametrize(
    ("name", "conjugate"),
    [
        ("kl", lambda t: (t - 1).exp()),
        ("reverse-kl", lambda t: -1 - (-t).log()),
        ("squared-hellinger", lambda t: t / (1 - t)),
    ],
)
def test_beyond_the_knee_both_functions_see_the_same_value(name: str, conjugate: Function) -> None:
    v = torch.tensor([-30.0, -21.0, 21.0, 30.0], dtype=torch.float64)
    divergence = DIVERGENCES[name]
    expected = conjugate(divergence.activation(v))
    torch.testing.assert_close(divergence.conjugate(v), expected, rtol=1e-5, atol=1e-12)
