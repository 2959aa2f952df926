"""The likelihood of held-out samples, against models whose likelihood is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from ganzoo_autoencoder import ElboLoss, LikelihoodMetric
from ganzoo_autoencoder.metrics import CHUNK, importance_bound
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from ganzoo.api import BuildContext, Networks
from ganzoo.engine import Data, Samples
from ganzoo.engine.step import Batch, Step

STD = 0.5
POINTS = BuildContext(sample_shape=(3,), latent_dim=2)
IMAGES = BuildContext(sample_shape=(1, 2, 2), latent_dim=1)


class Posterior(nn.Module):
    """An encoder to a normal whose mean is linear in x, of the same variance for every x."""

    def __init__(self, weight: Tensor, bias: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.log_variance = weight, bias, log_variance

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.flatten(1) @ self.weight + self.bias
        return mean, self.log_variance.expand_as(mean)


class LinearGaussian:
    """x = W z + b with noise of standard deviation STD; the columns of W are at right angles.

    The exact posterior is then a normal with a diagonal covariance.
    """

    def __init__(self) -> None:
        stream = torch.Generator().manual_seed(0)
        self.decoder = nn.Linear(2, 3).requires_grad_(False)
        axes = torch.linalg.qr(torch.randn(3, 2, generator=stream))[0]
        self.decoder.weight.copy_(axes * torch.tensor([1.5, 0.4]))
        self.decoder.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
        weight, bias = self.decoder.weight, self.decoder.bias
        self.variance = 1 / (1 + weight.square().sum(0) / STD**2)
        self.gain = weight * self.variance / STD**2
        covariance = weight @ weight.T + STD**2 * torch.eye(3)
        self.marginal = MultivariateNormal(bias.double(), covariance.double())
        z = torch.randn(600, 2, generator=stream)
        self.x = self.decoder(z) + STD * torch.randn(600, 3, generator=stream)

    def encoder(self, *, shift: float = 0.0, wider: float = 1.0) -> Posterior:
        """The exact posterior, shifted and with its variance multiplied."""
        bias = shift - self.decoder.bias @ self.gain
        return Posterior(self.gain, bias, (wider * self.variance).log())


def make_step(
    encoder: nn.Module, decoder: nn.Module, x: Tensor, labels: Tensor | None = None
) -> Step:
    networks = Networks({"encoder": encoder, "generator": decoder})
    return Step("joint", networks, Batch(x, torch.zeros(len(x), 2), labels))


def measure(
    encoder: nn.Module,
    decoder: nn.Module,
    held_out: Tensor | None,
    *,
    train: Tensor | None = None,
    context: BuildContext = POINTS,
    loss: dict[str, Any] | None = None,
    **keys: Any,
) -> dict[str, float]:
    loss = {"likelihood": "gaussian", "std": STD} if loss is None else loss
    train = torch.zeros(7, 3) if train is None else train
    data = Data(Samples(train), None if held_out is None else Samples(held_out))
    metric = LikelihoodMetric(**keys).build(
        replace(
            context,
            data=data,
            loss=ElboLoss(**loss).build(context),
            step=partial(make_step, encoder.eval(), decoder.eval()),
        )
    )
    metric.update(torch.full((4, 3), 9.0), real=True)
    metric.update(torch.full((4, 3), 9.0), real=False)
    return dict(metric.compute())


@pytest.mark.parametrize("draws", [1, 5, 200])
def test_the_exact_posterior_gives_the_exact_likelihood(draws: int) -> None:
    model = LinearGaussian()
    values = measure(model.encoder(), model.decoder, model.x, samples=600, importance_samples=draws)
    exact = float(model.marginal.log_prob(model.x.double()).mean())
    mean, log_variance = model.encoder()(model.x)
    posterior = Normal(mean.double(), (log_variance / 2).exp().double())
    kl = float(kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean())
    assert values["log-likelihood"] == pytest.approx(exact, abs=1e-4)
    assert values["elbo"] == pytest.approx(exact, abs=1e-4)
    assert values["kl"] == pytest.approx(kl, abs=1e-5)
    assert values["reconstruction"] == pytest.approx(-exact - kl, abs=1e-4)


def test_a_worse_posterior_costs_the_elbo_more_than_the_importance_bound() -> None:
    model = LinearGaussian()
    values = measure(model.encoder(shift=0.4, wider=1.5), model.decoder, model.x, samples=600)
    exact = float(model.marginal.log_prob(model.x.double()).mean())
    # What the ELBO lacks is the divergence from the exact posterior.
    std = model.variance.sqrt()
    gap = kl_divergence(Normal(0.4, 1.5**0.5 * std), Normal(0.0, std)).sum()
    assert gap > 0.5
    assert values["elbo"] == pytest.approx(exact - float(gap), abs=0.02)
    assert values["elbo"] + 0.5 < values["log-likelihood"] < exact + 0.005
    assert values["log-likelihood"] == pytest.approx(exact, abs=0.05)


def test_the_parts_of_the_elbo_are_those_of_a_worse_posterior_too() -> None:
    model = LinearGaussian()
    values = measure(model.encoder(shift=0.4, wider=1.5), model.decoder, model.x, samples=600)
    mean, log_variance = model.encoder(shift=0.4, wider=1.5)(model.x)
    spread = (model.decoder.weight.square() * log_variance[0].exp()).sum()
    squares = (model.x - model.decoder(mean)).square().sum(1).mean() + spread
    constant = 3 * math.log(STD * math.sqrt(2 * math.pi))
    expected = float(squares) / (2 * STD**2) + constant
    assert values["reconstruction"] == pytest.approx(expected, abs=0.02)
    assert values["elbo"] == pytest.approx(-values["reconstruction"] - values["kl"])


def test_more_draws_raise_the_bound() -> None:
    model = LinearGaussian()
    encoder = model.encoder(shift=0.8)
    bounds = [
        measure(encoder, model.decoder, model.x, samples=600, importance_samples=draws)
        for draws in (1, 3, 10, 100)
    ]
    values = [bound["log-likelihood"] for bound in bounds]
    exact = float(model.marginal.log_prob(model.x.double()).mean())
    assert values == sorted(values)
    assert values[0] < values[-1] - 0.5
    assert values[-1] < exact + 0.01
    assert bounds[0]["log-likelihood"] == pytest.approx(bounds[0]["elbo"], abs=1e-9)


def test_the_bound_is_the_log_of_the_mean_weight_where_weights_would_underflow() -> None:
    weights = torch.tensor([[0.1, 0.4], [0.3, 0.4]], dtype=torch.float64)
    bound = importance_bound(weights.log() - 5000)
    expected = torch.tensor([0.2, 0.4], dtype=torch.float64).log() - 5000
    torch.testing.assert_close(bound, expected)


class Pixels(nn.Module):
    """Images `(N, 1, 2, 2)` in (-1, 1) from one latent."""

    def forward(self, z: Tensor) -> Tensor:
        weight, bias = torch.tensor([[1.0, -0.7, 0.4, 0.2]]), torch.tensor([0.2, 0.1, -0.5, 0.6])
        return (z @ weight + bias).tanh().view(-1, 1, 2, 2)


def by_quadrature(p: Tensor) -> Tensor:
    """log of the integral of p(z) exp(E log p(black and white | z)), `(N,)`; p `(N, 4)`."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    pixels = Bernoulli(probs=(1 + Pixels()(z.float()[:, None]).double().view(-1, 1, 4)) / 2)
    white, black = (pixels.log_prob(torch.full((), value)) for value in (1.0, 0.0))
    inner = (p * white + (1 - p) * black).sum(2)
    log_density = Normal(0.0, 1.0).log_prob(z)[:, None]
    return (inner + log_density).logsumexp(0) + math.log(16 / 4000)


