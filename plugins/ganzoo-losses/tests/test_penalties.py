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

from ganzoo.api import Batch, BuildContext, Networks, RegularizerSpec

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


class Linear(nn.Module):
    """D(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.flatten()


class Quadratic(nn.Module):
    """D(x) = c |x|^2 / 2, whose gradient is c x."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.c * x.flatten(1).square().sum(1) / 2


class Fakes(nn.Module):
    """G(z): z times a weight, shaped as a sample."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return (z * self.weight).view(-1, *self.shape)


def smooth_critic(shape: tuple[int, ...] = (3, 4, 5)) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.Softplus(), nn.Linear(8, 1), nn.Flatten(0)
    ).double()


def unit(shape: tuple[int, ...]) -> Tensor:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return weight / weight.norm()


def setting(
    critic: nn.Module, shape: tuple[int, ...] = (3, 4, 5), N: int = 7
) -> tuple[Networks, Batch]:
    stream = torch.Generator().manual_seed(3)
    x = torch.randn(N, *shape, dtype=torch.float64, generator=stream)
    z = 2 * torch.randn(N, math.prod(shape), dtype=torch.float64, generator=stream)
    batch = Batch(x, z, None, torch.arange(N), torch.zeros(()))
    return Networks(Fakes(shape), critic, None), batch  # type: ignore[arg-type]


def total(spec: RegularizerSpec, networks: Networks, batch: Batch) -> Tensor:
    torch.manual_seed(4)
    return torch.stack(list(spec.build(CONTEXT).compute(networks, batch).values())).sum()


SHAPES = pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4), (3, 4, 5)])


@SHAPES
@pytest.mark.parametrize("spec", NORM_PENALTIES)
def test_a_critic_of_gradient_norm_1_costs_nothing(spec: Any, shape: tuple[int, ...]) -> None:
    """One norm over the whole batch, as a known library has it, gives (8 - 1)^2 = 49 here."""
    networks, batch = setting(Linear(unit(shape)), shape, N=64)
    assert total(spec(weight=1.0), networks, batch).item() == pytest.approx(0, abs=1e-12)


@SHAPES
@pytest.mark.parametrize("norm", [0.25, 3.0])
def test_linear_critics_have_the_same_norm_everywhere(shape: tuple[int, ...], norm: float) -> None:
    networks, batch = setting(Linear(norm * unit(shape)), shape)
    assert total(R1(gamma=4.0), networks, batch).item() == pytest.approx(2 * norm**2)
    assert total(R2(gamma=4.0), networks, batch).item() == pytest.approx(2 * norm**2)
    for spec in NORM_PENALTIES:
        for target in (0.0, 1.0, 2.0):
            value = total(spec(weight=5.0, target=target), networks, batch).item()
            assert value == pytest.approx(5 * (norm - target) ** 2)
            value = total(spec(weight=5.0, target=target, one_sided=True), networks, batch).item()
            assert value == pytest.approx(5 * max(0, norm - target) ** 2)


@SHAPES
def test_quadratic_critics_have_the_samples_own_norm(shape: tuple[int, ...]) -> None:
    networks, batch = setting(Quadratic(3.0), shape)
    real = batch.x.flatten(1).square().sum(1)
    fake = batch.z.square().sum(1)
    assert total(R1(gamma=0.5), networks, batch).item() == pytest.approx(
        0.25 * 9 * real.mean().item()
    )
    assert total(R2(gamma=0.5), networks, batch).item() == pytest.approx(
        0.25 * 9 * fake.mean().item()
    )
    deviation = norm_deviation(networks.discriminator, batch.x, target=2.0, one_sided=False)
    torch.testing.assert_close(deviation, (3 * real.sqrt() - 2).square().mean())
    torch.testing.assert_close(
        norm_deviation(networks.discriminator, batch.x, target=9.0, one_sided=True),
        (3 * real.sqrt() - 9).clamp(min=0).square().mean(),
    )


def test_where_the_penalties_look() -> None:
    """R1 depends on real samples only, R2 on fakes only, the norm penalty on both."""
    critic = Quadratic(1.0)
    networks, batch = setting(critic)
    other_x = Batch(batch.x + 1, batch.z, None, batch.indices, batch.iteration)
    other_z = Batch(batch.x, batch.z + 1, None, batch.indices, batch.iteration)
    for spec, reads_x, reads_z in [
        (R1(), True, False),
        (R2(), False, True),
        (GradientPenalty(), True, True),
        (Dragan(), True, False),
    ]:
        value = total(spec, networks, batch)
        assert bool(total(spec, networks, other_x) != value) == reads_x, spec
        assert bool(total(spec, networks, other_z) != value) == reads_z, spec


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
    networks, batch = setting(critic)
    fake = batch.z.view_as(batch.x)
    real_norms = finite_difference(critic, batch.x).norm(dim=1)
    fake_norms = finite_difference(critic, fake).norm(dim=1)
    torch.testing.assert_close(
        input_gradients(critic, batch.x).detach(), finite_difference(critic, batch.x),
        rtol=1e-6, atol=1e-8,
    )  # fmt: skip

    def close(value: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(value.detach(), expected, rtol=1e-6, atol=1e-8)

    close(total(R1(gamma=3.0), networks, batch), 1.5 * real_norms.square().mean())
    close(total(R2(gamma=3.0), networks, batch), 1.5 * fake_norms.square().mean())
    torch.manual_seed(4)
    middle = between(batch.x, fake)
    norms = finite_difference(critic, middle).norm(dim=1)
    close(total(GradientPenalty(), networks, batch), 10 * (norms - 1).square().mean())
    torch.manual_seed(4)
    norms = finite_difference(critic, around(batch.x, scale=0.5)).norm(dim=1)
    close(total(Dragan(), networks, batch), 10 * (norms - 1).square().mean())


@EVERY_PENALTY
def test_second_derivatives_reach_the_discriminator_and_none_the_generator(
    spec: RegularizerSpec,
) -> None:
    networks, batch = setting(smooth_critic())
    total(spec, networks, batch).backward()
    assert networks.generator.weight.grad is None
    assert batch.x.grad is None
    assert not batch.x.requires_grad
    for name, weight in networks.discriminator.named_parameters():
        if name != "3.bias":  # moves no gradient of D
            assert weight.grad.abs().sum() > 0, name


@EVERY_PENALTY
def test_gradients_are_those_of_the_values(spec: RegularizerSpec) -> None:
    """gradcheck with regard to all of D's weights: the second derivatives are right."""
    networks, batch = setting(smooth_critic((2, 2, 2)), (2, 2, 2), N=3)
    names, weights = zip(*networks.discriminator.named_parameters(), strict=True)

    def value(*weights: Tensor) -> Tensor:
        def critic(x: Tensor) -> Tensor:
            values = dict(zip(names, weights, strict=True))
            return torch.func.functional_call(networks.discriminator, values, (x,))

        return total(spec, Networks(networks.generator, critic, None), batch)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(value, weights)


