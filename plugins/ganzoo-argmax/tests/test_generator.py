"""The generator: starts, pool, evaluation, state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from ganzoo_argmax import ArgmaxGenerator
from torch import Tensor, nn

from ganzoo.api import BuildContext, UserError
from ganzoo.engine import Data, Samples

POINTS = Data(Samples(torch.tensor([[0.0, -1.0], [4.0, 1.0], [2.0, 0.5]])))
MIDDLE = torch.tensor([2.0, 0.0])
"""The middle of the points' box, which is [-1, 5] x [-1.5, 1.5] by default."""


class Bowl(nn.Module):
    """D(x) = -|x - top|^2 / 2, with a weight and a dropout that would be noticed."""

    def __init__(self, top: Tensor) -> None:
        super().__init__()
        self.top = nn.Parameter(top)
        self.dropout = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return -self.dropout(x - self.top).square().flatten(1).sum(1) / 2


def context(data: Any = POINTS, **changes: Any) -> BuildContext:
    shape = changes.pop("sample_shape", (2,))
    discriminator = changes.pop("discriminator", Bowl(MIDDLE))
    return BuildContext(
        sample_shape=shape,
        latent_dim=changes.pop("latent_dim", math.prod(shape)),
        networks={"discriminator": discriminator},
        training_samples=len(data.train),
        data=data,
        **changes,
    )


def built(where: BuildContext | None = None, **keys: Any) -> Any:
    """A generator as it is before training."""
    where = where or context()
    spec = ArgmaxGenerator(**{"pool_size": 50, **keys})
    network = spec.build(replace(where, data=None))
    torch.manual_seed(0)
    spec.initialize(network, where)
    return network


def still(**keys: Any) -> Any:
    """A generator whose steps are negligibly short, so that samples are their starts."""
    return built(**{"steps": 1, "step_size": 1e-12, **keys})


def unit(x: Tensor) -> Tensor:
    """Points of the default box as shares of its sides."""
    return (x - torch.tensor([-1.0, -1.5])) / torch.tensor([6.0, 3.0])


def test_images_stay_within_one_and_points_near_the_data() -> None:
    image = built(context(sample_shape=(1, 4, 4), discriminator=Bowl(torch.tensor(5.0))))
    assert (image(torch.randn(3, 16)) <= 1).all()
    points = built(context(discriminator=Bowl(torch.tensor(50.0))), step_size=1.0)
    torch.testing.assert_close(points(torch.randn(3, 2)), torch.tensor([5.0, 1.5]).expand(3, 2))
    tight = built(context(discriminator=Bowl(torch.tensor(50.0))), step_size=1.0, margin=0.0)
    torch.testing.assert_close(tight(torch.randn(3, 2)), torch.tensor([4.0, 1.0]).expand(3, 2))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_noise_is_uniform_in_the_box(distribution: Any) -> None:
    generator = still(where=context(latent_distribution=distribution), start="noise")
    z = torch.randn(20_000, 2) if distribution == "normal" else torch.rand(20_000, 2) * 2 - 1
    for mode in (True, False):
        shares = unit(generator.train(mode)(z)).sort(dim=0).values
        steps = torch.linspace(0, 1, 20_000)[:, None]
        assert (shares - steps).abs().max() < 0.02, "Kolmogorov's distance"


def test_the_middle_of_the_latents_is_the_middle_of_the_box() -> None:
    assert torch.equal(still(start="noise")(torch.zeros(1, 2)), MIDDLE[None])


def test_the_discriminator_is_not_a_part_of_the_generator() -> None:
    generator = built()
    assert list(generator.parameters()) == []
    assert list(generator.children()) == []
    assert set(generator.state_dict()) == {"pool", "data", "low", "high"}
    discriminator = generator._discriminator[0].train()
    generator.eval()
    assert discriminator.training, "modes are each network's own"


def test_the_ascent_has_the_discriminator_in_evaluation_mode() -> None:
    generator = built(steps=100)
    with torch.no_grad():
        samples = generator(torch.randn(8, 2))
    torch.testing.assert_close(samples, MIDDLE.expand(8, 2), atol=1e-3, rtol=0)
    assert not samples.requires_grad
    assert generator._discriminator[0].training


def test_the_pool_begins_as_noise_in_the_box() -> None:
    shares = unit(built(pool_size=20_000).pool).sort(dim=0).values
    assert (shares - torch.linspace(0, 1, 20_000)[:, None]).abs().max() < 0.02
    assert built(start="noise").pool.shape == (0, 2)


