"""The declarations, the first means and scale, and how the likelihood trains a mixture."""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ganzoo_mixture import LikelihoodLoss, MixtureGenerator
from ganzoo_mixture.start import START, k_means_start, random_start
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import ganzoo
from ganzoo.api import BuildContext, Networks, UserError
from ganzoo.engine import Data, Samples
from ganzoo.engine.step import Batch, Step

COVARIANCES = ("full", "diagonal", "spherical")


def density(D: int = 2) -> MixtureSameFamily:
    """Three Gaussians of unlike shares and shapes."""
    means = torch.tensor([[0.0, 0, 0], [4, 0, 1], [0, 5, -1]])[:, :D]
    factors = torch.tensor(
        [[[1.0, 0, 0], [0.8, 0.5, 0], [0, 0, 1]], [[0.5, 0, 0], [0, 0.5, 0], [0.2, 0, 1]]]
    )[[0, 1, 1], :D, :D]
    return MixtureSameFamily(
        Categorical(torch.tensor([0.5, 0.3, 0.2])), MultivariateNormal(means, scale_tril=factors)
    )


def drawn(count: int = 20_000, D: int = 2) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return density(D).sample((count,))


def build(points: Tensor, **keys: Any) -> Any:
    D = points.shape[1]
    spec, context = MixtureGenerator(**keys), BuildContext(sample_shape=(D,), latent_dim=D + 1)
    network = spec.build(context)
    torch.manual_seed(0)  # random starts of some other seeds end in a local optimum
    spec.initialize(network, replace(context, data=Data(Samples(points))))
    return network


