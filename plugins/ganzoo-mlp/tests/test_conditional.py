"""Perceptrons that are conditioned on classes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ganzoo_mlp import MLPDiscriminator, MLPEncoder, MLPGenerator
from torch import Tensor, nn

from ganzoo.api import BuildContext

KINDS = {"generator": MLPGenerator, "discriminator": MLPDiscriminator, "encoder": MLPEncoder}


def build(kind: str, *requested: str, conditional: bool = True, **keys: Any) -> nn.Module:
    context = BuildContext(
        sample_shape=(1, 4, 4),
        latent_dim=6,
        num_classes=5,
        conditional=conditional,
        requested=frozenset(requested),
    )
    torch.manual_seed(0)
    return KINDS[kind](**{"hidden": (16, 12), **keys}).build(context)


def inputs(kind: str, count: int = 7) -> Tensor:
    return torch.randn(count, 6) if kind == "generator" else torch.randn(count, 1, 4, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [(), (16, 12)])
def test_every_class_gives_another_output_of_the_same_shape(
    kind: str, hidden: tuple[int, ...]
) -> None:
    network, x = build(kind, hidden=hidden), inputs(kind, 1)
    outputs = [network(x, torch.tensor([label])) for label in range(5)]
    shape = {"generator": (1, 1, 4, 4), "discriminator": (1,), "encoder": (1, 6)}[kind]
    assert {output.shape for output in outputs} == {shape}
    assert len({tuple(output.flatten().tolist()) for output in outputs}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_have_classes_of_their_own(kind: str) -> None:
    network, x, labels = build(kind), inputs(kind), torch.tensor([0, 4, 2, 2, 1, 3, 0])
    together = network(x, labels)
    for row, label in enumerate(labels):
        alone = network(x[row : row + 1], label[None])
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient(kind: str) -> None:
    network, labels = build(kind), torch.arange(10) % 5
    network(inputs(kind, 10), labels).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name
    assert network.classes.weight.grad.any(dim=1).all()


def test_a_conditional_encoder_gives_a_variance_too() -> None:
    encoder = build("encoder", "variance")
    x, labels = inputs("encoder"), torch.zeros(7, dtype=torch.int64)
    mean, log_variance = encoder(x, labels)
    assert mean.shape == log_variance.shape == (7, 6)
    others = encoder(x, labels + 1)
    assert not torch.equal(mean, others[0])
    assert not torch.equal(log_variance, others[1])


def test_the_discriminator_adds_the_projection_of_its_features() -> None:
    """Miyato and Koyama 2018, equation 3."""
    network, x = build("discriminator"), inputs("discriminator")
    labels = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    features = network.layers[:-1](x.flatten(1))
    expected = network.layers[-1](features).squeeze(1)
    for row, label in enumerate(labels):
        expected[row] += network.classes.weight[label] @ features[row]
    torch.testing.assert_close(network(x, labels), expected)


def test_the_layers_of_a_discriminator_start_the_same_with_and_without_classes() -> None:
    state = build("discriminator").state_dict()
    plain = build("discriminator", conditional=False).state_dict()
    assert state.keys() - plain.keys() == {"classes.weight"}
    assert all(torch.equal(state[name], plain[name]) for name in plain)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_other_recipes_have_no_classes(kind: str) -> None:
    network = build(kind, conditional=False)
    assert {name.partition(".")[0] for name in network.state_dict()} == {"layers"}
    assert network(inputs(kind)).isfinite().all()


def test_classes_go_through_bfloat16_and_a_gradient_penalty() -> None:
    network, labels = build("discriminator"), torch.arange(10) % 5
    x = inputs("discriminator", 10).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        near = network(x, labels)
    torch.testing.assert_close(near.float(), network(x, labels), atol=0.02, rtol=0.02)
    (slope,) = torch.autograd.grad(network(x, labels).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert network.classes.weight.grad.any(dim=1).all()
