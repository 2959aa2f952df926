"""The core's priors: against known distributions, and through their state."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ganzoo.api import BuildContext, PriorSpec
from ganzoo.builtin.latents import MixturePrior as BuiltMixture
from ganzoo.builtin.priors import LatentPrior, MixturePrior, NormalPrior, ganzoo_priors

CONTEXT = BuildContext(sample_shape=(2,), latent_dim=2)
EVERY_PRIOR = pytest.mark.parametrize("spec", [spec() for spec in ganzoo_priors()], ids=repr)

WEIGHTS = torch.tensor([0.2, 0.3, 0.5])
MEANS = torch.tensor([[-3.0, 0.0], [3.0, 1.0], [0.0, 6.0]])
FACTORS = torch.tensor(
    [[[0.5, 0.0], [0.3, 0.4]], [[1.0, 0.0], [-0.5, 0.2]], [[0.2, 0.0], [0.0, 1.0]]]
)
COVARIANCES = FACTORS @ FACTORS.mT


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def known_mixture() -> BuiltMixture:
    """The mixture of the tables above."""
    prior = BuiltMixture(2, components=3)
    prior.load_state_dict({"weights": WEIGHTS, "means": MEANS, "scale_tril": FACTORS})
    return prior


def codes(count: int) -> Tensor:
    """Codes from the known mixture, whose Gaussians are far apart, by plain arithmetic."""
    noise, which = torch.randn(count, 2, generator=stream(1)), torch.arange(count) % 10
    component = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2, 2])[which]
    return MEANS[component] + torch.einsum("nij,nj->ni", FACTORS[component], noise)


def fitted(spec: PriorSpec, samples: Tensor) -> BuiltMixture:
    torch.manual_seed(0)
    prior = spec.build(CONTEXT)
    prior.fit(samples)
    assert isinstance(prior, BuiltMixture)
    return prior


def covariances(prior: BuiltMixture) -> Tensor:
    return prior.scale_tril @ prior.scale_tril.mT


class TestEveryPrior:
    @EVERY_PRIOR
    def test_latents_are_float32_and_drawn_from_the_stream_alone(self, spec: PriorSpec) -> None:
        prior = spec.build(CONTEXT)
        prior.fit(codes(200))
        torch.manual_seed(0)
        before = torch.get_rng_state()
        first, again, other = (prior.sample(50, stream(seed)) for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), before)
        assert first.shape == (50, 2)
        assert first.dtype == torch.float32
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @EVERY_PRIOR
    def test_the_state_is_all_that_was_fitted(self, spec: PriorSpec) -> None:
        prior, other = spec.build(CONTEXT), spec.build(CONTEXT)
        prior.fit(codes(200))
        other.load_state_dict(prior.state_dict())
        assert torch.equal(prior.sample(100, stream()), other.sample(100, stream()))
        for value in prior.state_dict().values():
            assert value.dtype == torch.float32

    def test_which_are_fitted(self) -> None:
        assert {spec.type: spec.fitted for spec in ganzoo_priors()} == {
            "latent": False,
            "normal": True,
            "mixture": True,
        }


class TestLatent:
    def test_normal(self) -> None:
        z = LatentPrior().build(CONTEXT).sample(40_000, stream())
        assert z.mean().item() == pytest.approx(0, abs=0.02)
        torch.testing.assert_close(z.T.cov(), torch.eye(2), rtol=0, atol=0.03)
        assert z.pow(4).mean().item() == pytest.approx(3, abs=0.15)

    def test_uniform(self) -> None:
        context = BuildContext(sample_shape=(2,), latent_dim=2, latent_distribution="uniform")
        z = LatentPrior().build(context).sample(40_000, stream())
        assert -1 <= z.min() < -0.999
        assert 0.999 < z.max() <= 1
        assert z.mean().item() == pytest.approx(0, abs=0.01)
        torch.testing.assert_close(z.T.cov(), torch.eye(2) / 3, rtol=0, atol=0.01)
        assert z.pow(4).mean().item() == pytest.approx(1 / 5, abs=0.01)

    def test_codes_change_nothing(self) -> None:
        prior = LatentPrior().build(CONTEXT)
        before = prior.sample(10, stream())
        prior.fit(codes(100) + 50)
        assert torch.equal(prior.sample(10, stream()), before)
        assert not prior.state_dict()  # type: ignore[attr-defined]


class TestNormal:
    def test_it_has_the_mean_and_the_covariance_of_the_codes(self) -> None:
        samples = codes(500)
        prior = fitted(NormalPrior(), samples)
        assert prior.weights.tolist() == [1]
        torch.testing.assert_close(prior.means[0], samples.mean(0), rtol=1e-5, atol=1e-5)
        expected = samples.T.cov(correction=0)
        torch.testing.assert_close(covariances(prior)[0], expected, rtol=1e-4, atol=1e-5)

    def test_codes_on_a_line_have_a_covariance_that_can_be_factored(self) -> None:
        line = torch.arange(50.0)[:, None] * torch.tensor([1.0, 2.0])
        z = fitted(NormalPrior(), line).sample(1000, stream())
        assert z.isfinite().all()
        torch.testing.assert_close(z[:, 1], 2 * z[:, 0], rtol=0, atol=0.02)


class TestMixture:
    def test_a_known_mixture_is_recovered(self) -> None:
        prior = fitted(MixturePrior(components=3), codes(20_000))
        order = min(
            itertools.permutations(range(3)),
            key=lambda order: (prior.means[list(order)] - MEANS).norm().item(),
        )
        torch.testing.assert_close(prior.weights[list(order)], WEIGHTS, rtol=0, atol=0.01)
        torch.testing.assert_close(prior.means[list(order)], MEANS, rtol=0, atol=0.05)
        torch.testing.assert_close(covariances(prior)[list(order)], COVARIANCES, rtol=0, atol=0.05)

    def test_samples_have_the_shares_and_moments_of_the_mixture(self) -> None:
        z = known_mixture().sample(60_000, stream())
        nearest = torch.cdist(z, MEANS).argmin(1)
        for component in range(3):
            own = z[nearest == component]
            share = len(own) / len(z)
            assert share == pytest.approx(WEIGHTS[component].item(), abs=0.01)
            torch.testing.assert_close(own.mean(0), MEANS[component], rtol=0, atol=0.03)
            torch.testing.assert_close(own.T.cov(), COVARIANCES[component], rtol=0, atol=0.04)

    def test_a_fit_depends_on_nothing_but_the_codes_and_the_default_stream(self) -> None:
        first, second = (fitted(MixturePrior(components=4), codes(300)) for _ in range(2))
        for mine, theirs in zip(
            first.state_dict().values(), second.state_dict().values(), strict=True
        ):
            assert torch.equal(mine, theirs)

    def test_of_fewer_codes_than_gaussians_each_has_one_and_the_rest_no_weight(self) -> None:
        samples = MEANS
        prior = fitted(MixturePrior(components=8), samples)
        assert prior.weights.shape == (8,)
        torch.testing.assert_close(prior.weights[:3], torch.full((3,), 1 / 3))
        assert (prior.weights[3:] == 0).all()
        distances = torch.cdist(prior.sample(500, stream()), samples).amin(1)
        assert distances.max() < 0.01, "as narrow as the smallest covariance of 1e-6 allows"

    def test_codes_that_are_all_the_same_can_be_fitted(self) -> None:
        z = fitted(MixturePrior(components=3), torch.ones(20, 2)).sample(200, stream())
        torch.testing.assert_close(z, torch.ones(200, 2), rtol=0, atol=0.01)

    def test_before_it_is_fitted_it_is_standard_normal(self) -> None:
        z = MixturePrior().build(CONTEXT).sample(40_000, stream())
        torch.testing.assert_close(z.T.cov(), torch.eye(2), rtol=0, atol=0.03)

    def test_the_number_of_gaussians(self) -> None:
        assert MixturePrior().components == 10
        assert len(MixturePrior(components=4).build(CONTEXT).weights) == 4  # type: ignore[attr-defined]
        with pytest.raises(ValidationError, match="components"):
            MixturePrior(components=0)


def test_a_single_code_is_all_there_is() -> None:
    prior = BuiltMixture(3, components=4)
    code = torch.tensor([[1.0, -2.0, 0.5]])
    prior.fit(code)
    latents = prior.sample(20, torch.Generator().manual_seed(0))
    torch.testing.assert_close(latents, code.expand(20, 3), atol=0.01, rtol=0)