@EVERY_PENALTY
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_flat_and_steep_critics_give_finite_terms_and_gradients(
    spec: RegularizerSpec, size: float
) -> None:
    critic = Linear(size * unit((3, 4, 5)).float())
    networks, batch = setting(critic)
    networks.generator.float()
    batch = Batch(batch.x.float(), batch.z.float(), None, batch.indices, batch.iteration)
    term = total(spec, networks, batch)
    term.backward()
    assert term.dtype == torch.float32
    assert term.isfinite()
    assert critic.weight.grad.isfinite().all()


@pytest.mark.parametrize("spec", [R1(), R2(), GradientPenalty(), Dragan()], ids=repr)
def test_a_step_along_the_penalty_brings_the_norm_to_its_target(spec: RegularizerSpec) -> None:
    critic = Linear(3 * unit((3, 4, 5)))
    networks, batch = setting(critic)
    target = getattr(spec, "target", 0.0)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(total(spec, networks, batch), critic.weight)
        with torch.no_grad():
            critic.weight -= 0.02 * gradient
    assert critic.weight.norm().item() == pytest.approx(target, abs=1e-3)


def test_weights_scale_their_terms() -> None:
    networks, batch = setting(smooth_critic())
    for spec, key in [
        (R1, "gamma"),
        (R2, "gamma"),
        (GradientPenalty, "weight"),
        (Dragan, "weight"),
    ]:
        one, three = (total(spec(**{key: value}), networks, batch) for value in (1.0, 3.0))
        torch.testing.assert_close(three, 3 * one)
    fixed = total(Consistency(fake_weight=0.0), networks, batch)
    torch.testing.assert_close(
        total(Consistency(weight=20.0, fake_weight=0.0), networks, batch), 2 * fixed
    )


def test_squared_norms_are_means_over_samples() -> None:
    critic = smooth_critic()
    _, batch = setting(critic)
    alone = torch.stack([squared_norm(critic, x[None]) for x in batch.x])
    torch.testing.assert_close(squared_norm(critic, batch.x), alone.mean())


@SHAPES
def test_points_between_lie_on_the_line_of_their_own_pair(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 1000, *shape, dtype=torch.float64)
    shares = ((between(real, fake) - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), rtol=1e-6, atol=1e-6)
    assert 0 <= shares.min() < 0.01
    assert 0.99 < shares.max() <= 1
    assert shares[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert shares[:, 0].std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_points_around_are_moved_by_up_to_half_a_deviation_of_the_data() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(1000, 2, 4, 4, dtype=torch.float64) + 7
    noise = (around(x, scale=0.5) - x) / (0.5 * x.std(correction=0))
    assert noise.min() >= -1e-12
    assert 0.95 < noise.max() <= 1
    assert noise.mean().item() == pytest.approx(0.25, abs=0.01), "product of two uniforms"
    assert noise.square().mean().item() == pytest.approx(1 / 9, abs=0.01)
    largest = noise.flatten(1).amax(1)
    assert (largest < 0.2).any(), "each sample has a size of its own"
    torch.testing.assert_close(around(x[:1], scale=2.0).isfinite().all(), torch.tensor(True))
    assert torch.equal(around(torch.ones(1, 1), scale=0.5), torch.ones(1, 1))


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

        networks, batch = setting(Centre(), (1, 8, 8))
        x = torch.zeros(7, 1, 8, 8, dtype=torch.float64)
        x[:, :, 4, 4] = torch.arange(7.0, dtype=torch.float64)[:, None]
        batch = Batch(x, x.flatten(1), None, batch.indices, batch.iteration)
        assert total(Consistency(), networks, batch) == 0

    def test_the_terms_are_mean_squared_changes(self) -> None:
        critic = smooth_critic()
        networks, batch = setting(critic)
        torch.manual_seed(4)
        terms = Consistency(weight=2.0, fake_weight=3.0).build(CONTEXT).compute(networks, batch)
        torch.manual_seed(4)
        for name, weight, x in (("real", 2, batch.x), ("fake", 3, batch.z.view_as(batch.x))):
            change = critic(x) - critic(translated(x, shift=0.125, flip=False))
            torch.testing.assert_close(terms[name], weight * change.square().mean())

    def test_without_a_fake_weight_the_generator_rests(self) -> None:
        networks, batch = setting(smooth_critic())
        networks = Networks(None, networks.discriminator, None)  # type: ignore[arg-type]
        terms = Consistency(fake_weight=0.0).build(CONTEXT).compute(networks, batch)
        assert set(terms) == {"real"}