VAGUE = Posterior(torch.full((4, 1), 0.1), torch.zeros(1), torch.tensor([-0.2]))
BLACK_AND_WHITE = torch.tensor(list(product([0, 255], repeat=4)), dtype=torch.uint8)
GREY = torch.tensor([[0, 51, 153, 255], [204, 102, 51, 128]], dtype=torch.uint8)


@pytest.mark.parametrize("pixels", [BLACK_AND_WHITE, GREY], ids=["black and white", "grey"])
def test_bernoulli_likelihood_is_that_of_quadrature(pixels: Tensor) -> None:
    exact = by_quadrature(pixels.double() / 255)
    if pixels is BLACK_AND_WHITE:
        assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-4)
    values = measure(
        VAGUE,
        Pixels(),
        pixels.view(-1, 1, 2, 2),
        context=IMAGES,
        loss={"likelihood": "bernoulli"},
        importance_samples=20_000 // len(pixels),
    )
    assert values["log-likelihood"] == pytest.approx(float(exact.mean()), abs=0.01)
    assert values["elbo"] < values["log-likelihood"]


def test_the_value_of_grey_pixels_is_below_that_of_their_draws() -> None:
    grey = GREY.double() / 255
    every = BLACK_AND_WHITE.double() / 255
    chances = (every[None] * grey[:, None] + (1 - every[None]) * (1 - grey[:, None])).prod(2)
    drawn = chances @ by_quadrature(every)
    assert (by_quadrature(grey) < drawn).all()


