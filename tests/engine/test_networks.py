"""Initialisation, freezing, the moving average, float32 outputs."""

from __future__ import annotations

import torch
from torch import nn

from ganzoo.engine.networks import (
    Freezer,
    MovingAverage,
    build_networks,
    bundle,
    clean_state,
    generate,
)
from ganzoo.engine.random import generator_for, seeded, stream_seed
from ganzoo.engine.session import build_context

from .conftest import MakeRecipe, MakeSession


def test_a_generator_starts_the_same_whatever_it_is_trained_with(recipe: MakeRecipe) -> None:
    small, large = recipe(), recipe("discriminator.hidden=[64, 64]")
    first, second = (build_networks(r, build_context(r), None)["generator"] for r in (small, large))
    other = build_networks(recipe("train.seed=1"), build_context(small), None)["generator"]
    weights = [dict(network.named_parameters()) for network in (first, second, other)]
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name])
        assert not torch.equal(weight, weights[2][name])


def test_building_leaves_torchs_own_random_stream_alone(recipe: MakeRecipe) -> None:
    tiny = recipe()
    before = torch.get_rng_state()
    build_networks(tiny, build_context(tiny), None)
    assert torch.equal(before, torch.get_rng_state())


def test_streams_differ_by_name_and_seed() -> None:
    seeds = {stream_seed(seed, name) for seed in range(20) for name in ("a", "b")}
    assert len(seeds) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)
    with seeded(1, "x", device=torch.device("cpu")):
        inside = torch.rand(3)
    assert torch.equal(inside, torch.rand(3, generator=generator_for(1, "x")))


def test_a_generator_without_weights_is_built_after_the_network_it_needs(
    session: MakeSession,
) -> None:
    made = session(
        "generator.type=test-climber", "schedule.type=discriminator-only", "ema.decay=0.9"
    )
    assert list(made.networks) == ["generator", "discriminator"]
    assert made.average is None
    before = [weight.clone() for weight in made.networks["discriminator"].parameters()]
    x = made.sample_fixed(3)
    assert x.shape == (3, 1, 8, 8)
    assert torch.equal(x, made.sample_fixed(3)), "the same noise at every call"
    assert all(weight.grad is None for weight in made.networks["discriminator"].parameters())
    for weight, old in zip(made.networks["discriminator"].parameters(), before, strict=True):
        assert torch.equal(weight, old)


def test_thawing_one_network_freezes_the_others_but_respects_fixed_weights() -> None:
    fixed = nn.Linear(2, 2).requires_grad_(False)
    networks = {
        "generator": nn.Sequential(nn.Linear(2, 2), fixed),
        "discriminator": nn.Linear(2, 1),
    }
    freezer = Freezer(networks)
    freezer.thaw_only(frozenset({"generator"}))
    assert [weight.requires_grad for weight in networks["generator"].parameters()] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not any(weight.requires_grad for weight in networks["discriminator"].parameters())
    freezer.thaw_only(frozenset({"discriminator"}))
    assert not any(weight.requires_grad for weight in networks["generator"].parameters())


def test_moving_average_follows_its_closed_form() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = MovingAverage(network, decay=0.5)
    expected = 0.0
    for iteration in range(12):
        nn.init.constant_(network.weight, float(iteration))
        average.update(iteration)
        decay = min(0.5, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * iteration
    torch.testing.assert_close(average.network.weight.item(), expected)
    assert not average.network.weight.requires_grad


def test_moving_average_copies_running_statistics() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, decay=0.9)
    network(torch.randn(8, 2) + 5)
    average.update(0)
    assert torch.equal(average.network.running_mean, network.running_mean)
    assert torch.equal(average.network.num_batches_tracked, network.num_batches_tracked)


def test_losses_see_float32_under_autocast() -> None:
    network = nn.Linear(2, 2)
    shared = bundle({"generator": network})
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.nn.functional.linear(torch.randn(1, 2), network.weight).dtype == torch.bfloat16
        assert shared.generator(torch.randn(1, 2)).dtype == torch.float32


def test_generate_is_in_evaluation_mode_and_goes_back() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    z = torch.randn(7, 2)
    assert torch.equal(generate(network, z, chunk=3), network[0](z).detach())
    assert network.training


def test_clean_state_has_no_wrapper_prefixes() -> None:
    wrapped = nn.Module()
    wrapped._orig_mod = nn.Linear(1, 1)
    assert list(clean_state(wrapped)) == ["weight", "bias"]
