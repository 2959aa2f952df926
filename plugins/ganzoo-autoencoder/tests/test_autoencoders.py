"""The losses with an encoder: closed forms, what carries a gradient, and the codes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import ElboLoss, MmdLoss, PairedCodesLoss, ReconstructionLoss
from ganzoo_autoencoder.autoencoders import LOG_VARIANCE, bounded, kl_by_dimension
from ganzoo_autoencoder.discrepancy import kernel_widths, squared_mmd
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from ganzoo.api import BuildContext, LossSpec, Networks, UserError
from ganzoo.engine.step import Batch, Step, View
from ganzoo.engine.values import MovingValues
from ganzoo.ramps import Ramp

POINTS = BuildContext(sample_shape=(3,), latent_dim=2)
IMAGES = BuildContext(sample_shape=(1, 4, 4), latent_dim=2)


class Constant(nn.Module):
    """A network with constant outputs."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Any:
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]


def step(encoder: nn.Module, generator: nn.Module, x: Tensor, z: Tensor | None = None) -> Step:
    networks = Networks({"encoder": encoder, "generator": generator})
    z = torch.zeros(len(x), 2) if z is None else z
    batch = Batch(x, z, indices=torch.arange(len(x)))
    return Step("joint", networks, batch, trains=networks)


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_kl_equals_that_of_torch() -> None:
    mean, log_variance = double(6, 2), double(6, 2)
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros(()), torch.ones(()))).mean(0)
    torch.testing.assert_close(kl_by_dimension(mean, log_variance), expected)


def test_kl_gradients() -> None:
    leaves = double(3, 2).requires_grad_(), double(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(kl_by_dimension, leaves)


def test_the_log_variance_is_bounded_and_keeps_a_gradient() -> None:
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
        terms = loss.compute(step(encoder, decoder, x.expand(4, 3)))
        torch.testing.assert_close(terms["loss"], -terms["elbo"])
        return terms["elbo"]

    weight = decoder.weight.detach()
    marginal = MultivariateNormal(
        decoder.bias.detach(), weight @ weight.T + std**2 * torch.eye(3, dtype=torch.float64)
    )
    torch.testing.assert_close(elbo(0), marginal.log_prob(x)[0])
    assert elbo(0.1) < marginal.log_prob(x)[0] - 1e-3


def elbo_terms(context: BuildContext = POINTS, **keys: Any) -> dict[str, float]:
    mean = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    encoder = Constant(mean, torch.zeros(2, 2))
    loss = ElboLoss(likelihood="gaussian", **keys).build(context)
    decoder = Constant(torch.zeros(2, 3, requires_grad=True))
    terms = loss.compute(step(encoder, decoder, torch.ones(2, 3)))
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


@pytest.mark.parametrize(("iteration", "share"), [(0, 0), (1, 0.01), (50, 0.5), (100, 1)])
def test_beta_follows_its_ramp(iteration: int, share: float) -> None:
    values = MovingValues(101, torch.device("cpu"))
    spec = ElboLoss(likelihood="gaussian", beta=Ramp(**{"from": 0.0}, to=3.0))
    loss = spec.build(replace(POINTS, moving=values.of("loss", spec)))
    values.advance(iteration)
    encoder = Constant(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2))
    terms = loss.compute(step(encoder, Constant(torch.zeros(2, 3)), torch.ones(2, 3)))
    paid = float(terms["loss"] - terms["reconstruction"])
    assert paid == pytest.approx(3 * share * KL, abs=1e-5)
    assert list(values.current(iteration)) == ["loss.beta"]


def test_free_bits_are_a_floor_for_each_dimension() -> None:
    terms = elbo_terms(free_bits=0.25)
    assert terms["kl"] == pytest.approx(KL)
    assert terms["loss"] - terms["reconstruction"] == pytest.approx(0.25 + KL)
    terms = elbo_terms(free_bits=2.0)
    assert terms["loss"] - terms["reconstruction"] == pytest.approx(4)


def test_a_dimension_below_its_free_bits_is_not_pushed() -> None:
    mean = torch.tensor([[0.1, 2.0]], requires_grad=True)
    loss = ElboLoss(likelihood="gaussian", free_bits=0.1).build(POINTS)
    one = step(Constant(mean, torch.zeros(1, 2)), Constant(torch.zeros(1, 3)), torch.ones(1, 3))
    loss.compute(one)["loss"].backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == [[0, 2]]


def test_elbo_gradients_through_the_draw() -> None:
    mean, log_variance = double(4, 2).requires_grad_(), double(4, 2).requires_grad_()
    decoder, x = nn.Linear(2, 3).double(), double(4, 3)
    loss = ElboLoss(likelihood="gaussian").build(POINTS)

    def value(mean: Tensor, log_variance: Tensor) -> Tensor:
        torch.manual_seed(1)
        return loss.compute(step(Constant(mean, log_variance), decoder, x))["loss"]

    assert torch.autograd.gradcheck(value, (mean, log_variance))


