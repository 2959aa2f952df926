"""Shapes, weights, options and training of the convolutional networks."""

from __future__ import annotations

import copy
import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ganzoo_dcgan import DCGANDiscriminator, DCGANEncoder, DCGANGenerator
from ganzoo_dcgan.networks import MinibatchStd
from torch import Tensor, nn

import ganzoo
from ganzoo.api import BuildContext

KINDS = {
    "generator": DCGANGenerator,
    "discriminator": DCGANDiscriminator,
    "encoder": DCGANEncoder,
}
SHARED = {
    "normalization": ("none", "batch", "instance", "group"),
    "spectral_norm": (False, True),
    "activation": ("relu", "leaky-relu", "gelu", "silu"),
    "initialization": ("dcgan", "default"),
}
OWN: dict[str, dict[str, tuple[object, ...]]] = {
    "generator": {"upsampling": ("transposed", "resize")},
    "discriminator": {"dropout": (0.0, 0.3), "minibatch_std": (False, True)},
    "encoder": {},
}


def combinations(kind: str) -> Iterator[dict[str, Any]]:
    keys = {**SHARED, **OWN[kind]}
    for values in itertools.product(*keys.values()):
        yield dict(zip(keys, values, strict=True))


def build(kind: str, shape: tuple[int, ...] = (1, 8, 8), *requested: str, **keys: Any) -> nn.Module:
    context = BuildContext(sample_shape=shape, latent_dim=6, requested=frozenset(requested))
    return KINDS[kind](**{"base_channels": 4, **keys}).build(context)


def feed(kind: str, shape: tuple[int, ...] = (1, 8, 8), count: int = 4) -> Tensor:
    return torch.randn(count, 6) if kind == "generator" else torch.rand(count, *shape) * 2 - 1


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_an_encoder_gives_a_code_or_a_mean_and_a_log_variance() -> None:
    x = feed("encoder", (3, 28, 28))
    code = build("encoder", (3, 28, 28))(x)
    assert isinstance(code, Tensor)
    mean, log_variance = build("encoder", (3, 28, 28), "variance")(x)
    assert mean.shape == log_variance.shape == code.shape == (4, 6)
    assert not torch.equal(mean, log_variance)


def test_the_generator_is_the_papers() -> None:
    context = BuildContext(sample_shape=(3, 64, 64), latent_dim=100)
    network = DCGANGenerator().build(context)
    convolution = nn.ConvTranspose2d
    assert [type(layer) for layer in network.layers] == [
        *[convolution, nn.BatchNorm2d, nn.ReLU] * 4,
        *[convolution, nn.Tanh],
    ]
    found = [(c.weight.shape, c.stride[0], c.padding[0]) for c in convolutions(network)]
    assert found == [
        ((100, 512, 4, 4), 1, 0),
        ((512, 256, 4, 4), 2, 1),
        ((256, 128, 4, 4), 2, 1),
        ((128, 64, 4, 4), 2, 1),
        ((64, 3, 4, 4), 2, 1),
    ]
    assert sum(weight.numel() for weight in network.parameters()) == 3_576_704
    maps: list[tuple[int, ...]] = []
    for layer in convolutions(network):
        layer.register_forward_hook(lambda _, inputs, output: maps.append(tuple(output.shape[1:])))
    network(torch.randn(1, 100))
    assert maps == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]