def terms(network: nn.Module, x: Tensor, *, known: bool = True) -> dict[str, Tensor]:
    data = Data(Samples(x), density=density(x.shape[1]) if known else None)
    context = BuildContext(sample_shape=x.shape[1:], latent_dim=1, data=data)
    loss = LikelihoodLoss().build(context)
    batch = Batch(x, torch.zeros(len(x), 1))
    return dict(loss.compute(Step("joint", Networks({"generator": network}), batch)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class TestDeclarations:
    def test_importing_them_costs_neither_torch_nor_scikit_learn(self) -> None:
        code = (
            "import sys, ganzoo_mixture; sys.exit('torch' in sys.modules or 'sklearn' in "
            "sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("spec", [MixtureGenerator, LikelihoodLoss])
    def test_they_explain_themselves(self, spec: Any) -> None:
        assert len(spec.summary()) <= 97
        for key, field in spec.model_fields.items():
            assert field.description, key

    def test_what_is_built_is_what_the_keys_say(self) -> None:
        network = build(drawn(D=3), components=5, covariance="diagonal", scale_floor=0.2)
        assert network.means.shape == (5, 3)
        assert network.log_excess.shape == (5, 3)
        assert network.shear is None
        assert network.scale_floor == 0.2
        assert network.latent_distribution == "normal"

    def test_the_distribution_of_the_latents_is_the_recipes(self) -> None:
        context = BuildContext(sample_shape=(2,), latent_dim=3, latent_distribution="uniform")
        network = MixtureGenerator(initialization="random").build(context)
        assert network.latent_distribution == "uniform"

    def test_images_are_refused(self) -> None:
        with pytest.raises(
            UserError,
            match=r"'mixture' makes points `\(D,\)`, but the data are of shape \(1, 8, 8\)\n"
            r"  = generator.type = 'mlp' makes images",
        ):
            MixtureGenerator().build(BuildContext(sample_shape=(1, 8, 8), latent_dim=65))

    @pytest.mark.parametrize(
        ("D", "latent_dim", "message"),
        [
            (1, 1, "needs latent.dim = 2 for points of 1 value, not 1\n  = the first value of z"),
            (2, 2, "needs latent.dim = 3 for points of 2 values, not 2"),
            (2, 100, "needs latent.dim = 3 for points of 2 values, not 100"),
        ],
    )
    def test_latents_of_another_length_are_refused(
        self, D: int, latent_dim: int, message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            MixtureGenerator().build(BuildContext(sample_shape=(D,), latent_dim=latent_dim))

    def test_more_components_than_points_are_refused(self) -> None:
        message = (
            "generator.components = 8, but the data have only 5 points\n"
            "  = generator.components = 5 is the most"
        )
        with pytest.raises(UserError, match=message):
            build(drawn(5), components=8)
        assert build(drawn(5), components=5).means.shape == (5, 2)

    def test_data_that_are_not_in_memory_are_refused(self) -> None:
        context = BuildContext(sample_shape=(2,), latent_dim=3)
        network = MixtureGenerator().build(context)
        context = replace(context, data=Data(train=[]))  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"starts from points in memory.*\n  = generator.type"):
            MixtureGenerator().initialize(network, context)


class TestStart:
    @pytest.mark.parametrize("name", START)
    def test_a_seed_fixes_it(self, name: str) -> None:
        points = drawn(2000)
        means = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            means.append(START[name](points, 6)[0])
        assert torch.equal(means[0], means[1])
        assert not torch.equal(means[0], means[2])

    def test_random_means_are_points_that_differ(self) -> None:
        points = drawn(50)
        means, scale = random_start(points, 50)
        assert torch.equal(means.sort(0).values, points.sort(0).values)
        expected = ((points - points.mean(0)) ** 2).mean().sqrt()
        torch.testing.assert_close(scale, expected)
        means += 1
        assert torch.equal(points, drawn(50))

    def test_k_means_finds_the_clusters_and_the_distance_to_them(self) -> None:
        centres = torch.tensor([[-10.0, 0], [10, 0], [0, 10], [0, -10]])
        points = centres.repeat(500, 1) + torch.randn(2000, 2) * torch.tensor([0.5, 1.5])
        means, scale = k_means_start(points, 4)
        assert means.dtype == scale.dtype == torch.float32
        distance = torch.cdist(centres, means)
        assert distance.min(1).values.max() < 0.2
        expected = torch.cdist(points, means).min(1).values.square().mean().div(2).sqrt()
        torch.testing.assert_close(scale, expected)

    def test_k_means_starts_nearer_but_not_at_the_optimum(self) -> None:
        x = drawn()
        start = {name: terms(build(x, components=3, initialization=name), x) for name in START}
        divergences = {name: each["KL(data||G)"].item() for name, each in start.items()}
        assert 0.05 < divergences["k-means"] < divergences["random"]

    def test_points_that_are_all_the_same(self) -> None:
        network = build(torch.ones(9, 2), components=1)
        assert network.log_prob(torch.ones(1, 2)).isfinite().all()


class Known(nn.Module):
    """A generator that has only a density."""

    def log_prob(self, x: Tensor) -> Tensor:
        result: Tensor = density(x.shape[1]).log_prob(x)
        return result


class TestLoss:
    def test_the_terms_are_the_likelihood_and_the_divergence(self) -> None:
        x, network = drawn(500), build(drawn(500), components=2)
        values = terms(network, x)
        log_prob = network.log_prob(x)
        torch.testing.assert_close(values["negative log-likelihood"], -log_prob.mean())
        divergence = (density().log_prob(x) - log_prob).mean().detach()
        torch.testing.assert_close(values["KL(data||G)"], divergence)
        assert values["negative log-likelihood"].requires_grad
        assert not values["KL(data||G)"].requires_grad

    def test_the_density_itself_has_no_divergence_and_the_entropy(self) -> None:
        values = terms(Known(), drawn(100_000, D=1))
        assert values["KL(data||G)"].item() == 0
        line = torch.linspace(-20, 30, 50_001)
        log_prob = density(1).log_prob(line[:, None])
        entropy = torch.trapezoid(-log_prob.exp() * log_prob, line)
        assert values["negative log-likelihood"].item() == pytest.approx(entropy.item(), abs=0.02)

    def test_an_unknown_density_has_no_divergence(self) -> None:
        assert set(terms(Known(), drawn(10), known=False)) == {"negative log-likelihood"}

    @pytest.mark.parametrize("covariance", COVARIANCES)
    @pytest.mark.parametrize("initialization", START)
    @pytest.mark.parametrize("D", [1, 2, 3])
    def test_every_value_of_every_parameter_has_a_gradient(
        self, covariance: str, initialization: str, D: int
    ) -> None:
        x = drawn(1000, D)
        network = build(x, components=4, covariance=covariance, initialization=initialization)
        terms(network, x)["negative log-likelihood"].backward()
        for name, weight in network.named_parameters():
            assert weight.grad.isfinite().all(), name
            assert (weight.grad != 0).all(), name

    @pytest.mark.parametrize("initialization", START)
    def test_training_reaches_the_entropy(self, initialization: str) -> None:
        x, held_out = drawn(40_000).split(20_000)
        network = build(x, components=3, initialization=initialization)
        optimizer = torch.optim.Adam(network.parameters(), 3e-2)
        before = terms(network, held_out)["KL(data||G)"].item()
        for step in range(400):
            optimizer.param_groups[0]["lr"] = 3e-2 * (1 - step / 400)
            batch = x[torch.randint(len(x), (512,))]
            optimizer.zero_grad()
            terms(network, batch)["negative log-likelihood"].backward()
            optimizer.step()
        after = terms(network, held_out)["KL(data||G)"].item()
        assert before > 0.05
        assert abs(after) < 0.005
        order = network.shares.argsort(descending=True)
        torch.testing.assert_close(
            network.shares[order], torch.tensor([0.5, 0.3, 0.2]), rtol=0, atol=0.02
        )
        torch.testing.assert_close(
            network.means[order], density().component_distribution.loc, rtol=0, atol=0.1
        )
        torch.testing.assert_close(
            network.covariances[order],
            density().component_distribution.covariance_matrix,
            rtol=0.15,
            atol=0.05,
        )


RECIPE = """
name = "mixture"
latent = { dim = 2 }
data = { type = "gaussian-1d", mean = 4.0, std = 1.25, samples = 5000 }
generator = { type = "mixture", components = 2 }
loss = { type = "likelihood" }
schedule = { type = "joint" }
optimizer = { type = "adam", lr = 3e-2 }
train = { iterations = 100, batch_size = 256 }
ema = { decay = 0.9 }
log = { every = 50 }
checkpoint = { every = 50 }
engine = { device = "cpu" }
"""
GAN = """
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
discriminator = { type = "mlp", hidden = [8] }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE)
    return file


class TestRecipe:
    @pytest.mark.parametrize("distribution", ["normal", "uniform"])
    def test_it_trains_to_the_entropy_of_the_data(
        self, recipe: Path, tmp_path: Path, distribution: str
    ) -> None:
        loaded = ganzoo.load_recipe(recipe, f"latent.distribution={distribution}")
        run = ganzoo.train(loaded, runs=tmp_path / "runs")
        statistics = run.statistics[-1]["statistics"]
        assert set(statistics) == {"joint/negative log-likelihood", "joint/KL(data||G)"}
        entropy = math.log(2 * math.pi * math.e * 1.25**2) / 2
        assert statistics["joint/negative log-likelihood"] == pytest.approx(entropy, abs=0.03)
        assert statistics["joint/KL(data||G)"] == pytest.approx(0, abs=0.005)
        samples = ganzoo.open_run(run.path).sample(4000)
        assert samples.shape == (4000, 1)
        assert samples.mean().item() == pytest.approx(4, abs=0.15)
        assert samples.std().item() == pytest.approx(1.25, abs=0.1)
        assert torch.equal(ganzoo.open_run(run.path).sample(4000), samples)

    def test_a_trained_mixture_is_sampled_without_its_data(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = ganzoo.load_recipe(recipe, "train.iterations=3", "ema.decay=0")
        run = ganzoo.train(loaded, runs=tmp_path / "runs")
        samples = run.sample(500)
        assert (samples - 4).abs().mean() < 2, "the means are those of the data"
        monkeypatch.setattr("ganzoo_data.Gaussian1D.build", None)
        monkeypatch.setattr(
            "ganzoo_mixture.start.k_means_start", lambda *_: pytest.fail("k-means ran again")
        )
        assert torch.equal(ganzoo.open_run(run.path).sample(500), samples)

    @pytest.mark.parametrize("initialization", START)
    def test_a_seed_fixes_the_run(self, recipe: Path, tmp_path: Path, initialization: str) -> None:
        loaded = ganzoo.load_recipe(
            recipe, f"generator.initialization={initialization}", "train.iterations=5"
        )
        runs = [ganzoo.train(loaded, runs=tmp_path / name) for name in ("a", "b")]
        first, second = ((run.path / "generator.safetensors").read_bytes() for run in runs)
        assert first == second

    def test_it_may_be_the_generator_of_a_gan(self, recipe: Path, tmp_path: Path) -> None:
        """The shares have no gradient then, and stay as they are."""
        kept = [
            line for line in RECIPE.splitlines() if line.split(" ")[0] not in tomllib.loads(GAN)
        ]
        recipe.write_text("\n".join(kept) + GAN)
        loaded = ganzoo.load_recipe(recipe, "train.iterations=10", "log.every=10")
        run = ganzoo.train(loaded, runs=tmp_path / "runs")
        assert run.status["state"] == "done"
        from safetensors.torch import load_file

        weights = load_file(run.path / "generator.safetensors")
        assert torch.equal(weights["generator.logits"], torch.zeros(2))

    def test_images_are_refused_before_anything_is_built(self, recipe: Path) -> None:
        with pytest.raises(ganzoo.RecipeError, match="'mixture' needs a dataset with points"):
            ganzoo.load_recipe(recipe, 'data={type = "digits"}')

    def test_a_generator_without_a_density_cannot_be_trained_by_likelihood(
        self, recipe: Path
    ) -> None:
        with pytest.raises(ganzoo.RecipeError, match="'mixture' would do"):
            ganzoo.load_recipe(recipe, 'generator={type = "mlp"}')

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("components", "0"),
            ("covariance", "tied"),
            ("scale_floor", "0"),
            ("initialization", "x"),
        ],
    )
    def test_invalid_values_are_refused(self, recipe: Path, key: str, value: str) -> None:
        with pytest.raises(ganzoo.RecipeError, match=f"generator.{key}"):
            ganzoo.load_recipe(recipe, f"generator.{key}={value}")
