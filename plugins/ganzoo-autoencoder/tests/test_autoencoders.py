"""The losses with an encoder: closed forms, what carries a gradient, and the codes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import ElboLoss, MmdLoss, ReconstructionLoss
from ganzoo_autoencoder.autoencoders import LOG_VARIANCE, bounded, kl_by_dimension
from ganzoo_autoencoder.discrepancy import kernel_widths, squared_mmd
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from ganzoo.api import Batch, BuildContext, LossSpec, Networks, UserError

POINTS = BuildContext(sample_shape=(3,), latent_dim=2)
IMAGES = BuildContext(sample_shape=(1, 4, 4), latent_dim=2)


class Constant(nn.Module):
    """An encoder that returns what it was given to return."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Any:
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]


def networks(encoder: nn.Module, generator: nn.Module) -> Networks:
    return Networks(generator, None, encoder)  # type: ignore[arg-type]


def batch(x: Tensor, z: Tensor | None = None, iteration: int = 0) -> Batch:
    N = len(x)
    z = torch.zeros(N, 2) if z is None else z
    return Batch(x, z, None, torch.arange(N), torch.tensor(float(iteration)))


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_kl_is_that_of_torch() -> None:
    mean, log_variance = double(6, 2), double(6, 2)
    law = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).mean(0)
    torch.testing.assert_close(kl_by_dimension(mean, log_variance), expected)