def test_codes_of_the_elbo_are_draws_of_the_posterior() -> None:
    mean = torch.tensor([1.0, -2.0]).expand(50_000, 2)
    log_variance = torch.tensor([0.0, -2.0]).expand(50_000, 2)
    loss: Any = ElboLoss(likelihood="gaussian").build(POINTS)
    encoder = Constant(mean, log_variance)
    codes = loss.codes(step(encoder, nn.Identity(), torch.zeros(50_000, 3)))
    torch.testing.assert_close(codes.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(codes.var(0), log_variance[0].exp(), atol=0.02, rtol=0)


def test_reconstruction_decodes_the_code() -> None:
    encoder, decoder, x = nn.Linear(3, 2), nn.Linear(2, 3), torch.randn(5, 3)
    loss: Any = ReconstructionLoss().build(POINTS)
    terms = loss.compute(step(encoder, decoder, x))
    expected = (decoder(encoder(x)) - x).square().sum(1).mean()
    assert list(terms) == ["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], expected)
    assert torch.equal(loss.codes(step(encoder, decoder, x)), encoder(x))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_mmd_compares_codes_with_latents(distribution: Any) -> None:
    encoder, decoder = nn.Linear(3, 2), nn.Linear(2, 3)
    x, z = torch.randn(5, 3), torch.randn(5, 2)
    context = BuildContext(sample_shape=(3,), latent_dim=2, latent_distribution=distribution)
    loss: Any = MmdLoss(weight=3.0, distance="l1").build(context)
    terms = loss.compute(step(encoder, decoder, x, z))
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
    assert torch.equal(loss.codes(step(encoder, decoder, x)), encoder(x))


def test_mmd_needs_two_samples() -> None:
    one = step(nn.Linear(3, 2), nn.Linear(2, 3), torch.zeros(1, 3))
    with pytest.raises(UserError, match=r"this batch has one sample") as caught:
        MmdLoss().build(POINTS).compute(one)
    assert caught.value.hint == "train.batch_size must be at least 2 for each process"


@pytest.mark.parametrize(
    ("spec", "context"),
    [
        (ReconstructionLoss(), POINTS),
        (ReconstructionLoss(distance="bernoulli"), IMAGES),
        (ElboLoss(likelihood="gaussian", beta=2.0, free_bits=0.1), POINTS),
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

    encoder, decoder = Encoder(size, 4 if variance else 2), Decoder(2, size)
    loss: Any = spec.build(context)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waits for the device")

    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
            patch.setattr(Tensor, name, refuse)
        x = torch.zeros(6, *context.sample_shape)
        one = step(encoder, decoder, x, torch.randn(6, 2))
        terms = loss.compute(one)
        loss.codes(one)
    sum(term for term in terms.values() if term.requires_grad).backward()
    for network in (encoder, decoder):
        for weight in network.parameters():
            assert weight.grad is not None
            assert weight.grad.isfinite().all()
    assert spec.trains("joint") == {"generator", "encoder"}


class LabelledEncoder(nn.Module):
    """A code of ones times the class."""

    def __init__(self, *, variance: bool) -> None:
        super().__init__()
        self.variance = variance

    def forward(self, x: Tensor, labels: Tensor) -> Any:
        code = labels[:, None].float().expand(-1, 2)
        return (code, torch.full_like(code, -100.0)) if self.variance else code


class LabelledDecoder(nn.Module):
    """The sum of the code, plus ten times the class."""

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return (z.sum(1) + 10 * labels)[:, None].expand(-1, 3)


@pytest.mark.parametrize(
    "spec",
    [ReconstructionLoss(), ElboLoss(likelihood="gaussian"), MmdLoss(), PairedCodesLoss()],
    ids=lambda spec: spec.type,
)
def test_conditional_networks_get_the_classes_of_the_real_samples(spec: LossSpec) -> None:
    labels, fake_labels = torch.tensor([0, 1, 2]), torch.tensor([5, 5, 5])
    encoder = LabelledEncoder(variance=isinstance(spec, ElboLoss))
    networks = Networks({"encoder": encoder, "generator": LabelledDecoder()})
    loss: Any = spec.build(replace(POINTS, training_samples=3))
    if isinstance(spec, PairedCodesLoss):
        loss.table.copy_(labels[:, None].expand(3, 2))
    x = 12.0 * labels[:, None].expand(3, 3)
    one = Step(
        "joint",
        networks,
        Batch(x, torch.zeros(3, 2), labels, fake_labels, torch.arange(3)),
        view=View(conditional=frozenset({"encoder", "generator"})),
    )
    torch.testing.assert_close(
        loss.codes(one), labels[:, None].expand(3, 2).float(), atol=1e-3, rtol=0
    )
    exact = 3 * math.log(0.5 * math.sqrt(2 * math.pi)) if isinstance(spec, ElboLoss) else 0.0
    assert float(loss.compute(one)["reconstruction"]) == pytest.approx(exact, abs=1e-2)
