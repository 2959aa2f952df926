"""The mixture against scikit-learn, torch.distributions, quadrature and its own samples."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from ganzoo_mixture.networks import Mixture, normal_quantile
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

COVARIANCES = ("full", "diagonal", "spherical")
DISTRIBUTIONS = ("normal", "uniform")
EVERY_COVARIANCE = pytest.mark.parametrize("covariance", COVARIANCES)
EVERY_DISTRIBUTION = pytest.mark.parametrize("distribution", DISTRIBUTIONS)
DIMENSIONS = pytest.mark.parametrize("D", [1, 2, 4])


def mixture(
    covariance: str = "full", D: int = 2, K: int = 3, distribution: str = "normal", **keys: Any
) -> Mixture:
    """A float64 mixture with parameters of no symmetry."""
    stream = torch.Generator().manual_seed(1)
    network = Mixture(
        components=K,
        dimension=D,
        covariance=covariance,
        scale_floor=0.05,
        latent_distribution=distribution,
        **keys,
    ).double()
    means = 2 * torch.randn(K, D, dtype=torch.float64, generator=stream)
    network.start(means, torch.tensor(0.7, dtype=torch.float64))
    with torch.no_grad():
        for weight in (network.logits, network.log_excess, network.shear):
            if weight is not None:
                weight += 0.5 * torch.randn(weight.shape, dtype=torch.float64, generator=stream)
    return network


def points(D: int, N: int = 50, scale: float = 3.0) -> Tensor:
    stream = torch.Generator().manual_seed(2)
    return scale * torch.randn(N, D, dtype=torch.float64, generator=stream)


def latents(distribution: str, N: int, D: int, dtype: torch.dtype = torch.float64) -> Tensor:
    stream = torch.Generator().manual_seed(3)
    z = torch.empty(N, D + 1, dtype=dtype)
    if distribution == "uniform":
        return z.uniform_(-1, 1, generator=stream)
    return z.normal_(generator=stream)


def components(network: Mixture, x: Tensor) -> Tensor:
    """Log-densities `(N, K)` of the single Gaussians, by torch.distributions."""
    return MultivariateNormal(network.means, network.covariances).log_prob(x[:, None])


class TestDensity:
    @EVERY_COVARIANCE
    @DIMENSIONS
    def test_it_equals_that_of_torch_distributions(self, covariance: str, D: int) -> None:
        network, x = mixture(covariance, D), points(D)
        expected = MixtureSameFamily(
            Categorical(network.shares), MultivariateNormal(network.means, network.covariances)
        ).log_prob(x)
        torch.testing.assert_close(network.log_prob(x), expected)

    @pytest.mark.parametrize(
        ("covariance", "theirs"),
        [("full", "full"), ("diagonal", "diag"), ("spherical", "spherical")],
    )
    @DIMENSIONS
    def test_it_equals_that_of_scikit_learn(self, covariance: str, theirs: str, D: int) -> None:
        from sklearn.mixture import GaussianMixture
        from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

        network, x = mixture(covariance, D), points(D)
        reference = GaussianMixture(len(network.means), covariance_type=theirs)
        variances = network.covariances.detach().diagonal(dim1=1, dim2=2)
        reference.covariances_ = {
            "full": network.covariances.detach(),
            "diag": variances,
            "spherical": variances[:, 0],
        }[theirs].numpy()
        reference.weights_ = network.shares.detach().numpy()
        reference.means_ = network.means.detach().numpy()
        reference.precisions_cholesky_ = _compute_precision_cholesky(reference.covariances_, theirs)
        expected = torch.from_numpy(reference.score_samples(x.numpy()))
        torch.testing.assert_close(network.log_prob(x).detach(), expected)

    @EVERY_COVARIANCE
    def test_it_integrates_to_one_on_the_line(self, covariance: str) -> None:
        x = torch.linspace(-25, 25, 20_001, dtype=torch.float64)
        density = mixture(covariance, D=1).log_prob(x[:, None]).exp()
        assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-9)

    @EVERY_COVARIANCE
    def test_it_integrates_to_one_in_the_plane(self, covariance: str) -> None:
        axis = torch.linspace(-14, 14, 561, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        density = mixture(covariance).log_prob(grid).exp().view(561, 561)
        mass = torch.trapezoid(torch.trapezoid(density, axis), axis)
        assert mass.item() == pytest.approx(1, abs=1e-8)

    @EVERY_COVARIANCE
    @DIMENSIONS
    def test_its_gradients_are_those_of_the_values(self, covariance: str, D: int) -> None:
        network, x = mixture(covariance, D), points(D, N=4).requires_grad_()
        names, weights = zip(*network.named_parameters(), strict=True)

        def log_prob(x: Tensor, *values: Tensor) -> Tensor:
            return _called(network, "log_prob", dict(zip(names, values, strict=True)), x)

        assert torch.autograd.gradcheck(log_prob, (x, *weights))

    def test_far_away_it_stays_finite(self) -> None:
        network = mixture().float()
        x = torch.tensor([[1e6, -1e6], [0, 1e8]], requires_grad=True)
        network.log_prob(x).sum().backward()
        for value in (network.log_prob(x), x.grad, *(w.grad for w in network.parameters())):
            assert value is not None
            assert value.isfinite().all()

    @EVERY_COVARIANCE
    def test_no_scale_falls_below_the_floor(self, covariance: str) -> None:
        network = mixture(covariance)
        with torch.no_grad():
            network.log_excess.fill_(-1e3)
            assert (network.scales == 0.05).all()
            # U has the determinant 1, so the floor bounds the density whatever the shear is.
            highest = network.log_prob(network.means).max().exp()
        assert highest <= 1 / (2 * math.pi * 0.05**2) * (1 + 1e-9)

    @pytest.mark.parametrize("scale", [0.0, 0.04, 0.05, 0.0501])
    def test_a_first_scale_below_the_floor_is_raised_above_it(self, scale: float) -> None:
        network = Mixture(components=2, dimension=1, covariance="full", scale_floor=0.05)
        network.start(torch.zeros(2, 1), torch.tensor(scale))
        torch.testing.assert_close(network.scales, torch.full((2, 1), 0.055))

    def test_the_first_mixture_is_even_and_round(self) -> None:
        network = Mixture(components=3, dimension=2, covariance="full", scale_floor=0.1)
        torch.testing.assert_close(network.covariances, torch.eye(2).expand(3, 2, 2))
        network.start(torch.arange(6.0).view(3, 2), torch.tensor(0.5))
        torch.testing.assert_close(network.shares, torch.full((3,), 1 / 3))
        torch.testing.assert_close(network.covariances, 0.25 * torch.eye(2).expand(3, 2, 2))
        assert torch.equal(network.means, torch.arange(6.0).view(3, 2))

    @pytest.mark.parametrize(
        ("covariance", "D", "count"),
        [
            *[("full", 1, 9), ("diagonal", 1, 9), ("spherical", 1, 9)],
            *[("full", 2, 18), ("diagonal", 2, 15), ("spherical", 2, 12)],
            ("full", 4, 45),
        ],
    )
    def test_numbers_of_parameters(self, covariance: str, D: int, count: int) -> None:
        assert sum(weight.numel() for weight in mixture(covariance, D).parameters()) == count

    def test_covariances_have_the_shape_that_the_key_says(self) -> None:
        full, diagonal, spherical = (mixture(each, D=3).covariances for each in COVARIANCES)
        off = ~torch.eye(3, dtype=torch.bool)
        assert (full[:, off] != 0).all()
        assert (torch.linalg.eigvalsh(full) > 0).all()
        assert (diagonal[:, off] == 0).all()
        assert len(diagonal[0].diagonal().unique()) == 3
        assert torch.equal(spherical, spherical[:, :1, :1] * torch.eye(3, dtype=torch.float64))


def _called(network: Mixture, method: str, values: dict[str, Tensor], x: Tensor) -> Tensor:
    """A method of the network with other parameters."""

    class Call(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = getattr(self.network, method)(x)
            return result

    prefixed = {f"network.{name}": value for name, value in values.items()}
    return torch.func.functional_call(Call(), prefixed, x)


class TestSamples:
    @EVERY_COVARIANCE
    @EVERY_DISTRIBUTION
    @DIMENSIONS
    def test_moments_are_those_of_the_density(
        self, covariance: str, distribution: str, D: int
    ) -> None:
        network = mixture(covariance, D, distribution=distribution)
        N = 200_000
        with torch.no_grad():
            x = network(latents(distribution, N, D))
            shares, means = network.shares, network.means
            mean = shares @ means
            spread = means - mean
            within = (shares[:, None, None] * network.covariances).sum(0)
            covariance_matrix = within + (shares[:, None] * spread).T @ spread
        assert x.shape == (N, D)
        size = covariance_matrix.diagonal().max().item()
        torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=5 * math.sqrt(size / N))
        torch.testing.assert_close(
            x.T.cov().view(D, D), covariance_matrix, rtol=0, atol=10 * size / math.sqrt(N)
        )

    @EVERY_DISTRIBUTION
    def test_each_component_has_its_share_and_its_own_shape(self, distribution: str) -> None:
        """Components so far apart that every sample says where it is from."""
        network = mixture(distribution=distribution)
        N = 100_000
        with torch.no_grad():
            network.means.copy_(torch.tensor([[0.0, 0], [100, 0], [0, 100]]))
            x = network(latents(distribution, N, 2))
            origin = torch.cdist(x, network.means).argmin(1)
            for k, (share, mean, covariance) in enumerate(
                zip(network.shares, network.means, network.covariances, strict=True)
            ):
                own = x[origin == k]
                assert len(own) / N == pytest.approx(share.item(), abs=5 * 0.5 / math.sqrt(N))
                torch.testing.assert_close(own.mean(0), mean, rtol=0, atol=0.1)
                torch.testing.assert_close(own.T.cov(), covariance, rtol=0.05, atol=0.05)

    @EVERY_DISTRIBUTION
    def test_the_first_value_picks_by_the_cumulated_shares(self, distribution: str) -> None:
        network = mixture(distribution=distribution, K=3)
        with torch.no_grad():
            network.logits.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
            network.means.copy_(torch.tensor([[0.0, 0], [1, 1], [2, 2]]))
        probability = torch.tensor([0.0, 0.1, 0.19, 0.21, 0.69, 0.71, 0.99, 1.0]).double()
        z = torch.zeros(8, 3, dtype=torch.float64)
        z[:, 0] = (
            2 * probability - 1 if distribution == "uniform" else Normal(0, 1).icdf(probability)
        )
        picked = network(z)[:, 0]
        assert picked.round().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]

    @EVERY_DISTRIBUTION
    def test_the_noise_is_whitened_back_by_the_density(self, distribution: str) -> None:
        """x = mean + L e, so log N(x) is log N(e; 0, 1) - log det L."""
        network = mixture(distribution=distribution, D=3, K=1)
        z = latents(distribution, 100, 3)
        noise = normal_quantile(z[:, 1:]) if distribution == "uniform" else z[:, 1:]
        expected = Normal(0.0, 1.0).log_prob(noise).sum(1) - network.scales.log().sum()
        torch.testing.assert_close(network.log_prob(network(z)), expected)

    @EVERY_COVARIANCE
    @EVERY_DISTRIBUTION
    def test_the_same_latent_is_the_same_point(self, covariance: str, distribution: str) -> None:
        network, z = (
            mixture(covariance, distribution=distribution).float(),
            latents(distribution, 64, 2, torch.float32),
        )
        x = network(z)
        torch.rand(1)
        assert torch.equal(network(z), x)
        assert torch.equal(network.eval()(z.flip(0)).flip(0), x)
        torch.testing.assert_close(network(z[:1]), x[:1])

    @EVERY_COVARIANCE
    def test_its_gradients_reach_means_and_covariances(self, covariance: str) -> None:
        network, z = mixture(covariance), latents("normal", 12, 2)
        weights = dict(network.named_parameters())
        logits = weights.pop("logits")

        def samples(*values: Tensor) -> Tensor:
            return _called(network, "forward", dict(zip(weights, values, strict=True)), z)

        assert torch.autograd.gradcheck(samples, tuple(weights.values()))
        network(z).square().sum().backward()
        assert logits.grad is None
        assert all(weight.grad.any() for weight in weights.values())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_ends_of_the_uniform_distribution_are_finite(self, dtype: torch.dtype) -> None:
        ends = torch.tensor([[-1.0, -1, 1], [1.0, 1, -1], [0.0, 0, 0]], dtype=dtype)
        x = mixture(distribution="uniform").to(dtype)(ends)
        assert x.isfinite().all()
        quantiles = normal_quantile(ends)
        assert quantiles.abs().max() < (5.6 if dtype == torch.float32 else 8.4)
        torch.testing.assert_close(quantiles, -normal_quantile(-ends))
        u = torch.linspace(-0.99, 0.99, 199, dtype=dtype)
        torch.testing.assert_close(Normal(0.0, 1.0).cdf(normal_quantile(u)), (u + 1) / 2)

    @EVERY_DISTRIBUTION
    def test_extreme_latents_pick_a_component_that_exists(self, distribution: str) -> None:
        extreme = 1.0 if distribution == "uniform" else 40.0
        network = mixture(distribution=distribution).float()
        x = network(torch.tensor([[-extreme, 0, 0], [extreme, 0, 0]]))
        torch.testing.assert_close(x, network.means[[0, -1]])

    @EVERY_DISTRIBUTION
    def test_a_single_component(self, distribution: str) -> None:
        network, z = mixture(distribution=distribution, K=1), latents(distribution, 10, 2)
        assert network(z).shape == (10, 2)
        torch.testing.assert_close(
            network.log_prob(points(2)), components(network, points(2))[:, 0]
        )


class TestAsTheEngineTreatsNetworks:
    @EVERY_COVARIANCE
    def test_state_makes_a_round_trip(self, covariance: str) -> None:
        network, z = mixture(covariance), latents("normal", 9, 2)
        other = Mixture(components=3, dimension=2, covariance=covariance, scale_floor=0.05).double()
        assert not torch.equal(other(z), network(z))
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(z), network(z))
        assert torch.equal(other.log_prob(points(2)), network.log_prob(points(2)))

    @EVERY_COVARIANCE
    def test_a_deep_copy_is_equal_and_independent(self, covariance: str) -> None:
        network, x = mixture(covariance), points(2)
        other = copy.deepcopy(network)
        expected = other.log_prob(x)
        assert torch.equal(network.log_prob(x), expected)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(1)
        assert torch.equal(other.log_prob(x), expected)

    @EVERY_COVARIANCE
    @EVERY_DISTRIBUTION
    def test_autocast_changes_nothing(self, covariance: str, distribution: str) -> None:
        network = mixture(covariance, distribution=distribution).float()
        x, z = points(2).float(), latents(distribution, 50, 2, torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            log_prob, samples = network.log_prob(x), network(z)
        assert log_prob.dtype == samples.dtype == torch.float32
        assert torch.equal(log_prob, network.log_prob(x))
        assert torch.equal(samples, network(z))

    def test_points_of_half_precision_are_computed_in_full_precision(self) -> None:
        network, x = mixture().float(), points(2).bfloat16()
        torch.testing.assert_close(network.log_prob(x), network.log_prob(x.float()))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_a_gpu_gives_the_same(self) -> None:
        for covariance, distribution in itertools.product(COVARIANCES, DISTRIBUTIONS):
            network = mixture(covariance, distribution=distribution).float()
            x, z = points(2).float(), latents(distribution, 50, 2, torch.float32)
            expected = network.log_prob(x), network(z)
            network.cuda()
            torch.testing.assert_close(network.log_prob(x.cuda()).cpu(), expected[0])
            torch.testing.assert_close(network(z.cuda()).cpu(), expected[1])
