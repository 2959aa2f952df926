"""Penalties against critics whose gradients are known, and against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ganzoo_losses import R1, R2, Consistency, Dragan, GradientPenalty
from ganzoo_losses.penalties import (
    around,
    between,
    input_gradients,
    norm_deviation,
    squared_norm,
    translated,
)
from torch import Tensor, nn

from ganzoo.api import BuildContext, RegularizerSpec

from .conftest import Call, Fakes, Quadratic, Slopes, make_step

CONTEXT = BuildContext(sample_shape=(3, 4, 5), latent_dim=2)
NORM_PENALTIES = [GradientPenalty, Dragan]
ALL: list[RegularizerSpec] = [
    R1(gamma=0.7),
    R2(gamma=0.7),
    GradientPenalty(),
    GradientPenalty(one_sided=True, target=0.01),
    Dragan(),
    Consistency(),
]
EVERY_PENALTY = pytest.mark.parametrize("spec", ALL, ids=repr)


class World:
    """A critic, a generator of known samples, and a batch."""

    def __init__(self, critic: Call, shape: tuple[int, ...] = (3, 4, 5), N: int = 7) -> None:
        stream = torch.Generator().manual_seed(3)
        self.critic, self.generator = critic, Fakes(shape)
        self.x = torch.randn(N, *shape, dtype=torch.float64, generator=stream)
        self.z = 2 * torch.randn(N, math.prod(shape), dtype=torch.float64, generator=stream)

    @property
    def fake(self) -> Tensor:
        return self.z.view_as(self.x)

    def terms(self, spec: RegularizerSpec, **keywords: Any) -> dict[str, Tensor]:
        """The terms of a penalty in a phase that trains the critic."""
        step = make_step(
            "discriminator",
            self.generator,
            self.critic,
            self.x,
            self.z,
            differentiates=spec.differentiates,
            **keywords,
        )
        torch.manual_seed(4)
        return dict(spec.build(CONTEXT).compute(step))

    def total(self, spec: RegularizerSpec, **keywords: Any) -> Tensor:
        return torch.stack(list(self.terms(spec, **keywords).values())).sum()


def linear(weight: Tensor) -> Slopes:
    """D(x) = w . x."""
    return Slopes(weight[None])


def smooth_critic(shape: tuple[int, ...] = (3, 4, 5)) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0)
    ).double()


def unit(shape: tuple[int, ...]) -> Tensor:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return weight / weight.norm()


SHAPES = pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (3, 4, 5)])


@SHAPES
@pytest.mark.parametrize("spec", NORM_PENALTIES)
def test_a_critic_of_gradient_norm_1_costs_nothing(spec: Any, shape: tuple[int, ...]) -> None:
    """One norm over the whole batch, as a known library has it, gives (8 - 1)^2 = 49 here."""
    world = World(linear(unit(shape)), shape, N=64)
    assert world.total(spec(weight=1.0)).item() == pytest.approx(0, abs=1e-12)


@SHAPES
@pytest.mark.parametrize("norm", [0.25, 3.0])
def test_linear_critics_have_the_same_norm_everywhere(shape: tuple[int, ...], norm: float) -> None:
    world = World(linear(norm * unit(shape)), shape)
    assert world.total(R1(gamma=4.0)).item() == pytest.approx(2 * norm**2)
    assert world.total(R2(gamma=4.0)).item() == pytest.approx(2 * norm**2)
    for spec in NORM_PENALTIES:
        for target in (0.0, 1.0, 2.0):
            value = world.total(spec(weight=5.0, target=target)).item()
            assert value == pytest.approx(5 * (norm - target) ** 2)
            value = world.total(spec(weight=5.0, target=target, one_sided=True)).item()
            assert value == pytest.approx(5 * max(0, norm - target) ** 2)


@SHAPES
def test_quadratic_critics_have_the_samples_own_norm(shape: tuple[int, ...]) -> None:
    world = World(Quadratic(3.0), shape)
    real, fake = (each.flatten(1).square().sum(1) for each in (world.x, world.z))
    assert world.total(R1(gamma=0.5)).item() == pytest.approx(0.25 * 9 * real.mean().item())
    assert world.total(R2(gamma=0.5)).item() == pytest.approx(0.25 * 9 * fake.mean().item())
    x = world.x.requires_grad_()
    logits = world.critic(x)
    torch.testing.assert_close(
        norm_deviation(logits, x, target=2.0, one_sided=False),
        (3 * real.sqrt() - 2).square().mean(),
    )
    torch.testing.assert_close(
        norm_deviation(logits, x, target=9.0, one_sided=True),
        (3 * real.sqrt() - 9).clamp(min=0).square().mean(),
    )


@pytest.mark.parametrize(
    ("spec", "reads_x", "reads_z"),
    [
        (R1(), True, False),
        (R2(), False, True),
        (GradientPenalty(), True, True),
        (Dragan(), True, False),
    ],
    ids=repr,
)
def test_where_the_penalties_are_taken(spec: RegularizerSpec, reads_x: bool, reads_z: bool) -> None:
    """R1 depends on real samples only, R2 on fakes only, the norm penalty on both."""
    world = World(Quadratic(1.0))
    value = world.total(spec)
    world.x += 1
    assert bool(world.total(spec) != value) == reads_x
    value = world.total(spec)
    world.z += 1
    assert bool(world.total(spec) != value) == reads_z


def finite_difference(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Central differences of a sample's logit along every axis, `(N, D)`."""
    step, flat = 1e-5, x.flatten(1)
    columns = []
    for axis in range(flat.shape[1]):
        shift = torch.zeros_like(flat)
        shift[:, axis] = step
        up, down = (function((flat + sign * shift).view_as(x)) for sign in (1, -1))
        columns.append((up - down).detach() / (2 * step))
    return torch.stack(columns, dim=1)


