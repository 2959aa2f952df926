"""The moving average of all that sampling uses, and its statistics of batch normalisation."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ganzoo.engine.average import MovingAverage, refresh_batch_norm
from ganzoo.engine.training import run_iteration
from ganzoo.ramps import Ramp

from .conftest import AUTOENCODER, TINY, MakeSession


def test_it_follows_its_closed_form() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = MovingAverage({"generator": network}, 0.5, 12)
    expected = 0.0
    for iteration in range(12):
        nn.init.constant_(network.weight, float(iteration))
        average.update(iteration)
        decay = min(0.5, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * iteration
    averaged = average.networks.generator
    torch.testing.assert_close(averaged.weight.item(), expected)
    assert not averaged.weight.requires_grad


def test_its_decay_may_change_over_the_run() -> None:
    network = nn.Linear(1, 1, bias=False)
    decay = Ramp.model_validate({"from": 0.0, "to": 0.1})
    average = MovingAverage({"generator": network}, decay, 11)
    nn.init.constant_(network.weight, 1.0)
    average.update(0)  # a decay of 0 is a copy
    assert average.networks.generator.weight.item() == 1
    nn.init.constant_(network.weight, 2.0)
    average.update(5)
    torch.testing.assert_close(average.networks.generator.weight.item(), 0.05 * 1 + 0.95 * 2)


def test_it_copies_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage({"generator": network}, 0.9, 10)
    network(torch.randn(8, 2) + 5)
    average.update(0)
    averaged = average.networks.generator
    assert torch.equal(averaged.running_mean, network.running_mean)
    assert torch.equal(averaged.num_batches_tracked, network.num_batches_tracked)


def test_a_generator_that_uses_the_discriminator_uses_its_average(session: MakeSession) -> None:
    follower = session("generator.type=test-follower", "ema.decay=0.5")
    assert follower.average is not None
    assert set(follower.average.networks) == {"generator", "discriminator"}
    initial = copy.deepcopy(follower.parts.networks.discriminator.state_dict())
    for _ in range(4):
        run_iteration(follower)
        follower.counters.iteration += 1
    averaged = follower.average.networks
    assert averaged.generator.discriminator[0] is averaged.discriminator  # type: ignore[index]
    for name, weight in follower.parts.networks.discriminator.named_parameters():
        mean = averaged.discriminator.state_dict()[name]
        assert not torch.equal(mean, initial[name])
        # Between the initial weights and the latest ones, nearer to these.
        assert (mean - weight).abs().mean() < (mean - initial[name]).abs().mean()


def test_fresh_statistics_are_those_of_the_inputs() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3, momentum=0.01), nn.Dropout(0.5)).eval()
    inputs = [2 * torch.randn(64, 3) + number for number in range(5)]
    refresh_batch_norm(network, [(each,) for each in inputs])
    norm = network[0]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in inputs]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in inputs]).mean(0))
    assert norm.momentum == 0.01
    assert not any(module.training for module in network.modules())


def test_batch_norm_without_statistics_is_left_alone() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))
    refresh_batch_norm(network, [(torch.randn(4, 3),)])
    assert network[0].running_mean is None
    assert network.training


NORMALISED = TINY.replace(
    'generator = { type = "mlp", hidden = [16] }',
    'generator = { type = "mlp", hidden = [16], normalization = "batch" }\nema = { decay = 0.9 }',
)


def test_sampled_networks_have_statistics_of_their_own_weights(session: MakeSession) -> None:
    """What the average gives in evaluation mode is what it gives with a batch's statistics."""
    for text in (
        NORMALISED,
        AUTOENCODER.replace("hidden = [16] }", 'hidden = [16], normalization = "batch" }', 1)
        + "ema = { decay = 0.9 }\n",
    ):
        tiny = session("train.batch_size=64", "optimizer.lr=3e-2", text=text)
        for _ in range(30):
            run_iteration(tiny)
            tiny.counters.iteration += 1
        before = torch.get_rng_state()
        generator = tiny.sampled_networks().generator
        assert torch.equal(torch.get_rng_state(), before)
        z = torch.cat([each for (each,) in tiny._generator_inputs()])
        expected = copy.deepcopy(generator).train()(z)
        copied = copy.deepcopy(generator)
        for name, buffer in tiny.parts.networks.generator.named_buffers():
            copied.get_buffer(name).copy_(buffer)
        error = (generator(z) - expected).square().mean()
        assert error < 0.3 * (copied(z) - expected).square().mean()
        assert not generator.training
