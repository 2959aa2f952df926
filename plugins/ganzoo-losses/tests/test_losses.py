"""Losses against closed forms, at extremes, and in the direction that they push."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_args

import pytest
import torch
from ganzoo_losses import (
    FDivergenceLoss,
    HingeLoss,
    LeastSquaresLoss,
    RelativisticLoss,
    SmoothedNonSaturatingLoss,
    WassersteinLoss,
)
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganzoo.api import BuildContext, Loss, LossSpec, Step

from .conftest import Fakes, Slopes, make_step, minimised

CONTEXT = BuildContext(sample_shape=(1,), latent_dim=1)
DIVERGENCES = get_args(FDivergenceLoss.model_fields["divergence"].annotation)
LOSSES: list[LossSpec] = [
    HingeLoss(),
    LeastSquaresLoss(),
    LeastSquaresLoss(a=-1.0, b=0.9, c=0.0),
    WassersteinLoss(),
    WassersteinLoss(clip=0.0),
    RelativisticLoss(),
    SmoothedNonSaturatingLoss(),
    *(
        FDivergenceLoss(divergence=divergence, generator=generator)
        for divergence in DIVERGENCES
        for generator in ("saturating", "non-saturating")
    ),
]
PHASES = pytest.mark.parametrize("phase", ["discriminator", "generator"])
EVERY_LOSS = pytest.mark.parametrize("spec", LOSSES, ids=repr)


def terms_of(spec: LossSpec, phase: str, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
    """The loss's terms for logits `(N,)`, through `compute`."""
    return compute(spec.build(CONTEXT), phase, real, fake)