def test_the_discriminator_is_the_papers() -> None:
    context = BuildContext(sample_shape=(3, 64, 64), latent_dim=100)
    network = DCGANDiscriminator().build(context)
    assert [type(layer) for layer in network.layers] == [
        *[nn.Conv2d, nn.LeakyReLU],
        *[nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3,
        nn.Conv2d,
    ]
    slopes = {layer.negative_slope for layer in network.layers if hasattr(layer, "negative_slope")}
    assert slopes == {0.2}
    found = [(c.weight.shape, c.stride[0], c.padding[0]) for c in convolutions(network)]
    assert found == [
        ((64, 3, 4, 4), 2, 1),
        ((128, 64, 4, 4), 2, 1),
        ((256, 128, 4, 4), 2, 1),
        ((512, 256, 4, 4), 2, 1),
        ((1, 512, 4, 4), 1, 0),
    ]
    assert sum(weight.numel() for weight in network.parameters()) == 2_765_568


def test_resizing_replaces_the_transposed_convolutions_between_sides() -> None:
    layers = build("generator", (3, 28, 28), upsampling="resize").layers
    assert [type(layer) for layer in layers] == [
        nn.ConvTranspose2d,
        *[nn.BatchNorm2d, nn.ReLU, nn.Upsample, nn.Conv2d] * 3,
        nn.Tanh,
    ]
    assert [layer.mode for layer in layers if isinstance(layer, nn.Upsample)] == ["nearest"] * 3


def test_pictures_lie_between_minus_one_and_one() -> None:
    for initialization in ("dcgan", "default"):
        network = build("generator", (3, 9, 9), initialization=initialization)
        for parameter in network.parameters():
            parameter.data *= 50
        x = network(100 * torch.randn(50, 6))
        assert x.abs().max() <= 1
        assert x.min() < -0.9
        assert x.max() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_of_keys_trains_every_weight(kind: str) -> None:
    x = feed(kind)
    for options in combinations(kind):
        network = build(kind, max_channels=8, **options)
        y = network(x)
        (y * torch.randn_like(y)).sum().backward()
        before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        for name, weight in network.named_parameters():
            assert weight.grad is not None, (name, options)
            assert weight.grad.isfinite().all(), (name, options)
            assert weight.grad.any(), (name, options)
        torch.optim.Adam(network.parameters(), 1e-3).step()
        for name, weight in network.named_parameters():
            assert not torch.equal(weight, before[name]), (name, options)
        assert network(x).isfinite().all(), options


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalization", SHARED["normalization"])
def test_only_convolutions_that_nothing_normalises_have_a_bias(
    kind: str, normalization: str
) -> None:
    biases = {c.bias is None for c in convolutions(build(kind, normalization=normalization))}
    assert biases == {normalization != "none"}


@pytest.mark.parametrize("kind", KINDS)
def test_first_weights_are_the_papers(kind: str) -> None:
    network = build(kind, (3, 64, 64), base_channels=32)
    for layer in convolutions(network):
        assert layer.weight.mean().abs() < 0.002
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.07)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    scales = torch.cat([norm.weight for norm in norms])
    assert scales.mean().item() == pytest.approx(1, abs=0.005)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)
    assert not any(norm.bias.any() for norm in norms)
    for layer in convolutions(build(kind, normalization="none")):
        assert not layer.bias.any()


