"""The update of a group of phases: what it moves, what it leaves alone, what it records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganzoo import plugins
from ganzoo.api import BuildContext, GeneratorSpec, LossSpec, Phase, Step
from ganzoo.engine.group import named_terms
from ganzoo.engine.process_group import ProcessGroup
from ganzoo.engine.session import Session
from ganzoo.engine.training import run_iteration
from ganzoo.errors import RunError
from ganzoo.plugins import Plugin
from ganzoo.registry import Registry

from .conftest import AUTOENCODER, CODES, MINE, TINY, MakeSession

ALONE = ProcessGroup()


class SlopeGenerator(GeneratorSpec):
    """One weight, which every sample is made of."""

    type: ClassVar[str] = "test-slope"

    def build(self, context: BuildContext) -> nn.Module:
        return Slope(context.sample_shape)


class Slope(nn.Module):
    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.sample_shape = sample_shape
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        return self.weight.expand(len(z), *self.sample_shape)


class TwoPhaseLoss(LossSpec):
    """Two phases of the same weight, with gradients of -1 and -10."""

    type: ClassVar[str] = "test-two-phases"
    phases: ClassVar[Mapping[str, Phase]] = {
        "one": Phase(trains={"generator"}, reads_data=False),
        "ten": Phase(trains={"generator"}, reads_data=False),
    }

    def build(self, context: BuildContext) -> TwoPhaseLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"loss": {"one": -1, "ten": -10}[step.phase] * step.fake.mean()}


@pytest.fixture
def registry() -> Registry:
    mine = (("generator", SlopeGenerator), ("loss", TwoPhaseLoss))
    plugin = Plugin("test:group", "test-group", "1.0", mine)
    return Registry([*plugins.installed().all, MINE, plugin])


def weights(network: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def moved(network: nn.Module, before: list[Tensor]) -> bool:
    pairs = zip(network.parameters(), before, strict=True)
    return any(not torch.equal(weight, old) for weight, old in pairs)


def backward(session: Session, phase: str, iteration: int = 0) -> None:
    batch = session.batches.next(iteration, real=True)
    session.updater.backward(phase, batch, iteration)


SLOPE = """
name = "slope"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "test-slope" }
loss = { type = "test-two-phases" }
optimizer = { type = "sgd", lr = 1.0 }
train = { iterations = 20, batch_size = 8 }
"""


def test_gradients_of_a_group_are_summed_and_its_optimizer_steps_once(session: MakeSession) -> None:
    together = session('schedule={ type = "sequence", groups = [["one", "ten"]] }', text=SLOPE)
    run_iteration(together)
    assert together.parts.networks.generator.weight.item() == pytest.approx(11)
    assert together.counters.steps == {"one": 1, "ten": 1}
    apart = session('schedule={ type = "sequence", groups = [["one"], ["ten"]] }', text=SLOPE)
    run_iteration(apart)
    assert apart.parts.networks.generator.weight.item() == pytest.approx(11)


def test_a_phase_is_named_once_in_a_group(session: MakeSession) -> None:
    tiny = session()
    batch = tiny.batches.next(0, real=True)
    with pytest.raises(RunError, match="names a phase twice in one group: generator, generator"):
        tiny.updater.run(("generator", "generator"), batch, 0)


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_a_phase_moves_only_what_it_trains(session: MakeSession, phase: str) -> None:
    tiny = session()
    networks = tiny.parts.networks
    before = {name: weights(network) for name, network in networks.items()}
    batch = tiny.batches.next(0, real=True)
    tiny.updater.run((phase,), batch, 0)
    other = {"discriminator": "generator", "generator": "discriminator"}[phase]
    assert all(weight.grad is None for weight in networks[other].parameters())
    assert {name for name in before if moved(networks[name], before[name])} == {phase}


def test_simultaneous_gradients_are_taken_at_the_old_point(session: MakeSession) -> None:
    together = session("schedule.type=simultaneous")
    run_iteration(together)
    apart = session("schedule.type=simultaneous")
    batch = apart.batches.next(0, real=True)
    gradients = {}
    for phase in ("generator", "discriminator"):  # the order makes no difference
        apart.updater.backward(phase, batch, 0)
        gradients[phase] = [w.grad.clone() for w in apart.parts.networks[phase].parameters()]
    for phase, expected in gradients.items():
        pairs = zip(together.parts.networks[phase].parameters(), expected, strict=True)
        for weight, gradient in pairs:
            torch.testing.assert_close(weight.grad, gradient)


def test_each_group_sees_a_batch_of_its_own_and_reads_data_only_where_needed(
    session: MakeSession,
) -> None:
    tiny = session("schedule.discriminator_steps=3")
    run_iteration(tiny)
    assert tiny.batches.read == 3, "the generator's phase uses no real samples"
    assert tiny.images == 3 * 8
    assert tiny.counters.steps == {"discriminator": 3, "generator": 1}


def test_a_lazy_regularizer_runs_every_kth_iteration_with_k_times_its_strength(
    session: MakeSession,
) -> None:
    text = TINY + '\n[[regularizers]]\ntype = "test-logits"\nevery = 4\n'
    tiny = session(text=text)
    batch = tiny.batches.next(0, real=True)
    size = tiny.parts.networks.discriminator(batch.x).square().mean().item()
    for iteration in range(8):
        tiny.updater.backward("discriminator", batch, iteration)
    statistics = tiny.statistics.read(ALONE)
    # The term itself is logged, and minimised four times as strongly in every fourth iteration.
    assert statistics["discriminator/test-logits/size"] == pytest.approx(size, rel=1e-5)
    assert statistics["discriminator/test-logits/logged"] == pytest.approx(size, rel=1e-5)
    parts = sum(statistics[f"discriminator/{name}"] for name in ("real", "fake"))
    assert statistics["discriminator/total"] == pytest.approx(parts + size, rel=1e-5)


def test_the_total_of_a_single_term_with_a_lazy_regularizer_is_the_mean_that_is_minimised(
    session: MakeSession,
) -> None:
    text = TINY.replace("non-saturating", "relativistic")
    text += '\n[[regularizers]]\ntype = "test-logits"\nevery = 4\n'
    tiny = session(text=text)
    batch = tiny.batches.next(0, real=True)
    for iteration in range(8):
        tiny.updater.backward("discriminator", batch, iteration)
    statistics = tiny.statistics.read(ALONE)
    expected = statistics["discriminator/loss"] + statistics["discriminator/test-logits/size"]
    assert statistics["discriminator/total"] == pytest.approx(expected, rel=1e-5)


def test_detached_terms_are_statistics_and_not_minimised(session: MakeSession) -> None:
    tiny = session()
    backward(tiny, "discriminator")
    statistics = tiny.statistics.read(ALONE)
    expected = statistics["discriminator/real"] + statistics["discriminator/fake"]
    assert statistics["discriminator/total"] == pytest.approx(expected, rel=1e-6)
    assert 0 < statistics["discriminator/D(x)"] < 1


def test_a_loss_without_gradient_is_named(session: MakeSession) -> None:
    text = AUTOENCODER.replace("test-coding", "test-detached").replace(
        'encoder = { type = "mlp", hidden = [16] }', ""
    )
    with pytest.raises(RunError, match="phase 'joint': none of the terms error carries a gradient"):
        run_iteration(session(text=text))


def test_one_objective_trains_two_networks(session: MakeSession) -> None:
    autoencoder = session(text=AUTOENCODER)
    for _ in range(60):
        run_iteration(autoencoder)
        autoencoder.counters.iteration += 1
        if autoencoder.iteration == 5:
            early = autoencoder.statistics.read(ALONE)["joint/error"]
    autoencoder.statistics.read(ALONE)
    run_iteration(autoencoder)
    assert autoencoder.statistics.read(ALONE)["joint/error"] < 0.9 * early


def test_frozen_weights_of_a_plugin_stay_as_they_are(session: MakeSession) -> None:
    text = AUTOENCODER.replace(
        'encoder = { type = "mlp", hidden = [16] }', 'encoder = { type = "test-normalised" }'
    )
    autoencoder = session(text=text)
    encoder = autoencoder.parts.networks.encoder
    fixed = encoder[1].weight.clone()
    run_iteration(autoencoder)
    assert torch.equal(encoder[1].weight, fixed)
    assert moved(encoder[3], [torch.zeros(4, 8), torch.zeros(4)])


def test_a_generator_without_weights_cannot_be_trained(session: MakeSession) -> None:
    with pytest.raises(Exception, match="the generator has nothing to train"):
        session("generator.type=test-climber")


def test_what_a_loss_draws_when_it_is_built_follows_the_seed(session: MakeSession) -> None:
    codes = []
    for seed in (0, 0, 1):
        torch.rand(3)  # whatever was drawn before makes no difference
        loss: Any = session(f"train.seed={seed}", text=CODES).parts.loss
        codes.append(loss.table.detach())
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_a_loss_with_weights_is_trained_with_an_optimizer_of_its_own(session: MakeSession) -> None:
    own = "optimizer.loss={ type = 'sgd', lr = 1.0 }"
    codes = session(own, text=CODES)
    assert set(codes.recipe.optimizers) == {"generator", "loss"}
    loss: Any = codes.parts.loss
    before = loss.table.detach().clone()
    run_iteration(codes)
    rows = (loss.table != before).any(dim=1).nonzero().flatten()
    # Plain gradient descent moves the codes of the batch and no others.
    assert sorted(rows.tolist()) == sorted(codes.batches.batch.indices.tolist())
    other = session(text=CODES).parts.networks.generator
    assert moved(codes.parts.networks.generator, weights(other))


def test_everything_the_discriminator_sees_is_augmented(session: MakeSession) -> None:
    tiny = session(
        "augmentations=[{ type = 'test-shift', factor = 2 }, { type = 'test-shift' }]",
        "regularizers=[{ type = 'test-logits' }]",
    )
    inputs: list[Tensor] = []
    networks = tiny.parts.networks
    networks.discriminator.register_forward_pre_hook(
        lambda module, given: inputs.append(given[0].detach().clone())
    )
    batch = tiny.batches.next(3, real=True)
    tiny.updater.backward("discriminator", batch, 3)
    # The loss and the regularizer share the logits: one pass of the fakes and one of the reals.
    assert len(inputs) == 2
    fake = networks.generator(batch.z).detach()
    for x, original in zip(inputs, (fake, batch.x), strict=True):
        shift = (x - original).flatten(1)
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0, atol=1e-5)
        assert 0 < shift.min() < shift.max() < 3
    tiny.updater.backward("generator", batch, 3)
    assert all(weight.grad is not None for weight in networks.generator.parameters())


def test_a_schedule_sees_the_means_since_its_last_observation(session: MakeSession) -> None:
    tiny = session("schedule={ type = 'test-watching' }")
    steps, observations = [], []
    for iteration in range(9):
        tiny.counters.iteration = iteration
        before = tiny.counters.steps["generator"]
        run_iteration(tiny)
        steps.append(tiny.counters.steps["generator"] - before)
        observations.append(dict(tiny.observation.latest))
    assert observations[:2] == [{}, {}]
    assert observations[2] == observations[3] == observations[4]
    assert observations[2] != observations[5]
    assert set(observations[2]) >= {"discriminator/real", "generator/loss"}
    rule = [1 if observations[at].get("discriminator/real", 0) <= 0.6 else 0 for at in (2, 5)]
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
            "return a 0-d tensor, such as `step.x.new_tensor(0.5)`",
        ),
    ],
)
def test_what_is_no_term(terms: object, message: str, hint: str) -> None:
    with pytest.raises(RunError) as caught:
        named_terms("here", terms)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_wrong_term_is_reported_with_its_phase(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = session()
    terms = {"loss": torch.zeros(8)}
    monkeypatch.setattr(type(tiny.parts.loss), "compute", lambda *arguments: terms)
    with pytest.raises(RunError, match=r"terms of phase 'discriminator': 'loss' has shape \(8,\)"):
        run_iteration(tiny)


def test_logits_of_another_shape_stop_a_run(session: MakeSession) -> None:
    tiny = session()
    tiny.parts.networks.discriminator.register_forward_hook(
        lambda module, inputs, output: output.unsqueeze(1), prepend=True
    )
    with pytest.raises(RunError) as caught:
        run_iteration(tiny)
    assert re.fullmatch(
        r"the discriminator gives \((\d+), 1\) for a batch of \1", caught.value.message
    )


def test_a_phase_with_a_due_regularizer_is_computed_in_float32(session: MakeSession) -> None:
    tiny = session(
        "engine.precision=bfloat16", "regularizers=[{ type = 'test-logits', every = 2 }]"
    )
    types: list[torch.dtype] = []
    first = next(m for m in tiny.parts.networks.discriminator.modules() if isinstance(m, nn.Linear))
    first.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    for iteration in range(2):
        backward(tiny, "discriminator", iteration)
    assert types == [torch.float32] * 2 + [torch.bfloat16] * 2
