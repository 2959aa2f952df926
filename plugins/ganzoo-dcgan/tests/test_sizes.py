"""Sizes of pictures: which are made, by which layers, and which are refused."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
import torch
from ganzoo_dcgan import DCGANDiscriminator, DCGANEncoder, DCGANGenerator
from ganzoo_dcgan.networks import sizes, widths
from torch import nn

import ganzoo
from ganzoo.api import BuildContext, UserError
from ganzoo.engine.parts import Parts

KINDS = {
    "generator": DCGANGenerator,
    "discriminator": DCGANDiscriminator,
    "encoder": DCGANEncoder,
}


def build(kind: str, shape: tuple[int, ...], *requested: str, **keys: Any) -> nn.Module:
    context = BuildContext(sample_shape=shape, latent_dim=6, requested=frozenset(requested))
    return KINDS[kind](**{"base_channels": 4, **keys}).build(context)


SQUARES = [(size, size) for size in (*range(8, 130), 255, 256, 257, 511, 512)]
OTHERS = [(48, 64), (64, 48), (8, 64), (64, 8), (9, 71), (33, 20), (17, 128), (128, 512), (64, 512)]


@pytest.mark.parametrize("size", [*SQUARES, *OTHERS])
def test_every_size_comes_out_exactly(size: tuple[int, int]) -> None:
    shape = (1 + size[0] % 4, *size)
    with torch.device("meta"):
        z, x = torch.empty(2, 6), torch.empty(2, *shape)
        for upsampling in ("transposed", "resize"):
            generator = build("generator", shape, upsampling=upsampling, normalization="none")
            assert generator(z).shape == x.shape
        assert build("discriminator", shape, normalization="none")(x).shape == (2,)
        # The encoder's layers are the discriminator's.
        for part in build("encoder", shape, "variance", normalization="none")(x):
            assert part.shape == (2, 6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (28, 28), (31, 31), (24, 32), (31, 9)])
@pytest.mark.parametrize("count", [1, 3])
def test_shapes_with_values(channels: int, size: tuple[int, int], count: int) -> None:
    shape = (channels, *size)
    x = build("generator", shape)(torch.randn(count, 6))
    assert x.shape == (count, *shape)
    assert build("discriminator", shape)(x).shape == (count,)
    assert build("encoder", shape)(x).shape == (count, 6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((8, 8), [8, 4, 2]),
        ((9, 9), [9, 5, 3]),
        ((28, 28), [28, 14, 7, 4]),
        ((33, 33), [33, 17, 9, 5, 3]),
        ((64, 64), [64, 32, 16, 8, 4]),
        ((128, 128), [128, 64, 32, 16, 8, 4]),
        ((512, 512), [512, 256, 128, 64, 32, 16, 8, 4]),
    ],
)
def test_sides_are_halved_down_to_four_and_at_least_twice(
    size: tuple[int, int], expected: list[int]
) -> None:
    assert sizes(size) == [(side, side) for side in expected]


@pytest.mark.parametrize(
    ("size", "smallest"),
    [
        ((48, 64), (3, 4)),
        ((64, 48), (4, 3)),
        ((178, 218), (3, 4)),
        ((16, 64), (2, 8)),
        ((8, 64), (2, 16)),
        ((512, 64), (16, 2)),
    ],
)
def test_both_sides_are_halved_as_often(size: tuple[int, int], smallest: tuple[int, int]) -> None:
    halved = sizes(size)
    assert halved[-1] == smallest
    for (height, width), half in itertools.pairwise(halved):
        assert half == ((height + 1) // 2, (width + 1) // 2)


def test_widths_double_up_to_their_bound() -> None:
    assert widths((128, 128), 64, 512) == [64, 128, 256, 512, 512]
    assert widths((512, 512), 64, 512) == [64, 128, 256, 512, 512, 512, 512]
    assert widths((128, 128), 64, 64) == [64] * 5


def layers_of(kind: str, side: int, **keys: Any) -> list[object]:
    """All that decides what the layers compute, and the names of their weights."""
    with torch.device("meta"):
        network = build(kind, (3, side, side), **keys)
    geometry = ("kernel_size", "stride", "padding", "output_padding", "size")
    return [
        (name, type(layer).__name__, [getattr(layer, key, None) for key in geometry])
        for name, layer in network.named_modules()
    ] + [(name, tuple(value.shape)) for name, value in network.state_dict().items()]


def test_squares_have_the_layers_that_they_always_had() -> None:
    """Weights of earlier runs fit only these."""
    digest = hashlib.sha256()
    for kind, side in itertools.product(KINDS, range(8, 129)):
        digest.update(repr(layers_of(kind, side)).encode())
    for side in (8, 31, 64):
        digest.update(repr(layers_of("generator", side, upsampling="resize")).encode())
    assert digest.hexdigest()[:16] == "86aa514b6d5f8aa1"


def test_first_weights_of_a_recipe_are_what_they_always_were() -> None:
    """To a rounding: processors differ in their last bits."""
    recipe = ganzoo.load_recipe("digits-dcgan")
    networks = Parts(recipe, torch.device("cpu")).networks
    sums = {name: _sum(networks[name]) for name in ("generator", "discriminator")}
    assert sums == pytest.approx({"generator": -0.4284, "discriminator": 4.3617}, abs=2e-3)


def _sum(network: nn.Module) -> float:
    """Changes with any weight, and with their order."""
    flat = torch.cat([value.flatten().double() for value in network.state_dict().values()])
    return float((flat * torch.arange(len(flat)).sin()).sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2,), r"but the data are of shape \(2,\)\n  = type = 'mlp' takes points"),
        ((3, 8, 65), "but the data's are 8 high and 65 wide\n  = choose such a data.size"),
        ((1, 7, 7), "but the data's are 7 high and 7 wide\n  = choose such a data.size"),
        ((1, 128, 513), "but the data's are 128 high and 513 wide\n  = choose such a data.size"),
    ],
)
def test_other_pictures_are_refused(kind: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match="'dcgan' .* pictures of 8 to 512 pixels.*" + message):
        build(kind, shape)


def test_other_pictures_are_refused_before_anything_is_built() -> None:
    changes = ('data={type="image-folder", path="nowhere", size=[8, 80]}',)
    with pytest.raises(UserError) as raised:
        ganzoo.load_recipe("digits-dcgan", *changes)
    text = str(raised.value)
    assert text.count("at most 8 times the shorter, but the data's are 8 high and 80 wide") == 2
    assert "generator.type: 'dcgan' makes and reads pictures of 8 to 512 pixels a side" in text
    assert "discriminator.type: " in text
