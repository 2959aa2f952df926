"""The two-player game against its closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganzoo.api import BuildContext, Networks
from ganzoo.builtin.adversarial import (
    discriminator_terms,
    minimax_generator_term,
    non_saturating_generator_term,
)
from ganzoo.builtin.losses import MinimaxLoss, NonSaturatingLoss
from ganzoo.engine.step import Batch, Step, View

TERMS = [minimax_generator_term, non_saturating_generator_term]


def test_at_zero_logits_every_part_is_log_2() -> None:
    zeros = torch.zeros(5)
    terms = discriminator_terms(zeros, zeros)
    assert terms["real"].item() == pytest.approx(math.log(2))
    assert terms["fake"].item() == pytest.approx(math.log(2))
    assert minimax_generator_term(zeros).item() == pytest.approx(-math.log(2))
    assert non_saturating_generator_term(zeros).item() == pytest.approx(math.log(2))


def test_terms_are_the_papers_formulas() -> None:
    real, fake = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    D_real, D_fake = real.sigmoid(), fake.sigmoid()
    terms = discriminator_terms(real, fake)
    torch.testing.assert_close(terms["real"], -D_real.log().mean())
    torch.testing.assert_close(terms["fake"], -(1 - D_fake).log().mean())
    torch.testing.assert_close(minimax_generator_term(fake), (1 - D_fake).log().mean())
    torch.testing.assert_close(non_saturating_generator_term(fake), -D_fake.log().mean())


def test_the_optimal_discriminator_reaches_minus_2_log_2_plus_2_js() -> None:
    """V(D*, G) = -2 log 2 + 2 JS(p, q), here for two discrete distributions.

    Goodfellow et al. 2014, equation 6.
    """
    p = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    logits = (p / q).log()  # D* = p / (p + q)
    value = (
        -(p * nn.functional.softplus(-logits)).sum() - (q * nn.functional.softplus(logits)).sum()
    )
    middle = (p + q) / 2
    js = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    torch.testing.assert_close(value, -2 * math.log(2) + 2 * js)
    # The same value, as the loss computes it, from samples in those proportions.
    counts = [(p * 1000).round().long(), (q * 1000).round().long()]
    real, fake = (logits.repeat_interleave(count) for count in counts)
    torch.testing.assert_close(-sum(discriminator_terms(real, fake).values()), value)


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_everything_is_finite_at_huge_logits(size: float) -> None:
    logits = torch.full((3,), size, requires_grad=True)
    terms = [*discriminator_terms(logits, logits).values(), *(term(logits) for term in TERMS)]
    for term in terms:
        (gradient,) = torch.autograd.grad(term, logits)
        assert term.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("term", TERMS)
def test_generator_terms_have_the_right_gradient(term: object) -> None:
    logits = torch.linspace(-6, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(term, (logits,))


def test_discriminator_terms_have_the_right_gradient() -> None:
    logits = [torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *ab: tuple(discriminator_terms(*ab).values()), logits)


def test_where_the_discriminator_is_sure_only_the_non_saturating_gradient_is_large() -> None:
    """d/dl log(1 - D) = -D and d/dl -log D = -(1 - D): at D(G(z)) near 0 they are 0 and -1."""
    logit = torch.tensor([-10.0], requires_grad=True)  # D(G(z)) = 4.5e-5
    gradients = [torch.autograd.grad(term(logit), logit)[0].item() for term in TERMS]
    assert gradients[0] == pytest.approx(-torch.sigmoid(torch.tensor(-10.0)).item(), rel=1e-4)
    assert abs(gradients[0]) < 1e-4
    assert gradients[1] == pytest.approx(-1, abs=1e-4)


SPECS = pytest.mark.parametrize("spec", [MinimaxLoss, NonSaturatingLoss])
CONTEXT = BuildContext(sample_shape=(1,), latent_dim=2)


@SPECS
def test_both_push_the_generator_towards_higher_logits(
    spec: type[MinimaxLoss | NonSaturatingLoss],
) -> None:
    generator = nn.Linear(2, 1)
    networks = Networks({"generator": generator, "discriminator": nn.Flatten(0)})
    batch = Batch(torch.zeros(4, 1), torch.randn(4, 2))
    loss = spec().build(CONTEXT)
    before = generator(batch.z).mean().item()
    terms = loss.compute(Step("generator", networks, batch, trains={"generator"}))
    assert set(terms) == {"loss"}
    terms["loss"].backward()
    with torch.no_grad():
        for weight in generator.parameters():
            weight -= 0.1 * weight.grad
    assert generator(batch.z).mean().item() > before


@SPECS
def test_the_discriminator_judges_packs_by_their_classes_through_the_step(
    spec: type[MinimaxLoss | NonSaturatingLoss],
) -> None:
    """Logits are those of the step, whatever happens to samples on the way to D."""

    class Judge(nn.Module):
        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return x.sum(1) + 10 * labels[::2]

    class Copy(nn.Module):
        def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return z + labels[:, None]

    x, z = torch.randn(2, 4, 1)
    labels, fake_labels = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 0])
    networks = Networks({"generator": Copy(), "discriminator": Judge()})
    view = View(conditional=frozenset(networks), pack=2)
    step = Step("discriminator", networks, Batch(x, z, labels, fake_labels), view=view)
    terms = spec().build(CONTEXT).compute(step)
    real = x.view(2, 2).sum(1) + torch.tensor([0, 10])
    fake = z.view(2, 2).sum(1) + torch.tensor([2, 0]) + torch.tensor([10, 0])
    expected = {
        **discriminator_terms(real, fake),
        "D(x)": real.sigmoid().mean(),
        "D(G(z))": fake.sigmoid().mean(),
    }
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])