def test_against_finite_differences() -> None:
    critic = smooth_critic()
    world = World(critic)
    real_norms = finite_difference(critic, world.x).norm(dim=1)
    fake_norms = finite_difference(critic, world.fake).norm(dim=1)
    x = world.x.clone().requires_grad_()

    def close(value: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(value.detach(), expected, rtol=1e-6, atol=1e-8)

    close(input_gradients(critic(x), x), finite_difference(critic, world.x))
    close(world.total(R1(gamma=3.0)), 1.5 * real_norms.square().mean())
    close(world.total(R2(gamma=3.0)), 1.5 * fake_norms.square().mean())
    torch.manual_seed(4)
    norms = finite_difference(critic, between(world.x, world.fake, 7)).norm(dim=1)
    close(world.total(GradientPenalty()), 10 * (norms - 1).square().mean())
    torch.manual_seed(4)
    norms = finite_difference(critic, around(world.x, 7, scale=0.5)).norm(dim=1)
    close(world.total(Dragan()), 10 * (norms - 1).square().mean())


@EVERY_PENALTY
def test_second_derivatives_reach_the_discriminator_and_none_the_generator(
    spec: RegularizerSpec,
) -> None:
    world = World(smooth_critic())
    terms = world.terms(spec)
    world.generator.requires_grad_(True)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert world.generator.weight.grad is None
    assert world.x.grad is None
    assert not world.x.requires_grad
    for name, weight in world.critic.named_parameters():  # type: ignore[attr-defined]
        if name != "3.bias":  # moves no gradient of D
            assert weight.grad.abs().sum() > 0, name


@EVERY_PENALTY
def test_gradients_are_those_of_the_values(spec: RegularizerSpec) -> None:
    """gradcheck with regard to all of D's weights: the second derivatives are right."""
    network = smooth_critic((2, 2, 2))
    names, weights = zip(*network.named_parameters(), strict=True)

    def value(*weights: Tensor) -> Tensor:
        def critic(x: Tensor) -> Tensor:
            values = dict(zip(names, weights, strict=True))
            return torch.func.functional_call(network, values, (x,))

        return World(critic, (2, 2, 2), N=3).total(spec)

    assert torch.autograd.gradcheck(value, weights)


@EVERY_PENALTY
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_flat_and_steep_critics_give_finite_terms_and_gradients(
    spec: RegularizerSpec, size: float
) -> None:
    critic = linear(size * unit((3, 4, 5)).float())
    world = World(critic)
    world.generator.float()
    world.x, world.z = world.x.float(), world.z.float()
    term = world.total(spec)
    term.backward()
    assert term.dtype == torch.float32
    assert term.isfinite()
    assert critic.weight.grad.isfinite().all()


@pytest.mark.parametrize("spec", [R1(), R2(), GradientPenalty(), Dragan()], ids=repr)
def test_a_step_along_the_penalty_brings_the_norm_to_its_target(spec: RegularizerSpec) -> None:
    critic = linear(3 * unit((3, 4, 5)))
    world = World(critic)
    target = getattr(spec, "target", 0.0)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(world.total(spec), critic.weight)
        with torch.no_grad():
            critic.weight -= 0.02 * gradient
    assert critic.weight.norm().item() == pytest.approx(target, abs=1e-3)


def test_weights_scale_their_terms() -> None:
    world = World(smooth_critic())
    for spec, key in [
        (R1, "gamma"),
        (R2, "gamma"),
        (GradientPenalty, "weight"),
        (Dragan, "weight"),
    ]:
        one, three = (world.total(spec(**{key: value})) for value in (1.0, 3.0))
        torch.testing.assert_close(three, 3 * one)
    fixed = world.total(Consistency(fake_weight=0.0))
    torch.testing.assert_close(world.total(Consistency(weight=20.0, fake_weight=0.0)), 2 * fixed)


def test_squared_norms_are_means_over_samples() -> None:
    critic = smooth_critic()
    x = World(critic).x.requires_grad_()
    alone = torch.stack([squared_norm(critic(x[i : i + 1]), x) for i in range(7)])
    torch.testing.assert_close(squared_norm(critic(x), x), alone.mean())


@SHAPES
def test_points_between_lie_on_the_line_of_their_own_pair(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 1000, *shape, dtype=torch.float64)
    shares = ((between(real, fake, 1000) - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), rtol=1e-6, atol=1e-6)
    assert 0 <= shares.min() < 0.01
    assert 0.99 < shares.max() <= 1
    assert shares[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares[:, 0].std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_points_around_are_moved_by_up_to_half_a_deviation_of_the_data() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(1000, 2, 4, 4, dtype=torch.float64) + 7
    noise = (around(x, 1000, scale=0.5) - x) / (0.5 * x.std(correction=0))
    assert noise.min() >= -1e-12
    assert 0.95 < noise.max() <= 1
    assert noise.mean().item() == pytest.approx(0.25, abs=0.01), "product of two uniforms"
    assert noise.square().mean().item() == pytest.approx(1 / 9, abs=0.01)
    largest = noise.flatten(1).amax(1)
    assert (largest < 0.2).any(), "each sample has a size of its own"
    torch.testing.assert_close(around(x[:1], 1, scale=2.0).isfinite().all(), torch.tensor(True))
    assert torch.equal(around(torch.ones(1, 1), 1, scale=0.5), torch.ones(1, 1))


class TestTranslation:
    def test_each_image_moves_by_whole_pixels_of_its_own(self) -> None:
        torch.manual_seed(0)
        dot = torch.zeros(500, 2, 16, 24)
        dot[:, :, 8, 12] = 1
        moved = translated(dot, shift=0.125, flip=False)
        assert moved.shape == dot.shape
        positions = moved[:, 0].nonzero()
        assert len(positions) == 500
        assert torch.equal(moved[:, 0], moved[:, 1]), "channels move together"
        assert set(positions[:, 1].tolist()) == set(range(6, 11)), "2 of 16 rows"
        assert set(positions[:, 2].tolist()) == set(range(9, 16)), "3 of 24 columns"
        assert len({tuple(p) for p in positions[:, 1:].tolist()}) == 35

    def test_borders_are_mirrored(self) -> None:
        image = torch.arange(5.0).expand(200, 1, 5, 5)
        rows = {tuple(row) for row in translated(image, shift=0.2, flip=False)[:, 0, 0].tolist()}
        assert rows == {(0, 1, 2, 3, 4), (1, 0, 1, 2, 3), (1, 2, 3, 4, 3)}

    def test_flips(self) -> None:
        torch.manual_seed(0)
        image = torch.arange(8.0).expand(400, 1, 8, 8)
        moved = translated(image, shift=0.05, flip=True)[:, 0, 0]
        falls = (moved[:, 3] > moved[:, 4]).float()
        assert falls.mean().item() == pytest.approx(0.5, abs=0.1)
        centred = moved[falls.bool() & (moved[:, 0] == 7) & (moved[:, 7] == 0)]
        assert torch.equal(centred[0], torch.arange(7.0, -1, -1))

    def test_it_moves_at_least_a_pixel_at_the_most(self) -> None:
        torch.manual_seed(0)
        image = torch.arange(4.0).expand(50, 1, 4, 4)
        assert not torch.equal(translated(image, shift=0.01, flip=False), image)

    def test_it_is_differentiable(self) -> None:
        x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)

        def move(x: Tensor) -> Tensor:
            torch.manual_seed(0)
            return translated(x, shift=0.25, flip=True)

        assert torch.autograd.gradcheck(move, (x,))


class TestConsistency:
    def test_a_critic_that_translations_do_not_move_costs_nothing(self) -> None:
        class Centre(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.amax((1, 2, 3))

        world = World(Centre(), (1, 8, 8))
        world.x.zero_()
        world.x[:, :, 4, 4] = torch.arange(7.0, dtype=torch.float64)[:, None]
        world.z = world.x.flatten(1)
        assert world.total(Consistency()) == 0

    def test_the_terms_are_mean_squared_changes(self) -> None:
        critic = smooth_critic()
        world = World(critic)
        terms = world.terms(Consistency(weight=2.0, fake_weight=3.0))
        torch.manual_seed(4)
        for name, weight, x in (("real", 2, world.x), ("fake", 3, world.fake)):
            change = critic(x) - critic(translated(x, shift=0.125, flip=False))
            torch.testing.assert_close(terms[name], weight * change.square().mean())

    def test_without_a_fake_weight_no_fakes_are_judged(self) -> None:
        world = World(smooth_critic())
        world.generator = None  # type: ignore[assignment]
        assert set(world.terms(Consistency(fake_weight=0.0))) == {"real"}

    def test_it_runs_the_discriminator_once_more_for_each_of_the_two(self) -> None:
        critic, passes = smooth_critic(), []
        critic.register_forward_hook(lambda *_: passes.append(1))
        World(critic).total(Consistency())
        assert len(passes) == 4


LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 2])
FAKE_LABELS = torch.tensor([2, 2, 0, 1, 1, 1, 0])