@pytest.mark.parametrize("kind", KINDS)
def test_first_weights_may_be_torchs_own(kind: str) -> None:
    network = build(kind, (3, 64, 64), initialization="default")
    for layer in convolutions(network):
        # Uniform between plus and minus 1 / sqrt(fan in), as torch counts that.
        bound = 1 / math.sqrt(layer.weight[0].numel())
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert all((m.weight == 1).all() for m in network.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_fixes_the_first_weights(kind: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(kind, spectral_norm=True).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalization", SHARED["normalization"])
def test_one_sample_is_a_batch(kind: str, normalization: str) -> None:
    keys = {"minibatch_std": True} if kind == "discriminator" else {}
    network = build(kind, normalization=normalization, **keys)
    y = network(feed(kind, count=1))
    assert y.isfinite().all()
    y.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("normalization", SHARED["normalization"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_logit_depends_on_its_own_sample_only(normalization: str, spectral_norm: bool) -> None:
    network = build("discriminator", normalization=normalization, spectral_norm=spectral_norm)
    x = feed("discriminator", count=6)
    for _ in range(3):
        network(x)
    network.eval()
    torch.testing.assert_close(network(x)[4:], network(x[4:]))
    if not spectral_norm:
        network.train()
        own = torch.allclose(network(x)[4:], network(x[4:]), atol=1e-5)
        assert own == (normalization != "batch")


@pytest.mark.parametrize("kind", KINDS)
def test_spectral_norm_bounds_every_layer(kind: str) -> None:
    network = build(kind, (3, 28, 28), spectral_norm=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(30)
        for _ in range(100):
            network(feed(kind, (3, 28, 28), count=2))
    network.eval()
    for layer in convolutions(network):
        weight = layer.weight
        rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
        norm = torch.linalg.matrix_norm(rows.flatten(1), ord=2).item()
        assert norm == pytest.approx(1, abs=0.02)


def test_a_gradient_penalty_reaches_the_weights() -> None:
    for options in combinations("discriminator"):
        if options["normalization"] == "batch" or options["minibatch_std"]:
            continue
        network = build("discriminator", max_channels=8, **options)
        x = feed("discriminator").requires_grad_()
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        slope.square().sum().backward()
        for layer in convolutions(network):
            layer = layer.parametrizations.weight.original if options["spectral_norm"] else layer
            weight = getattr(layer, "weight", layer)
            assert weight.grad.isfinite().all(), options
            assert weight.grad.any(), options


def test_minibatch_std_is_the_mean_spread_of_the_features() -> None:
    layer = MinibatchStd()
    x = torch.randn(5, 3, 2, 2)
    y = layer(x)
    assert y.shape == (5, 4, 2, 2)
    assert torch.equal(y[:, :3], x)
    expected = x.std(0, correction=0).mean().expand(5, 2, 2)
    torch.testing.assert_close(y[:, 3], expected)
    same = torch.ones(4, 3, 2, 2, requires_grad=True)
    seen = layer(same)[:, 3]
    assert seen.max() < 1e-3
    seen.sum().backward()
    assert same.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spectral_norm", [False, True])
class TestAsTheEngineTreatsNetworks:
    def network(self, kind: str, spectral_norm: bool) -> nn.Module:
        keys = {"minibatch_std": True, "dropout": 0.3} if kind == "discriminator" else {}
        network = build(kind, (3, 9, 9), spectral_norm=spectral_norm, **keys)
        network(feed(kind, (3, 9, 9)))
        return network

    def test_state_dict_makes_a_round_trip(self, kind: str, spectral_norm: bool) -> None:
        network, other = self.network(kind, spectral_norm), self.network(kind, spectral_norm)
        x = feed(kind, (3, 9, 9))
        other.load_state_dict(network.state_dict())
        assert torch.equal(network.eval()(x), other.eval()(x))

    def test_a_deep_copy_is_the_same_and_apart(self, kind: str, spectral_norm: bool) -> None:
        network = self.network(kind, spectral_norm)
        other = copy.deepcopy(network).eval()
        x = feed(kind, (3, 9, 9))
        expected = other(x)
        assert torch.equal(network.eval()(x), expected)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        assert torch.equal(other(x), expected)

    def test_nothing_stays_behind_on_the_cpu(self, kind: str, spectral_norm: bool) -> None:
        network = self.network(kind, spectral_norm).to("meta")
        assert network(feed(kind, (3, 9, 9)).to("meta")).is_meta

    def test_bfloat16_is_near_float32(self, kind: str, spectral_norm: bool) -> None:
        network, x = self.network(kind, spectral_norm), feed(kind, (3, 9, 9))
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
            y.float().square().sum().backward()
            near = network.eval()(x)
        assert y.isfinite().all()
        assert all(weight.grad.isfinite().all() for weight in network.parameters())
        exact = network(x)
        assert (near.float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.01

    def test_channels_last_gives_the_same(self, kind: str, spectral_norm: bool) -> None:
        network, x = self.network(kind, spectral_norm).eval(), feed(kind, (3, 9, 9))
        expected = network(x)
        network.to(memory_format=torch.channels_last)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(network(x), expected)


def test_declarations_do_not_import_torch() -> None:
    code = "import sys, ganzoo_dcgan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


RECIPE = """
name = "digits-dcgan"
latent = { dim = 8 }
data = { type = "digits" }
generator = { type = "dcgan", base_channels = 8 }
discriminator = { type = "dcgan", base_channels = 8 }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 5e-4, betas = [0.5, 0.999] }
train = { iterations = 10, batch_size = 16 }
ema = { decay = 0.9 }
log = { every = 5 }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE)
    return file


@pytest.mark.parametrize("spectral_norm", ["false", "true"])
def test_a_recipe_trains(recipe: Path, tmp_path: Path, spectral_norm: str) -> None:
    loaded = ganzoo.load_recipe(
        recipe,
        f"generator.spectral_norm={spectral_norm}",
        f"discriminator.spectral_norm={spectral_norm}",
    )
    run = ganzoo.train(loaded, runs=tmp_path / "runs")
    samples = ganzoo.open_run(run.path).sample(3)
    assert samples.shape == (3, 1, 8, 8)
    assert samples.isfinite().all()
    assert samples.std() > 0


def test_a_bound_below_the_first_width_is_refused(recipe: Path) -> None:
    with pytest.raises(ganzoo.RecipeError, match="max_channels must be at least base_channels"):
        ganzoo.load_recipe(recipe, "generator.max_channels=4")


def test_points_are_refused_before_anything_is_built(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('"digits"', '"ring"'))
    with pytest.raises(ganzoo.RecipeError, match="images"):
        ganzoo.load_recipe(recipe)