def compute(loss: Loss, phase: str, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
    def judge(x: Tensor) -> Tensor:
        # The fakes are recognised by their mark, so that D's logits can be leaves.
        return fake if x[0, 0] == 1 else real

    N = len(real)
    discriminator = nn.Module()
    discriminator.forward = judge  # type: ignore[method-assign]
    x, z = torch.zeros(N, 1), torch.ones(N, 1)
    return loss.compute(make_step(phase, nn.Identity(), discriminator, x, z))


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


LOG2 = math.log(2)


@pytest.mark.parametrize(
    ("spec", "discriminator", "generator"),
    [
        (HingeLoss(), 2, 0),
        (LeastSquaresLoss(), 0.5, 0.5),
        (LeastSquaresLoss(a=-1.0, b=2.0, c=4.0), 0.5 + 2, 8),
        (WassersteinLoss(), 0, 0),
        (RelativisticLoss(), LOG2, LOG2),
        (SmoothedNonSaturatingLoss(), 2 * LOG2, LOG2),
        (FDivergenceLoss(divergence="kl"), math.exp(-1), 0),
        (FDivergenceLoss(divergence="reverse-kl"), 0, 1),
        (FDivergenceLoss(divergence="pearson-chi2"), 0, 0),
        (FDivergenceLoss(divergence="squared-hellinger"), 0, 0),
        (FDivergenceLoss(divergence="jensen-shannon"), 0, 0),
        (FDivergenceLoss(divergence="total-variation"), 0, 0),
        (FDivergenceLoss(divergence="kl", generator="saturating"), math.exp(-1), -math.exp(-1)),
        (FDivergenceLoss(divergence="reverse-kl", generator="saturating"), 0, 1),
    ],
    ids=repr,
)
def test_closed_forms_at_zero_logits(
    spec: LossSpec, discriminator: float, generator: float
) -> None:
    real, fake = logits(0, 0, 0), logits(0, 0, 0)
    D, G = (terms_of(spec, phase, real, fake) for phase in ("discriminator", "generator"))
    assert minimised(D).item() == pytest.approx(discriminator, abs=1e-12)
    assert minimised(G).item() == pytest.approx(generator, abs=1e-12)


def test_formulas_at_other_logits() -> None:
    real, fake = logits(-2.0, 0.5, 3.0), logits(1.0, -4.0, 0.25)

    def value(spec: LossSpec, phase: str) -> float:
        return minimised(terms_of(spec, phase, real, fake)).item()

    assert value(HingeLoss(), "discriminator") == pytest.approx(3.5 / 3 + 3.25 / 3)
    assert value(HingeLoss(), "generator") == pytest.approx(2.75 / 3)
    squares = LeastSquaresLoss(a=-1.0, b=2.0, c=0.5)
    assert value(squares, "discriminator") == pytest.approx(
        (16 + 2.25 + 1) / 6 + (4 + 9 + 1.5625) / 6
    )
    assert value(squares, "generator") == pytest.approx((0.25 + 20.25 + 0.0625) / 6)
    assert value(WassersteinLoss(), "discriminator") == pytest.approx(-0.5 - 2.75 / 3)
    assert value(WassersteinLoss(), "generator") == pytest.approx(2.75 / 3)
    pairs = [(-2.0, 1.0), (0.5, -4.0), (3.0, 0.25)]
    assert value(RelativisticLoss(), "discriminator") == pytest.approx(
        sum(math.log1p(math.exp(f - r)) for r, f in pairs) / 3
    )
    assert value(RelativisticLoss(), "generator") == pytest.approx(
        sum(math.log1p(math.exp(r - f)) for r, f in pairs) / 3
    )
    smoothed = SmoothedNonSaturatingLoss(real_label=0.8)
    entropies = (
        binary_cross_entropy_with_logits(logit, torch.full_like(logit, label))
        for logit, label in ((real, 0.8), (fake, 0.0))
    )
    assert value(smoothed, "discriminator") == pytest.approx(sum(e.item() for e in entropies))
    assert value(smoothed, "generator") == pytest.approx(-fake.sigmoid().log().mean().item())


def test_a_smoothed_discriminator_is_content_at_the_real_label() -> None:
    real = logits(math.log(0.9 / 0.1))
    term = terms_of(SmoothedNonSaturatingLoss(), "discriminator", real, logits(0.0))["real"]
    (gradient,) = torch.autograd.grad(term, real)
    assert gradient.item() == pytest.approx(0, abs=1e-7), "0.9 is a number in float32"


@EVERY_LOSS
@PHASES
def test_gradients_are_those_of_the_values(spec: LossSpec, phase: str) -> None:
    real, fake = logits(-1.7, 0.3, 2.9, 25.0, -26.0), logits(0.6, -2.2, 0.1, 23.0, -24.0)
    if spec.type == "f-divergence":  # exponentials of 20 leave finite differences no digits
        real, fake = logits(-1.7, 0.3, 2.9), logits(0.6, -2.2, 0.1)

    def value(real: Tensor, fake: Tensor) -> Tensor:
        return minimised(terms_of(spec, phase, real, fake))

    assert torch.autograd.gradcheck(value, (real, fake))


@EVERY_LOSS
@PHASES
@pytest.mark.parametrize("size", [-1e4, 1e4])
@pytest.mark.parametrize("other", [-1e4, 0.0, 1e4])
def test_everything_is_finite_at_huge_logits(
    spec: LossSpec, phase: str, size: float, other: float
) -> None:
    real = torch.full((64,), size, requires_grad=True)
    fake = torch.full((64,), other, requires_grad=True)
    terms = terms_of(spec, phase, real, fake)
    total = minimised(terms)
    total.backward()
    for name, term in terms.items():
        assert term.dtype == torch.float32
        assert term.shape == ()
        assert term.isfinite(), name
    for leaf in (real, fake):
        # Adam squares gradients.
        assert leaf.grad is None or leaf.grad.square().isfinite().all()


@EVERY_LOSS
def test_each_phase_pushes_logits_its_own_way(spec: LossSpec) -> None:
    real, fake = logits(-0.3, 0.2, 0.5), logits(0.1, -0.4, 0.3)
    if isinstance(spec, LeastSquaresLoss):
        fake = logits(spec.a + 0.1, spec.a + 0.4, spec.a + 0.3)  # between the two targets
    minimised(terms_of(spec, "discriminator", real, fake)).backward()
    assert (real.grad < 0).all(), "D raises the logits of real samples"
    assert (fake.grad > 0).all(), "D lowers those of fakes"
    fake.grad = None
    minimised(terms_of(spec, "generator", real, fake)).backward()
    assert (fake.grad < 0).all(), "G raises those of fakes"


@EVERY_LOSS
def test_statistics_are_detached_means(spec: LossSpec) -> None:
    real, fake = logits(-1.0, 0.5, 2.0), logits(1.0, -4.0, 0.0)
    terms = terms_of(spec, "discriminator", real, fake)
    statistics = {name: term.item() for name, term in terms.items() if not term.requires_grad}
    assert ("probabilities" in spec.provides) == ({"D(x)", "D(G(z))"} <= set(statistics))
    if "probabilities" in spec.provides:
        assert statistics == {
            "D(x)": pytest.approx(real.sigmoid().mean().item()),
            "D(G(z))": pytest.approx(fake.sigmoid().mean().item()),
        }
        return
    assert statistics.pop("logit(x)") == pytest.approx(0.5)
    assert statistics.pop("logit(G(z))") == pytest.approx(-1)
    expected = {
        "wasserstein": {"distance": 1.5},
        "f-divergence": {"bound": -minimised(terms).item()},
    }
    assert statistics == pytest.approx(expected.get(spec.type, {}))


class World:
    """Two small networks and a batch."""

    def __init__(self, N: int = 6) -> None:
        torch.manual_seed(0)
        self.generator = nn.Linear(3, 2)
        self.discriminator = nn.Sequential(
            nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)
        )
        self.x, self.z = torch.randn(N, 2), torch.randn(N, 3)

    def step(self, phase: str, x: Tensor | None = None) -> Step:
        x = self.x if x is None else x
        return make_step(phase, self.generator, self.discriminator, x, self.z)