class TestConditional:
    """D(x, y) = w_y . x has the gradient w_y, and G(z, y) = z + y."""

    def world(self) -> tuple[World, Tensor]:
        weight = torch.stack([size * unit((2, 2, 2)) for size in (1.0, 2.0, 5.0)])
        return World(Slopes(weight), (2, 2, 2)), torch.tensor([1.0, 2.0, 5.0])

    def total(self, spec: RegularizerSpec) -> float:
        world, _ = self.world()
        return world.total(spec, labels=LABELS, fake_labels=FAKE_LABELS).item()

    def test_r1_is_that_of_the_real_classes_and_r2_of_the_fakes(self) -> None:
        _, norms = self.world()
        for spec, labels in ((R1, LABELS), (R2, FAKE_LABELS)):
            expected = norms[labels].square().mean().item() / 2
            assert self.total(spec(gamma=1.0)) == pytest.approx(expected)
        assert norms[LABELS].square().mean() != norms[FAKE_LABELS].square().mean()

    @pytest.mark.parametrize("spec", NORM_PENALTIES)
    def test_norms_are_taken_for_the_classes_of_the_real_samples(self, spec: Any) -> None:
        _, norms = self.world()
        expected = (norms[LABELS] - 1).square().mean().item()
        assert self.total(spec(weight=1.0)) == pytest.approx(expected)

    def test_points_lie_between_samples_of_one_class(self) -> None:
        """G is asked for the classes of the real samples: with z = 0 and x the class, x = G(z)."""
        points: list[Tensor] = []

        def critic(x: Tensor, labels: Tensor) -> Tensor:
            assert torch.equal(labels, LABELS) or torch.equal(labels, FAKE_LABELS)
            points.append(x)
            return x.flatten(1).square().sum(1)

        world = World(critic, (2,))
        world.z.zero_()
        world.x = LABELS.double()[:, None].expand(7, 2)
        world.total(GradientPenalty(), labels=LABELS, fake_labels=FAKE_LABELS)
        torch.testing.assert_close(points[-1].detach(), world.x)

    def test_consistency_compares_logits_of_the_same_class(self) -> None:
        """A critic of the class alone does not change under translations."""
        world = World(lambda x, labels: x.flatten(1).sum(1) * 0 + labels, (1, 4, 4))
        assert world.total(Consistency(), labels=LABELS, fake_labels=FAKE_LABELS) == 0