def test_training_replaces_as_many_solutions_as_it_draws() -> None:
    generator = built(steps=3, noise=0.5)
    before = generator.pool.clone()
    samples = generator(torch.randn(8, 2))
    changed = (generator.pool != before).any(1)
    assert changed.sum() == 8
    assert generator.pool.shape == (50, 2)
    order = samples[:, 0].argsort()
    kept = generator.pool[changed]
    assert torch.equal(kept[kept[:, 0].argsort()], samples[order]), "by the solutions themselves"
    assert ((unit(generator.pool) >= 0) & (unit(generator.pool) <= 1)).all()


def test_solutions_go_back_to_where_their_starts_came_from() -> None:
    generator = still(restarts=0.0)
    before = generator.pool.clone()
    samples = generator(torch.randn(50, 2))
    torch.testing.assert_close(generator.pool, before)
    assert not torch.equal(samples, before), "in another order"


def test_every_solution_is_improved() -> None:
    generator = built(restarts=0.0, steps=30)
    for _ in range(60):
        generator(torch.randn(8, 2))
    torch.testing.assert_close(generator.pool, MIDDLE.expand(50, 2), atol=0.1, rtol=0)


def test_a_batch_may_be_larger_than_the_pool() -> None:
    generator = still(pool_size=5, restarts=0.0)
    before = generator.pool.clone()
    z = torch.randn(8, 2)
    samples = generator(z)
    assert generator.pool.shape == (5, 2)
    torch.testing.assert_close(generator.pool, before)
    torch.testing.assert_close(samples[:5].sum(0), before.sum(0))
    torch.testing.assert_close(samples[5:], still(start="noise")(z[5:]))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_restarts(share: float) -> None:
    generator = still(pool_size=10_000, restarts=share)
    z = torch.randn(10_000, 2)
    from_noise = (generator(z) - still(start="noise")(z)).abs().amax(1) < 1e-5
    assert from_noise.float().mean().item() == pytest.approx(share, abs=0.02)


def test_evaluation_changes_nothing_and_draws_nothing() -> None:
    generator = built(noise=0.5, start_noise=0.1).eval()
    before, stream = generator.pool.clone(), torch.get_rng_state()
    z = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    samples = generator(z)
    assert torch.equal(generator.pool, before)
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.equal(generator(z), samples), "the same z gives the same sample"
    torch.testing.assert_close(generator(z.flip(0)).flip(0), samples, msg="whatever the others are")


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_in_evaluation_the_first_value_of_z_chooses_a_solution(distribution: Any) -> None:
    generator = still(where=context(latent_distribution=distribution)).eval()
    quantiles = (torch.arange(50) + 0.5) / 50
    first = math.sqrt(2) * torch.erfinv(2 * quantiles - 1)
    first = first if distribution == "normal" else 2 * quantiles - 1
    z = torch.stack([first, torch.randn(50)], dim=1)
    torch.testing.assert_close(generator(z), generator.pool, msg="one interval for each")
    ends = torch.tensor(
        [[-9.0, 0.0], [9.0, 0.0]] if distribution == "normal" else [[-1.0, 0], [1, 0]]
    )
    torch.testing.assert_close(generator(ends), generator.pool[[0, -1]])


@pytest.mark.parametrize(("share", "count"), [(0.3, 15), (0.5, 25), (0.001, 1)])
def test_samples_are_drawn_from_the_best_share_of_the_pool(share: float, count: int) -> None:
    generator = still(best_share=share).eval()
    distances = torch.linalg.vector_norm(generator.pool - MIDDLE, dim=1)
    best = generator.pool[distances <= distances.sort().values[count - 1]]
    quantiles = (torch.arange(count) + 0.5) / count
    z = torch.stack([math.sqrt(2) * torch.erfinv(2 * quantiles - 1), torch.zeros(count)], dim=1)
    generator._discriminator[0].train()
    torch.testing.assert_close(generator(z), best, msg="each of them, in the pool's order")
    assert generator._discriminator[0].training
    assert generator(z).grad_fn is None


def test_training_starts_from_the_whole_pool() -> None:
    generator = still(best_share=0.1, restarts=0.0)
    samples = generator(torch.randn(50, 2))
    assert len(samples.unique(dim=0)) == 50


def test_z_makes_samples_from_the_same_solution_different() -> None:
    generator = still(start_noise=0.01, pool_size=1, restarts=0.0)
    z = torch.randn(6, 2)
    expected = (generator.pool + 0.01 * z).clamp(torch.tensor([-1.0, -1.5]), torch.tensor([5, 1.5]))
    torch.testing.assert_close(generator.eval()(z), expected)
    start = generator.pool.clone()
    torch.testing.assert_close(generator.train()(z[:1]), start + 0.01 * z[:1])


