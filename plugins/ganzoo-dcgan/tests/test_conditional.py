"""Convolutional networks that are conditioned on classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganzoo_dcgan import DCGANDiscriminator, DCGANEncoder, DCGANGenerator
from torch import Tensor, nn

from ganzoo.api import BuildContext

KINDS = {
    "generator": DCGANGenerator,
    "discriminator": DCGANDiscriminator,
    "encoder": DCGANEncoder,
}
LABELS = torch.tensor([0, 4, 2, 2, 1, 3, 0])


def build(
    kind: str, *requested: str, size: int = 8, conditional: bool = True, **keys: Any
) -> nn.Module:
    context = BuildContext(
        sample_shape=(2, size, size),
        latent_dim=6,
        num_classes=5,
        conditional=conditional,
        requested=frozenset(requested),
    )
    torch.manual_seed(0)
    return KINDS[kind](**{"base_channels": 4, **keys}).build(context)


def inputs(kind: str, size: int = 8, count: int = 7) -> Tensor:
    return torch.randn(count, 6) if kind == "generator" else torch.randn(count, 2, size, size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [8, 9, 28])
@pytest.mark.parametrize("initialization", ["dcgan", "default"])
def test_every_class_gives_another_output_of_the_same_shape(
    kind: str, size: int, initialization: str
) -> None:
    network = build(kind, size=size, initialization=initialization).eval()
    x = inputs(kind, size, 1)
    outputs = [network(x, torch.tensor([label])) for label in range(5)]
    shape = {"generator": (1, 2, size, size), "discriminator": (1,), "encoder": (1, 6)}[kind]
    assert {output.shape for output in outputs} == {shape}
    assert len({tuple(output.flatten().tolist()) for output in outputs}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_have_classes_of_their_own(kind: str) -> None:
    network, x = build(kind, initialization="default").eval(), inputs(kind)
    together = network(x, LABELS)
    for row, label in enumerate(LABELS):
        alone = network(x[row : row + 1], label[None])
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_every_weight_has_a_gradient(kind: str, spectral_norm: bool, normalization: str) -> None:
    network = build(kind, spectral_norm=spectral_norm, normalization=normalization)
    output = network(inputs(kind), LABELS)
    (output * torch.randn_like(output)).sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def test_a_conditional_encoder_gives_a_variance_too() -> None:
    encoder = build("encoder", "variance").eval()
    x = inputs("encoder")
    first, second = encoder(x, LABELS), encoder(x, (LABELS + 1) % 5)
    for one, other in zip(first, second, strict=True):
        assert one.shape == (7, 6)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("minibatch_std", [False, True])
def test_the_discriminator_adds_the_projection_of_its_features(minibatch_std: bool) -> None:
    """Miyato and Koyama 2018, equation 3."""
    network = build("discriminator", size=28, minibatch_std=minibatch_std).eval()
    x = inputs("discriminator", 28)
    features = network.layers[:-1](x)
    assert features.shape == (7, 16 + minibatch_std, 4, 4)
    expected = network.layers[-1](features).flatten()
    for row, label in enumerate(LABELS):
        expected[row] += network.classes.weight[label] @ features[row].flatten()
    torch.testing.assert_close(network(x, LABELS), expected)


def test_first_weights_of_the_classes() -> None:
    """Those of the projection are as those of a convolution; others N(0, 1)."""
    keys = {"base_channels": 64, "size": 28}
    for kind, initialization, spread in (
        ("discriminator", "dcgan", 0.02),
        ("discriminator", "default", (3 * 256 * 16) ** -0.5),
        ("generator", "dcgan", 1.0),
        ("generator", "default", 1.0),
        ("encoder", "dcgan", 1.0),
    ):
        network = build(kind, initialization=initialization, **keys)
        assert network.classes.weight.std().item() == pytest.approx(spread, rel=0.2)


def test_spectral_norm_bounds_the_projection() -> None:
    network = build("discriminator", spectral_norm=True)
    with torch.no_grad():
        network.classes.parametrizations.weight.original.mul_(30)
        for _ in range(100):
            network(inputs("discriminator"), LABELS)
    norm = torch.linalg.matrix_norm(network.eval().classes.weight, ord=2)
    assert norm.item() == pytest.approx(1, abs=0.02)


def test_the_state_of_a_discriminator_has_one_tensor_more() -> None:
    state, plain = (build("discriminator", conditional=each).state_dict() for each in (True, False))
    assert state.keys() - plain.keys() == {"classes.weight"}
    assert {name: state[name].shape for name in plain} == {
        name: weight.shape for name, weight in plain.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_other_recipes_have_no_classes(kind: str) -> None:
    network = build(kind, conditional=False)
    assert {name.partition(".")[0] for name in network.state_dict()} == {"layers"}
    assert network(inputs(kind)).isfinite().all()