class TestPacked:
    """Pairs of neighbours: D of a pair is one logit, whose gradient is one of both samples."""

    @pytest.mark.parametrize("spec", NORM_PENALTIES)
    def test_linear_critics(self, spec: Any) -> None:
        world = World(linear(3 * unit((6, 4, 5))), N=8)
        assert world.total(R1(gamma=4.0), pack=2).item() == pytest.approx(2 * 9)
        assert world.total(R2(gamma=4.0), pack=2).item() == pytest.approx(2 * 9)
        assert world.total(spec(weight=5.0), pack=2).item() == pytest.approx(5 * (3 - 1) ** 2)

    def test_quadratic_critics(self) -> None:
        """|(a, b)|^2 = |a|^2 + |b|^2: twice the mean over samples."""
        world = World(Quadratic(3.0), N=8)
        for spec, x in ((R1, world.x), (R2, world.fake)):
            expected = 9 / 2 * 2 * x.flatten(1).square().sum(1).mean().item()
            assert world.total(spec(gamma=1.0), pack=2).item() == pytest.approx(expected)
        torch.manual_seed(4)
        y = between(world.x, world.fake, 4)
        norms = 3 * y.reshape(4, -1).norm(dim=1)
        expected = (norms - 1).square().mean().item()
        assert world.total(GradientPenalty(weight=1.0), pack=2).item() == pytest.approx(expected)

    def test_the_samples_of_a_pack_have_the_same_share(self) -> None:
        real, fake = torch.ones(6, 2), torch.zeros(6, 2)
        shares = between(real, fake, 3)
        assert torch.equal(shares[::2], shares[1::2])
        assert len(shares[:, 0].unique()) == 3


class TestAugmented:
    """D(T(x)) is differentiated with respect to x."""

    class Tripled:
        def draw(self, x: Tensor) -> None:
            return None

        def __call__(self, x: Tensor, draw: None) -> Tensor:
            return 3 * x

    @pytest.mark.parametrize("spec", [R1(gamma=2.0), R2(gamma=2.0)], ids=repr)
    def test_a_scaling_scales_the_gradient(self, spec: RegularizerSpec) -> None:
        world = World(linear(2 * unit((3, 4, 5))))
        value = world.total(spec, augmentations=[self.Tripled()]).item()
        assert value == pytest.approx(6**2)

    @pytest.mark.parametrize("spec", NORM_PENALTIES)
    def test_norms_as_well(self, spec: Any) -> None:
        world = World(linear(2 * unit((3, 4, 5))))
        value = world.total(spec(weight=1.0), augmentations=[self.Tripled()]).item()
        assert value == pytest.approx((6 - 1) ** 2)
