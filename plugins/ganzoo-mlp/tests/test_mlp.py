"""Shapes, ranges and options of the perceptrons."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from ganzoo_mlp import MLPDiscriminator, MLPEncoder, MLPGenerator
from ganzoo_mlp.networks import Dropout
from torch import nn

from ganzoo.api import BuildContext

SHAPES = [(1, 8, 8), (3, 5, 7), (2,)]
OPTIONS = [
    {"activation": activation, "normalization": normalization, "dropout": dropout}
    for activation, normalization, dropout in itertools.product(
        ("relu", "leaky-relu", "gelu", "silu", "tanh"), ("none", "batch", "layer"), (0.0, 0.5)
    )
]


def context(shape: tuple[int, ...], *requested: str) -> BuildContext:
    return BuildContext(sample_shape=shape, latent_dim=6, requested=frozenset(requested))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 3])
def test_shapes(shape: tuple[int, ...], count: int) -> None:
    generator = MLPGenerator(hidden=(8, 9)).build(context(shape))
    discriminator = MLPDiscriminator(hidden=(8,)).build(context(shape))
    encoder = MLPEncoder(hidden=()).build(context(shape))
    x = generator(torch.randn(count, 6))
    assert x.shape == (count, *shape)
    assert discriminator(x).shape == (count,)
    assert encoder(x).shape == (count, 6)
    mean, log_variance = MLPEncoder(hidden=(8,)).build(context(shape, "variance"))(x)
    assert mean.shape == log_variance.shape == (count, 6)


def test_images_are_bounded_and_points_are_not() -> None:
    z = 100 * torch.randn(50, 6)
    assert MLPGenerator().build(context((1, 8, 8)))(z).abs().max() <= 1
    assert MLPGenerator().build(context((2,)))(z).abs().max() > 1


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: "-".join(map(str, options.values()))
)
def test_every_option_gives_every_weight_a_gradient(options: dict[str, object]) -> None:
    network = MLPDiscriminator(hidden=(16, 16), **options).build(context((3, 4, 4)))
    network(torch.randn(8, 3, 4, 4)).sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_layers_are_in_the_order_that_the_keys_say() -> None:
    network = MLPGenerator(
        hidden=(8, 9), activation="tanh", dropout=0.1, normalization="batch"
    ).build(context((2,)))
    assert [type(layer) for layer in network.layers] == [
        *[nn.Linear, nn.BatchNorm1d, nn.Tanh, Dropout] * 2,
        nn.Linear,
    ]


@pytest.mark.parametrize("normalization", ["none", "layer"])
def test_a_logit_depends_on_its_own_sample_only(normalization: str) -> None:
    network = MLPDiscriminator(hidden=(16,), normalization=normalization).build(context((2,)))
    x = torch.randn(5, 2)
    torch.testing.assert_close(network(x)[3:], network(x[3:]))


def test_declarations_do_not_import_torch() -> None:
    code = "import sys, ganzoo_mlp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.999999])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(p)
    x = torch.ones(1000, 1001, requires_grad=True)  # not a multiple of four units
    y = dropout(x)
    share = (y == 0).double().mean().item()
    keep = 1 - min(round(p * 2**16), 2**16 - 1) / 2**16
    assert 1 - share == pytest.approx(keep, abs=5 * (keep * (1 - keep) / x.numel()) ** 0.5)
    kept = y[y != 0]
    assert (kept == kept[0]).all()
    torch.testing.assert_close(kept[0].item(), 1 / keep)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()), "the gradient passes where the unit was kept"


def test_dropout_draws_anew_from_torchs_stream_and_rests_in_evaluation() -> None:
    dropout, x = Dropout(0.5), torch.ones(64, 64)
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    columns = (first != 0).float()
    assert (columns[:, 1:] * columns[:, :-1]).mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropout.eval()(x), x)