def test_kl_gradients() -> None:
    leaves = double(3, 2).requires_grad_(), double(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(kl_by_dimension, leaves)


def test_the_log_variance_is_bounded_and_never_stuck() -> None:
    low, high = LOG_VARIANCE
    raw = torch.tensor([-1e3, low, -1.0, 0.0, high, 1e3], requires_grad=True)
    assert bounded(raw).tolist() == pytest.approx([low, low, -1, 0, high, high], abs=1e-3)
    kl = kl_by_dimension(torch.zeros(1, 6), bounded(raw)[None]).sum()
    kl.backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert (raw.grad.sign() == torch.tensor([-1, -1, -1, 0, 1, 1])).all()


def linear_gaussian(std: float) -> tuple[nn.Linear, Tensor, Tensor, Tensor]:
    """A decoder with columns at right angles, an x, and the exact posterior of its z."""
    decoder = nn.Linear(2, 3).double()
    with torch.no_grad():
        axes = torch.linalg.qr(double(3, 2))[0]
        decoder.weight.copy_(axes * torch.tensor([1.5, 0.4]))
    x = double(1, 3)
    weight, bias = decoder.weight.detach(), decoder.bias.detach()
    variance = 1 / (1 + weight.square().sum(0) / std**2)
    mean = variance * ((x - bias) @ weight) / std**2
    return decoder, x, mean, variance.log()[None]


def test_elbo_of_the_exact_posterior_is_the_log_likelihood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    std = 0.3
    decoder, x, mean, log_variance = linear_gaussian(std)
    # Four draws with the mean and covariance of the standard normal integrate a square exactly.
    points = math.sqrt(2) * torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    monkeypatch.setattr(torch, "randn_like", lambda like: points)
    loss = ElboLoss(likelihood="gaussian", std=std).build(POINTS)

    def elbo(shift: float) -> Tensor:
        encoder = Constant((mean + shift).expand(4, 2), log_variance.expand(4, 2))
        terms = loss.compute("joint", networks(encoder, decoder), batch(x.expand(4, 3)))
        torch.testing.assert_close(terms["loss"], -terms["elbo"])
        return terms["elbo"]

    weight = decoder.weight.detach()
    marginal = MultivariateNormal(
        decoder.bias.detach(), weight @ weight.T + std**2 * torch.eye(3, dtype=torch.float64)
    )
    torch.testing.assert_close(elbo(0), marginal.log_prob(x)[0])
    assert elbo(0.1) < marginal.log_prob(x)[0] - 1e-3


def elbo_terms(iteration: int = 0, **keys: Any) -> dict[str, float]:
    mean = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    encoder = Constant(mean, torch.zeros(2, 2))
    loss = ElboLoss(likelihood="gaussian", **keys).build(POINTS)
    decoder = Constant(torch.zeros(2, 3, requires_grad=True))
    terms = loss.compute(
        "joint", networks(encoder, decoder), batch(torch.ones(2, 3), iteration=iteration)
    )
    assert {name for name, term in terms.items() if term.requires_grad} == {"loss"}
    return {name: term.item() for name, term in terms.items()}


KL = 4 / 2 / 2
"""Mean over two samples of half the squared mean; the second dimension alone."""


def test_statistics_are_unweighted_and_beta_weighs() -> None:
    plain, heavy = elbo_terms(), elbo_terms(beta=4.0)
    assert plain["kl"] == heavy["kl"] == pytest.approx(KL)
    assert plain["elbo"] == heavy["elbo"] == pytest.approx(-plain["reconstruction"] - KL)
    assert plain["loss"] == pytest.approx(plain["reconstruction"] + KL)
    assert heavy["loss"] == pytest.approx(plain["reconstruction"] + 4 * KL)


@pytest.mark.parametrize(
    ("iteration", "share"), [(0, 0), (1, 0.01), (50, 0.5), (100, 1), (1000, 1)]
)
def test_beta_rises_to_its_value(iteration: int, share: float) -> None:
    terms = elbo_terms(iteration, beta=3.0, warm_up=100)
    assert terms["loss"] - terms["reconstruction"] == pytest.approx(3 * share * KL, abs=1e-5)


def test_free_bits_are_a_floor_for_each_dimension() -> None:
    terms = elbo_terms(free_bits=0.25)
    assert terms["kl"] == pytest.approx(KL)
    assert terms["loss"] - terms["reconstruction"] == pytest.approx(0.25 + KL)
    terms = elbo_terms(free_bits=2.0)
    assert terms["loss"] - terms["reconstruction"] == pytest.approx(4)


def test_a_dimension_below_its_free_bits_is_not_pushed() -> None:
    mean = torch.tensor([[0.1, 2.0]], requires_grad=True)
    loss = ElboLoss(likelihood="gaussian", free_bits=0.1).build(POINTS)
    nets = networks(Constant(mean, torch.zeros(1, 2)), Constant(torch.zeros(1, 3)))
    loss.compute("joint", nets, batch(torch.ones(1, 3)))["loss"].backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == [[0, 2]]


def test_elbo_gradients_through_the_draw() -> None:
    mean, log_variance = double(4, 2).requires_grad_(), double(4, 2).requires_grad_()
    decoder, x = nn.Linear(2, 3).double(), double(4, 3)
    loss = ElboLoss(likelihood="gaussian").build(POINTS)

    def value(mean: Tensor, log_variance: Tensor) -> Tensor:
        torch.manual_seed(1)
        nets = networks(Constant(mean, log_variance), decoder)
        return loss.compute("joint", nets, batch(x))["loss"]

    assert torch.autograd.gradcheck(value, (mean, log_variance))


def test_codes_of_the_elbo_are_draws_of_the_posterior() -> None:
    mean = torch.tensor([1.0, -2.0]).expand(50_000, 2)
    log_variance = torch.tensor([0.0, -2.0]).expand(50_000, 2)
    loss: Any = ElboLoss(likelihood="gaussian").build(POINTS)
    nets = networks(Constant(mean, log_variance), nn.Identity())
    codes = loss.codes(nets, batch(torch.zeros(50_000, 3)))
    torch.testing.assert_close(codes.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(codes.var(0), log_variance[0].exp(), atol=0.02, rtol=0)


def test_reconstruction_decodes_the_code() -> None:
    encoder, decoder, x = nn.Linear(3, 2), nn.Linear(2, 3), torch.randn(5, 3)
    loss: Any = ReconstructionLoss().build(POINTS)
    nets = networks(encoder, decoder)
    terms = loss.compute("joint", nets, batch(x))
    expected = (decoder(encoder(x)) - x).square().sum(1).mean()
    assert list(terms) == ["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], expected)
    assert torch.equal(loss.codes(nets, batch(x)), encoder(x))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_mmd_compares_codes_with_latents(distribution: Any) -> None:
    encoder, decoder = nn.Linear(3, 2), nn.Linear(2, 3)
    x, z = torch.randn(5, 3), torch.randn(5, 2)
    context = BuildContext(sample_shape=(3,), latent_dim=2, latent_distribution=distribution)
    loss: Any = MmdLoss(weight=3.0, distance="l1").build(context)
    nets = networks(encoder, decoder)
    terms = loss.compute("joint", nets, batch(x, z))
    mmd = squared_mmd(encoder(x), z, kernel_widths(2, distribution))
    torch.testing.assert_close(terms["mmd"], mmd.detach())
    torch.testing.assert_close(
        terms["loss"], (decoder(encoder(x)) - x).abs().sum(1).mean() + 3 * mmd
    )
    torch.testing.assert_close(terms["loss"].detach(), terms["reconstruction"] + 3 * terms["mmd"])
    expected = (decoder(encoder(x)) - x).abs().sum(1).mean() + 3 * mmd
    torch.testing.assert_close(
        torch.autograd.grad(terms["loss"], encoder.weight),
        torch.autograd.grad(expected, encoder.weight),
    )
    assert {name for name, term in terms.items() if term.requires_grad} == {"loss"}
    assert torch.equal(loss.codes(nets, batch(x)), encoder(x))


def test_mmd_needs_two_samples() -> None:
    nets = networks(nn.Linear(3, 2), nn.Linear(2, 3))
    with pytest.raises(UserError, match=r"this batch has one sample") as caught:
        MmdLoss().build(POINTS).compute("joint", nets, batch(torch.zeros(1, 3)))
    assert caught.value.hint == "train.batch_size must be at least 2 for each process"


@pytest.mark.parametrize(
    ("spec", "context"),
    [
        (ReconstructionLoss(), POINTS),
        (ReconstructionLoss(distance="bernoulli"), IMAGES),
        (ElboLoss(likelihood="gaussian", warm_up=10, free_bits=0.1), POINTS),
        (ElboLoss(), IMAGES),
        (MmdLoss(), POINTS),
    ],
    ids=repr,
)
def test_both_networks_get_a_gradient_and_the_host_never_waits(
    spec: LossSpec, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = math.prod(context.sample_shape)
    variance = "encoder.variance" in spec.needs

    class Encoder(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            code = super().forward(x.flatten(1))
            return code.chunk(2, 1) if variance else code

    class Decoder(nn.Linear):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z).tanh().view(-1, *context.sample_shape)

    nets = networks(Encoder(size, 4 if variance else 2), Decoder(2, size))
    loss: Any = spec.build(context)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waits for the device")

    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
            patch.setattr(Tensor, name, refuse)
        one = batch(torch.zeros(6, *context.sample_shape), torch.randn(6, 2))
        terms = loss.compute("joint", nets, one)
        loss.codes(nets, one)
    sum(term for term in terms.values() if term.requires_grad).backward()
    for network in (nets.encoder, nets.generator):
        for weight in network.parameters():
            assert weight.grad is not None
            assert weight.grad.isfinite().all()
    assert spec.trains("joint") == {"generator", "encoder"}