def test_evaluation_has_steps_of_its_own() -> None:
    """A step towards the top leaves the share 1 - step_size of the way."""
    keys: dict[str, Any] = {"start": "noise", "step_size": 0.5, "steps": 1}
    z = torch.randn(4, 2)
    start = still(start="noise")(z)
    for sampling_steps, left in ((None, 0.5), (3, 0.125)):
        generator = built(sampling_steps=sampling_steps, **keys)
        torch.testing.assert_close(generator.train()(z), MIDDLE + 0.5 * (start - MIDDLE))
        torch.testing.assert_close(generator.eval()(z), MIDDLE + left * (start - MIDDLE))


def test_training_follows_torchs_default_stream() -> None:
    def trained(seed: int) -> Any:
        generator = built(noise=0.1)
        torch.manual_seed(seed)
        for _ in range(3):
            generator(torch.ones(8, 2))
        return generator

    first = trained(1)
    assert torch.equal(trained(1).pool, first.pool)
    assert not torch.equal(trained(2).pool, first.pool)


@pytest.mark.parametrize("start", ["pool", "noise", "data"])
def test_the_state_is_all_that_was_set_from_the_data(start: Any) -> None:
    generator = built(start=start)
    generator(torch.randn(8, 2))
    spec = ArgmaxGenerator(start=start, pool_size=50)
    other = spec.build(replace(context(discriminator=generator._discriminator[0]), data=None))
    z = torch.randn(8, 2)
    assert not torch.equal(other.eval()(z), generator.eval()(z))
    other.load_state_dict(generator.state_dict())
    assert torch.equal(other.eval()(z), generator.eval()(z))


def test_before_the_data_are_known_the_box_is_wide_and_its_noise_finite() -> None:
    generator: Any = ArgmaxGenerator(pool_size=500).build(replace(context(), data=None))
    assert generator.pool.abs().amax(0).tolist() == pytest.approx([10, 10], rel=0.1)
    assert generator(torch.randn(8, 2)).isfinite().all()


@pytest.mark.parametrize(("pool_size", "count"), [(2, 2), (3, 3), (50, 3)])
def test_no_more_real_samples_are_kept_than_the_key_says(pool_size: int, count: int) -> None:
    generator = built(start="data", pool_size=pool_size)
    assert generator.data.shape == (count, 2)
    assert isinstance(POINTS.train, Samples)
    points = POINTS.train.values.tolist()
    rows = [points.index(row) for row in generator.data.tolist()]
    assert rows == sorted(set(rows)), "different ones, in the order of the data"


class Disk:
    """Samples that are read one by one."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.values[index], -1


def test_real_images_to_start_from_may_be_on_disk() -> None:
    images = torch.randint(0, 256, (9, 1, 4, 4), dtype=torch.uint8)
    memory, disk = (
        built(context(Data(part), sample_shape=(1, 4, 4)), start="data", pool_size=4)
        for part in (Samples(images), Disk(images))
    )
    assert memory.data.dtype == torch.uint8
    assert torch.equal(memory.data, disk.data)


@pytest.mark.parametrize(("shape", "wanted", "written"), [((2,), 2, "2"), ((1, 8, 8), 64, "1x8x8")])
def test_latents_of_another_size_are_refused(
    shape: tuple[int, ...], wanted: int, written: str
) -> None:
    with pytest.raises(UserError) as caught:
        ArgmaxGenerator().build(context(sample_shape=shape, latent_dim=100))
    assert caught.value.message == (
        "latent.dim = 100, but generator 'argmax' starts from noise in the shape of a sample, "
        f"{written}"
    )
    assert caught.value.hint == f"latent.dim = {wanted}"


def test_points_on_disk_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        built(context(Data(Disk(torch.zeros(5, 2)))))
    assert caught.value.message == (
        "generator 'argmax' computes the box of its samples from points in memory, but these are "
        "read from disk"
    )
    assert caught.value.hint == "data.in_memory = true where there is such a key"


@pytest.mark.parametrize("training", [True, False])
def test_starts_at_real_samples_chosen_and_moved_by_z(training: bool) -> None:
    generator = still(start="data", start_noise=0.1).train(training)
    # The first value chooses one of three samples, whatever the second is.
    z = torch.tensor([[-2.0, 1.0], [0.0, -1.0], [2.0, 0.0]])
    torch.testing.assert_close(generator(z), POINTS.train.values + 0.1 * z)


def test_real_images_are_scaled_to_the_range_of_samples() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    where = context(Data(Samples(images.contiguous())), sample_shape=(1, 4, 4))
    where = replace(where, networks={"discriminator": Bowl(torch.tensor(0.0))})
    z = torch.zeros(2, 16)
    z[:, 0] = torch.tensor([-1.0, 1.0])
    expected = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    torch.testing.assert_close(still(where=where, start="data")(z), expected)