@EVERY_LOSS
def test_the_generator_phase_leaves_the_discriminator_alone(spec: LossSpec) -> None:
    world = World()
    terms = spec.build(CONTEXT).compute(world.step("generator"))
    assert set(terms) == {"loss"}
    terms["loss"].backward()
    assert all(weight.grad is None for weight in world.discriminator.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in world.generator.parameters())


@EVERY_LOSS
def test_the_discriminator_phase_never_reaches_the_generator(spec: LossSpec) -> None:
    world = World()
    step = world.step("discriminator")
    world.generator.requires_grad_(True)
    minimised(spec.build(CONTEXT).compute(step)).backward()
    assert all(weight.grad is None for weight in world.generator.parameters())
    gradients = [weight.grad for weight in world.discriminator.parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients if gradient is not None) > 0


@EVERY_LOSS
def test_only_relativistic_generators_read_real_data(spec: LossSpec) -> None:
    world, loss = World(), spec.build(CONTEXT)
    one, other = (loss.compute(world.step("generator", x))["loss"] for x in (world.x, world.x + 1))
    assert bool(one == other) != spec.phases["generator"].reads_data
    assert spec.phases["generator"].reads_data == (spec.type == "relativistic")
    assert spec.phases["discriminator"].reads_data
    assert {name: phase.trains for name, phase in spec.phases.items()} == {
        "discriminator": {"discriminator"},
        "generator": {"generator"},
    }


def close(terms: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])


@EVERY_LOSS
@PHASES
def test_a_conditional_discriminator_judges_each_sample_as_of_its_class(
    spec: LossSpec, phase: str
) -> None:
    """D(x, y) = w_y . x and G(z, y) = z + y: the logits are known for any labels."""
    torch.manual_seed(0)
    x, z, weight = torch.randn(3, 6, 2, dtype=torch.float64) / 100  # within every clip
    labels, fake_labels = torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([5, 0, 1, 1, 3, 2])
    step = make_step(
        phase, Fakes((2,)), Slopes(weight), x, z, labels=labels, fake_labels=fake_labels
    )
    real = (weight[labels].clamp(-0.01, 0.01) if clips(spec) else weight[labels]) * x
    fake_weight = weight[fake_labels].clamp(-0.01, 0.01) if clips(spec) else weight[fake_labels]
    fake = fake_weight * (z + fake_labels[:, None])
    expected = terms_of(spec, phase, real.sum(1), fake.sum(1))
    close(spec.build(CONTEXT).compute(step), expected)


