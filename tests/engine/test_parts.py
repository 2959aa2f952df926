"""The one builder: initialisation, contexts, what is built when, float32 outputs, freezing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import Field
from tiny import train
from torch import Tensor, nn

from ganzoo import plugins
from ganzoo.api import BuildContext, DiscriminatorSpec, GeneratorSpec, LossSpec, Phase, Role, Step
from ganzoo.data import DataDescription
from ganzoo.engine.networks import Freezer, clean_state, evaluating, generate
from ganzoo.engine.parts import Parts
from ganzoo.engine.random import draw_latents, generator_for, rows, seeded, stream_seed
from ganzoo.engine.step import watch_outputs
from ganzoo.errors import RunError
from ganzoo.plugins import Plugin
from ganzoo.protocols import Networks
from ganzoo.recipe import Recipe
from ganzoo.recipe.settings import Latent
from ganzoo.registry import Registry
from ganzoo.sampling import Sampler

from .conftest import MINE, TINY, MakeRecipe, MakeSession

CPU = torch.device("cpu")


class StartGenerator(GeneratorSpec):
    """A generator whose bias starts as the mean of the data."""

    type: ClassVar[str] = "test-start"

    def build(self, context: BuildContext) -> nn.Module:
        assert context.data is None
        return nn.Sequential(nn.Linear(context.latent_dim, 64), nn.Unflatten(1, (1, 8, 8)))

    def initialize(self, network: nn.Module, context: BuildContext) -> None:
        mean = context.data.train.values.float().mean(0) / 127.5 - 1
        network[0].bias.data.copy_(mean.flatten())  # type: ignore[index]


class CriticLoss(LossSpec):
    """A critic of codes, one of pairs and a generator of codes beside the three networks."""

    type: ClassVar[str] = "test-critics"
    networks: ClassVar[Mapping[str, Role]] = {
        "critic": Role(kind="discriminator", sees="codes"),
        "judge": Role(kind="discriminator", sees="samples and codes"),
        "dreamer": Role(kind="generator", sees="codes"),
        "head": Role(kind="encoder"),
    }
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains={"generator", "critic", "judge", "dreamer", "head"})
    }

    def build(self, context: BuildContext) -> CriticLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        fake, networks = step.fake, step.networks
        pairs = torch.cat([fake.flatten(1), step.z], dim=1)
        codes = networks["dreamer"](step.z)
        logits = networks["critic"](codes) + networks["judge"](pairs)
        return {"loss": logits.mean() + (networks["head"](fake) - step.z).square().mean()}


class BufferLoss(LossSpec):
    """Keeps a number of its own on the discriminator, where it does not belong."""

    type: ClassVar[str] = "test-buffer"
    needs: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    phases: ClassVar[Mapping[str, Phase]] = {"joint": Phase(trains={"discriminator"})}

    def build(self, context: BuildContext) -> BufferLoss:
        context.networks["discriminator"].register_buffer("mean", torch.zeros(()))
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"loss": step.real_logits.mean()}


class TallDiscriminator(DiscriminatorSpec):
    """Notes the shape that it is built for."""

    type: ClassVar[str] = "test-tall"
    shapes: ClassVar[list[tuple[int, ...]]] = []

    width: int = Field(3, description="a key of its own")

    def build(self, context: BuildContext) -> nn.Module:
        self.shapes.append(context.sample_shape)
        assert self.arguments() == {"width": 3}
        size = 1
        for length in context.sample_shape:
            size *= length
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 1), nn.Flatten(0))


@pytest.fixture
def registry() -> Registry:
    mine = (StartGenerator, CriticLoss, BufferLoss, TallDiscriminator)
    components = tuple((spec.kind, spec) for spec in mine)
    plugin = Plugin("test:parts", "test-parts", "1.0", components)
    return Registry([*plugins.installed().all, MINE, plugin])


def parts(recipe: Recipe) -> Parts:
    return Parts(recipe, CPU, DataDescription(1437, 360))


def test_a_generator_starts_the_same_whatever_it_is_trained_with(recipe: MakeRecipe) -> None:
    variants = recipe(), recipe("discriminator.hidden=[64, 64]"), recipe("train.seed=1")
    weights = [dict(parts(each).networks.generator.named_parameters()) for each in variants]
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name])
        assert not torch.equal(weight, weights[2][name])


def test_building_leaves_torchs_own_random_stream_alone(recipe: MakeRecipe) -> None:
    before = torch.get_rng_state()
    built = parts(recipe("regularizers=[{ type = 'test-logits' }]"))
    built.with_memory()
    assert torch.equal(before, torch.get_rng_state())


def test_streams_differ_by_name_and_seed() -> None:
    seeds = {stream_seed(seed, name) for seed in range(20) for name in ("a", "b")}
    assert len(seeds) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)
    with seeded(1, "x", device=CPU):
        inside = torch.rand(3)
    assert torch.equal(inside, torch.rand(3, generator=generator_for(1, "x")))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("dim", [1, 5, 10, 16, 100])
def test_a_latent_does_not_depend_on_how_many_are_drawn(distribution: str, dim: int) -> None:
    latent = Latent(dim=dim, distribution=distribution)  # type: ignore[arg-type]
    many = draw_latents(latent, 700, 3, "samples")
    for count in (1, 10, 64, 256, 257):
        assert torch.equal(draw_latents(latent, count, 3, "samples"), many[:count])
    assert not torch.equal(many[:64], draw_latents(latent, 64, 4, "samples"))
    assert len({tuple(row.tolist()) for row in many}) == 700


def test_rows_of_any_kind_do_not_depend_on_how_many_are_drawn() -> None:
    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(torch.ones(7), count, replacement=True, generator=generator)

    assert torch.equal(rows(10, draw, 0, "a"), rows(1000, draw, 0, "a")[:10])


def test_a_generator_without_weights_is_built_after_the_network_it_needs(
    session: MakeSession,
) -> None:
    climber = session(
        "generator.type=test-climber", "schedule.type=discriminator-only", "ema.decay=0.9"
    )
    networks = climber.parts.networks
    assert list(networks) == ["generator", "discriminator"]
    assert climber.parts.sampling == ["generator", "discriminator"]
    assert climber.average is None
    before = [weight.clone() for weight in networks.discriminator.parameters()]
    x, labels = climber.sample_fixed(3)
    assert x.shape == (3, 1, 8, 8)
    assert labels is None
    assert torch.equal(x, climber.sample_fixed(3)[0]), "the same noise at every call"
    assert all(weight.grad is None for weight in networks.discriminator.parameters())
    for weight, old in zip(networks.discriminator.parameters(), before, strict=True):
        assert torch.equal(weight, old)


def test_what_starts_from_the_data_is_saved_and_sampling_opens_no_data(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TINY.replace(
        'generator = { type = "mlp", hidden = [16] }', 'generator = { type = "test-start" }'
    )
    start = recipe("optimizer.lr=1e-9", text=text)
    folder = train(start, tmp_path)
    monkeypatch.setattr(type(start.data.spec), "build", lambda *arguments: 1 / 0)
    sampler = Sampler(start, folder)
    mean = sampler.networks.generator[0].bias.mean()  # type: ignore[index,union-attr]
    assert -0.6 < mean < -0.2, "digits are mostly dark"
    assert sampler.sample(3).shape == (3, 1, 8, 8)


CRITICS = """
name = "critics"
latent = { dim = 4 }
data = { type = "digits" }
generator = { type = "mlp", hidden = [16] }
networks.critic = { type = "test-tall" }
networks.judge = { type = "mlp", hidden = [8] }
networks.dreamer = { type = "mlp", hidden = [8] }
networks.head = { type = "mlp", hidden = [8] }
loss = { type = "test-critics" }
schedule = { type = "joint" }
optimizer = { type = "sgd", lr = 1e-2, critic = { lr = 0.5 } }
train = { iterations = 4, batch_size = 8 }
"""


def test_further_networks_are_built_for_what_they_see_and_trained(
    recipe: MakeRecipe, session: MakeSession, tmp_path: Path
) -> None:
    TallDiscriminator.shapes.clear()
    critics = session(text=CRITICS)
    networks = critics.parts.networks
    assert list(networks) == ["generator", "critic", "judge", "dreamer", "head"]
    assert TallDiscriminator.shapes == [(4,)]
    assert networks["dreamer"](torch.zeros(2, 4)).shape == (2, 4)
    assert networks["judge"](torch.zeros(2, 68)).shape == (2,)
    assert networks["head"](torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert critics.recipe.optimizers["critic"].lr == 0.5
    folder = train(recipe(text=CRITICS), tmp_path)
    for name in networks:
        assert folder.weights(name).exists()
        trained = Sampler(recipe(text=CRITICS), folder).networks[name].state_dict()
        moved = [
            not torch.equal(trained[key], each) for key, each in networks[name].state_dict().items()
        ]
        assert any(moved), name


def test_a_discriminator_is_built_for_the_samples_that_it_packs(session: MakeSession) -> None:
    TallDiscriminator.shapes.clear()
    packing = session("discriminator={ type = 'test-tall', pack = 4 }")
    assert TallDiscriminator.shapes == [(4, 8, 8)]
    step = packing.parts.step(torch.zeros(8, 1, 8, 8))
    assert step.real_logits.shape == (2,)


def test_a_loss_that_puts_a_buffer_on_a_network_is_refused(session: MakeSession) -> None:
    with pytest.raises(RunError, match="loss 'test-buffer' puts 'mean' on the discriminator"):
        session("loss.type=test-buffer", "schedule.type=joint")


def test_losses_see_float32_under_autocast() -> None:
    network = nn.Linear(2, 2)
    watch_outputs(Networks({"generator": network}), {"generator": "generator"})
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.nn.functional.linear(torch.randn(1, 2), network.weight).dtype == torch.bfloat16
        assert network(torch.randn(1, 2)).dtype == torch.float32


def test_networks_are_read_by_name_and_as_attributes() -> None:
    linear = nn.Linear(1, 1)
    networks = Networks({"generator": linear, "critic": linear})
    assert networks.generator is networks["critic"] is networks.critic
    assert dict(networks) == {"generator": linear, "critic": linear}
    with pytest.raises(AttributeError, match="this recipe has no network 'encoder'"):
        networks.encoder.parameters()
    with pytest.raises(KeyError):
        networks["encoder"]


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


def test_generate_is_in_evaluation_mode_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.engine.networks.CHUNK", 3)
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    z = torch.randn(7, 2)
    torch.testing.assert_close(generate(network, z), network[0](z).detach())
    assert network.training
    fixed = nn.Dropout().eval()
    with evaluating(nn.Sequential(network, fixed), network):
        assert not network[1].training
    assert network[1].training
    assert not fixed.training


def test_clean_state_has_no_wrapper_prefixes() -> None:
    wrapped = nn.Module()
    wrapped._orig_mod = nn.Linear(1, 1)
    assert list(clean_state(wrapped)) == ["weight", "bias"]