def test_the_loss_of_training_and_the_metric_share_their_arithmetic() -> None:
    model = LinearGaussian()
    loss: Any = ElboLoss(likelihood="gaussian", std=STD).build(POINTS)
    encoder = model.encoder(shift=0.4)
    x = model.x
    step = make_step(encoder, model.decoder, x)
    torch.manual_seed(3)
    terms = loss.compute(step)
    torch.manual_seed(3)
    likelihood = loss.log_likelihood(step, loss.codes(step))
    assert likelihood.shape == (600,)
    assert terms["reconstruction"] == -likelihood.mean()
    values = measure(encoder, model.decoder, x, samples=600, importance_samples=1)
    assert values["kl"] == pytest.approx(float(terms["kl"]), abs=1e-5)


def test_the_weights_of_training_change_nothing() -> None:
    model = LinearGaussian()
    plain = {"likelihood": "gaussian", "std": STD}
    weighted = {**plain, "beta": 4.0, "free_bits": 0.5}
    values = [
        measure(model.encoder(), model.decoder, model.x, loss=loss) for loss in (plain, weighted)
    ]
    assert values[0] == values[1]


def test_values_repeat_and_leave_the_random_streams_alone() -> None:
    model = LinearGaussian()
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        values.append(measure(model.encoder(shift=0.4), model.decoder, model.x))
        assert torch.equal(torch.get_rng_state(), before)
    assert values[0] == values[1]


class Counted(nn.Module):
    """A network that counts the samples of each call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Any:
        self.sizes.append(len(x))
        assert not torch.is_grad_enabled()
        return self.network(x)


@pytest.mark.parametrize(("samples", "measured"), [(1000, 600), (30, 30)])
def test_few_samples_are_decoded_at_once_and_no_more_than_the_key_says(
    samples: int, measured: int
) -> None:
    model = LinearGaussian()
    encoder, decoder = Counted(model.encoder()), Counted(model.decoder)
    measure(encoder, decoder, model.x, samples=samples, importance_samples=7)
    assert max(decoder.sizes) <= CHUNK
    assert sum(decoder.sizes) == 7 * measured
    assert sum(encoder.sizes) == measured


def test_held_out_samples_are_measured_and_training_ones_where_there_are_none() -> None:
    model = LinearGaussian()
    other = model.x + 5
    networks = model.encoder(), model.decoder
    right = measure(*networks, model.x, train=other)
    assert right == measure(*networks, None, train=model.x)
    assert right["log-likelihood"] > measure(*networks, other)["log-likelihood"] + 10


@pytest.mark.parametrize("log_variance", [-1e3, 1e3])
def test_a_variance_outside_of_the_range_is_bounded_in_training_and_in_the_metric(
    log_variance: float,
) -> None:
    model = LinearGaussian()
    encoder = Posterior(model.gain, torch.zeros(2), torch.full((2,), log_variance))
    values = measure(encoder, model.decoder, model.x, samples=50, importance_samples=2)
    assert all(map(math.isfinite, values.values()))
    loss = ElboLoss(likelihood="gaussian", std=STD).build(POINTS)
    terms = loss.compute(make_step(encoder, model.decoder, model.x))
    assert all(term.isfinite() for term in terms.values())