def clips(spec: LossSpec) -> bool:
    return isinstance(spec, WassersteinLoss) and spec.clip > 0


@EVERY_LOSS
@PHASES
def test_a_discriminator_of_packs_gives_one_logit_for_each(spec: LossSpec, phase: str) -> None:
    """D of pairs (a, b) is v . a + w . b; a pair is two neighbours of the batch."""
    torch.manual_seed(0)
    x, z = torch.randn(2, 6, 3, dtype=torch.float64)
    v, w = torch.randn(2, 3, dtype=torch.float64) / 1000
    step = make_step(phase, Fakes((3,)), Slopes(torch.cat([v, w])[None]), x, z, pack=2)
    real, fake = (each[::2] @ v + each[1::2] @ w for each in (x, z))
    assert len(real) == 3
    close(spec.build(CONTEXT).compute(step), terms_of(spec, phase, real, fake))


class Doubled:
    """An augmentation of known effect: 2 x + 1."""

    def draw(self, x: Tensor) -> None:
        return None

    def __call__(self, x: Tensor, draw: None) -> Tensor:
        return 2 * x + 1


@EVERY_LOSS
@PHASES
def test_real_samples_and_fakes_are_augmented_alike(spec: LossSpec, phase: str) -> None:
    torch.manual_seed(0)
    x, z = torch.randn(2, 6, 3, dtype=torch.float64)
    w = torch.randn(1, 3, dtype=torch.float64) / 1000
    step = make_step(phase, Fakes((3,)), Slopes(w), x, z, augmentations=[Doubled()])
    real, fake = ((2 * each + 1) @ w[0] for each in (x, z))
    close(spec.build(CONTEXT).compute(step), terms_of(spec, phase, real, fake))


def weights_after(clip: float, clip_after_steps: float | None) -> list[Tensor]:
    """D's and G's weights after six updates, clipped by the loss or by hand."""
    world, loss = World(), WassersteinLoss(clip=clip).build(CONTEXT)
    networks = {"discriminator": world.discriminator, "generator": world.generator}
    if clip_after_steps:
        clamp(world.discriminator, clip_after_steps)
    for phase in ("discriminator", "discriminator", "generator") * 2:
        terms = loss.compute(world.step(phase))
        weights = list(networks[phase].parameters())
        gradients = torch.autograd.grad(minimised(terms), weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.5 * gradient
        if phase == "discriminator" and clip_after_steps:
            clamp(world.discriminator, clip_after_steps)
    return [weight.detach() for network in networks.values() for weight in network.parameters()]


@torch.no_grad()
def clamp(network: nn.Module, bound: float) -> None:
    for weight in network.parameters():
        weight.clamp_(-bound, bound)


def test_clipping_before_phases_equals_clipping_after_steps() -> None:
    lazy, direct = weights_after(0.05, None), weights_after(0.0, 0.05)
    untouched = weights_after(0.0, None)
    for mine, theirs in zip(lazy, direct, strict=True):
        assert torch.equal(mine, theirs)
    assert not all(torch.equal(mine, free) for mine, free in zip(lazy, untouched, strict=True))


@PHASES
def test_wasserstein_clips_every_weight_in_place_before_anything_is_computed(phase: str) -> None:
    world = World()
    before = [weight.detach().clone() for weight in world.discriminator.parameters()]
    step = world.step(phase)
    WassersteinLoss().build(CONTEXT).compute(step)
    for weight, old in zip(world.discriminator.parameters(), before, strict=True):
        assert torch.equal(weight, old.clamp(-0.01, 0.01))
    assert any((old.abs() > 0.01).any() for old in before)
    assert torch.equal(step.fake_logits, world.discriminator(step.fake))


def test_a_clip_of_zero_leaves_the_weights_alone() -> None:
    world = World()
    before = [weight.detach().clone() for weight in world.discriminator.parameters()]
    WassersteinLoss(clip=0.0).build(CONTEXT).compute(world.step("discriminator"))
    after = list(world.discriminator.parameters())
    assert all(torch.equal(new, old) for new, old in zip(after, before, strict=True))
