"""One phase's update: what it moves, what it leaves alone, what it records."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from ganzoo.engine.ranks import Ranks
from ganzoo.engine.training import run_iteration
from ganzoo.engine.update import OPTIMIZERS, build_optimizer, named_terms
from ganzoo.errors import RunError
from ganzoo.recipe import settings
from ganzoo.testing.watching import Waits, no_waiting

from .conftest import TINY, MakeSession

AUTOENCODER = (
    TINY.replace(
        'discriminator = { type = "mlp", hidden = [16] }',
        'encoder = { type = "mlp", hidden = [16] }',
    )
    .replace("non-saturating", "test-autoencoder")
    .replace("alternating", "joint")
)

CODES = AUTOENCODER.replace("test-autoencoder", "test-codes").replace(
    'encoder = { type = "mlp", hidden = [16] }\n', ""
)


def weights(network: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def moved(network: nn.Module, before: list[Tensor]) -> bool:
    pairs = zip(network.parameters(), before, strict=True)
    return any(not torch.equal(weight, old) for weight, old in pairs)


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_a_phase_moves_only_what_it_trains(session: MakeSession, phase: str) -> None:
    made = session()
    made.next_batch([phase])
    before = {slot: weights(network) for slot, network in made.networks.items()}
    made.updates[phase].backward(0)
    other = {"discriminator": "generator", "generator": "discriminator"}[phase]
    assert all(weight.grad is None for weight in made.networks[other].parameters())
    made.updates[phase].step(1.0)
    assert {slot for slot in before if moved(made.networks[slot], before[slot])} == {phase}


def test_the_learning_rate_factor_reaches_the_optimizer(session: MakeSession) -> None:
    adam = 'type = "adam", lr = 1e-3, betas = [0.5, 0.999]'
    made = session(text=TINY.replace(adam, 'type = "sgd", lr = 0.5'))
    made.next_batch(["generator"])
    network = made.networks["generator"]
    before = weights(network)
    made.updates["generator"].backward(0)
    made.updates["generator"].step(0.25)
    for weight, old in zip(network.parameters(), before, strict=True):
        assert weight.grad is not None
        torch.testing.assert_close(weight.detach(), old - 0.5 * 0.25 * weight.grad)


def test_simultaneous_gradients_are_taken_at_the_old_point(session: MakeSession) -> None:
    together = session("schedule.type=simultaneous")
    run_iteration(together)
    apart = session("schedule.type=simultaneous")
    apart.next_batch(["discriminator", "generator"])
    gradients = {}
    for phase in ("generator", "discriminator"):  # the order makes no difference
        apart.updates[phase].backward(0)
        gradients[phase] = [w.grad.clone() for w in apart.networks[phase].parameters()]
    for phase, expected in gradients.items():
        for weight, gradient in zip(together.networks[phase].parameters(), expected, strict=True):
            torch.testing.assert_close(weight.grad, gradient)


def test_each_group_sees_a_batch_of_its_own_and_reads_data_only_where_needed(
    session: MakeSession,
) -> None:
    made = session("schedule.discriminator_steps=3")
    run_iteration(made)
    assert made.batches == 3, "the generator's phase looks at no real samples"
    assert made.images == 3 * 8
    assert made.steps == {"discriminator": 3, "generator": 1}


def test_a_lazy_regularizer_runs_every_kth_iteration_with_k_times_its_strength(
    session: MakeSession,
) -> None:
    text = TINY + '\n[[regularizers]]\ntype = "test-logits"\nevery = 4\n'
    made = session(text=text)
    made.next_batch(["discriminator"])
    update = made.updates["discriminator"]
    value = made.networks["discriminator"](made.batch.x).square().mean().item()
    for iteration in range(8):
        update.backward(iteration)
    statistics = made.statistics.read(Ranks())
    assert statistics["discriminator/test-logits/size"] == pytest.approx(4 * value, rel=1e-5)
    assert statistics["discriminator/test-logits/logged"] == pytest.approx(value, rel=1e-5)
    parts = sum(statistics[f"discriminator/{name}"] for name in ("real", "fake"))
    assert statistics["discriminator/total"] == pytest.approx(parts + value, rel=1e-5)


def test_detached_terms_are_statistics_and_not_minimised(session: MakeSession) -> None:
    made = session()
    made.next_batch(["discriminator"])
    made.updates["discriminator"].backward(0)
    statistics = made.statistics.read(Ranks())
    expected = statistics["discriminator/real"] + statistics["discriminator/fake"]
    assert statistics["discriminator/total"] == pytest.approx(expected, rel=1e-6)
    assert 0 < statistics["discriminator/D(x)"] < 1


def test_a_loss_without_gradient_is_named(session: MakeSession) -> None:
    text = AUTOENCODER.replace("test-autoencoder", "test-detached").replace(
        'encoder = { type = "mlp", hidden = [16] }', ""
    )
    made = session(text=text)
    with pytest.raises(RunError, match="phase 'joint': none of the terms error carries a gradient"):
        run_iteration(made)


def test_one_objective_trains_two_networks(session: MakeSession) -> None:
    made = session(text=AUTOENCODER)
    for _ in range(60):
        run_iteration(made)
        made.iteration += 1
        if made.iteration == 5:
            early = made.statistics.read(Ranks())["joint/error"]
    made.statistics.read(Ranks())
    run_iteration(made)
    assert made.statistics.read(Ranks())["joint/error"] < 0.9 * early


def test_frozen_weights_of_a_plugin_stay_as_they_are(session: MakeSession) -> None:
    text = AUTOENCODER.replace(
        'encoder = { type = "mlp", hidden = [16] }', 'encoder = { type = "test-normalised" }'
    )
    made = session(text=text)
    fixed = made.networks["encoder"][1].weight.clone()
    run_iteration(made)
    assert torch.equal(made.networks["encoder"][1].weight, fixed)
    assert moved(made.networks["encoder"][3], [torch.zeros(4, 8), torch.zeros(4)])


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_no_iteration_waits_for_the_device(session: MakeSession, schedule: str) -> None:
    made = session(f"schedule.type={schedule}", "ema.decay=0.9")
    with no_waiting():
        run_iteration(made)
    with pytest.raises(Waits, match="a number is read"), no_waiting():
        torch.ones(()).item()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers_take_their_settings(name: str) -> None:
    weight = nn.Parameter(torch.zeros(3))
    options = settings.OPTIMIZERS[name](lr=0.1)
    optimizer = build_optimizer(options, [weight], torch.device("cpu"))
    assert type(optimizer) is OPTIMIZERS[name]
    for key, value in options.model_dump().items():
        assert optimizer.param_groups[0][key] == value
    weight.grad = torch.ones(3)
    optimizer.step()
    assert (weight < 0).all()


def test_a_generator_without_weights_cannot_be_trained(session: MakeSession) -> None:
    with pytest.raises(Exception, match="the generator has nothing to train"):
        session("generator.type=test-climber")


def test_what_a_loss_draws_when_it_is_built_follows_the_seed(session: MakeSession) -> None:
    codes = []
    for seed in (0, 0, 1):
        torch.rand(3)  # whatever was drawn before makes no difference
        codes.append(session(f"train.seed={seed}", text=CODES).modules["loss"].table.detach())
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_a_loss_with_weights_is_trained_with_an_optimizer_of_its_own(session: MakeSession) -> None:
    own = "optimizer.loss={ type = 'sgd', lr = 1.0 }"
    made = session(own, text=CODES)
    assert set(made.optimizers) == {"generator", "loss"}
    loss = made.modules["loss"]
    before = loss.table.detach().clone()
    run_iteration(made)
    rows = (loss.table != before).any(dim=1).nonzero().flatten()
    # Plain gradient descent moves the codes of the batch and no others.
    assert sorted(rows.tolist()) == sorted(made.batch.indices.tolist())
    assert moved(made.networks["generator"], weights(session(text=CODES).networks["generator"]))


def test_everything_the_discriminator_sees_is_augmented(session: MakeSession) -> None:
    made = session(
        "augmentations=[{ type = 'test-shift' }, { type = 'test-shift' }]",
        "regularizers=[{ type = 'test-logits' }]",
    )
    made.iteration = 3
    seen: list[Tensor] = []
    made.networks["discriminator"].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].detach().clone())
    )
    made.next_batch(["discriminator"])
    made.updates["discriminator"].backward(3)
    fake = made.networks["generator"](made.batch.z).detach()
    # The loss looks at fakes and reals, the regularizer at reals, each shifted twice by 3.
    assert len(seen) == 3
    for x, original in zip(seen, (fake, made.batch.x, made.batch.x), strict=True):
        torch.testing.assert_close(x, original + 6)
    made.next_batch(["generator"])
    made.updates["generator"].backward(3)
    assert all(weight.grad is not None for weight in made.networks["generator"].parameters())
    torch.testing.assert_close(seen[3], made.networks["generator"](made.batch.z).detach() + 6)


def test_a_schedule_sees_the_means_since_it_looked_last(session: MakeSession) -> None:
    made = session("schedule={ type = 'test-watching' }")
    steps, shown = [], []
    for iteration in range(9):
        made.iteration = iteration
        before = made.steps["generator"]
        run_iteration(made)
        steps.append(made.steps["generator"] - before)
        shown.append(dict(made.observation))
    assert shown[:2] == [{}, {}]
    assert shown[2] == shown[3] == shown[4]
    assert shown[2] != shown[5]
    assert set(shown[2]) >= {"discriminator/real", "generator/loss"}
    rule = [1 if shown[look].get("discriminator/real", 0) <= 0.6 else 0 for look in (2, 5)]
    assert steps == [1, 1, 1, *[rule[0]] * 3, *[rule[1]] * 3]
    # -log D(x) is log 2 at the start: the rule has something to say.
    assert rule[0] == 0


@pytest.mark.parametrize(
    ("terms", "message", "hint"),
    [
        (torch.zeros(()), "here: tensor(0.)", "return a dict of tensors by name"),
        ({"loss": torch.zeros(8)}, "here: 'loss' has shape (8,)", "return its mean"),
        (
            {"loss": torch.zeros(()), "D(x)": 0.5},
            "here: 'D(x)' is float",
            "return a 0-d tensor, such as `batch.x.new_tensor(0.5)`",
        ),
    ],
)
def test_what_is_no_term(terms: object, message: str, hint: str) -> None:
    with pytest.raises(RunError) as caught:
        named_terms("here", terms)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_wrong_term_is_told_with_its_phase(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session()
    given = {"loss": torch.zeros(8)}
    monkeypatch.setattr(type(made.loss), "compute", lambda *arguments: given)
    with pytest.raises(RunError, match=r"terms of phase 'discriminator': 'loss' has shape \(8,\)"):
        run_iteration(made)


def test_logits_of_another_shape_stop_a_run(session: MakeSession) -> None:
    made = session()
    made.networks["discriminator"].register_forward_hook(
        lambda module, inputs, output: output.unsqueeze(1), prepend=True
    )
    with pytest.raises(RunError) as caught:
        run_iteration(made)
    assert re.fullmatch(
        r"the discriminator gives \((\d+), 1\) for a batch of \1", caught.value.message
    )
