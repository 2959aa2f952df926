"""Augmentations against their definitions: exact shifts, rectangles, means and deviations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ganzoo_losses import DiffAugment, InstanceNoise
from ganzoo_losses.augmentations import Colour, Cutout, Translation
from torch import Tensor
from torch.nn.functional import pad

from ganzoo.api import Augmentation, AugmentationSpec, BuildContext
from ganzoo.ramps import Ramp, value_at

from .conftest import Fakes, Quadratic, make_step

CONTEXT = BuildContext(sample_shape=(3, 8, 8), latent_dim=2, iterations=1000)
ALL: list[AugmentationSpec] = [
    DiffAugment(),
    *(DiffAugment(policies=(policy,)) for policy in ("colour", "translation", "cutout")),
    InstanceNoise(),
]
EVERY_AUGMENTATION = pytest.mark.parametrize("spec", ALL, ids=repr)
NO_COLOUR = {"brightness": 0.0, "saturation": 0.0, "contrast": 0.0}


def applied(augmentation: Augmentation, x: Tensor) -> Tensor:
    """`x` changed by a draw of its own."""
    return augmentation(x, augmentation.draw(x))


def seeded(spec: AugmentationSpec) -> Callable[[Tensor], Tensor]:
    """The augmentation with the same draws at every call."""
    augmentation: Augmentation = spec.build(CONTEXT)

    def change(x: Tensor) -> Tensor:
        torch.manual_seed(5)
        return applied(augmentation, x)

    return change


def recoloured(x: Tensor, *, brightness: float, saturation: float, contrast: float) -> Tensor:
    strengths = {"brightness": brightness, "saturation": saturation, "contrast": contrast}
    colour = Colour(**{name: torch.tensor(value) for name, value in strengths.items()})
    return applied(colour, x)


def shifted(x: Tensor, *, shift: float) -> Tensor:
    return applied(Translation(torch.tensor(shift)), x)


def with_hole(x: Tensor, *, cutout: float) -> Tensor:
    return applied(Cutout(torch.tensor(cutout)), x)


def images(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    stream = torch.Generator().manual_seed(1)
    return 2 * torch.rand(*shape, dtype=dtype, generator=stream) - 1


def moved(x: Tensor, down: int, across: int) -> Tensor:
    """`x` `(..., H, W)` moved by plain slices, with zeros where nothing is."""
    margin = max(abs(down), abs(across))
    x = pad(x, (margin, margin, margin, margin))
    height, width = (side - 2 * margin for side in x.shape[-2:])
    return x[..., margin - down :, margin - across :][..., :height, :width]


class TestEveryAugmentation:
    @EVERY_AUGMENTATION
    @pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 8, 12), (2, 3, 28, 28), (2, 1, 64, 64)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_shape_and_dtype_stay(
        self, spec: AugmentationSpec, shape: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        x = images(*shape).to(dtype)
        before = x.clone()
        changed = seeded(spec)(x)
        assert changed.shape == x.shape
        assert changed.dtype == dtype
        assert changed.isfinite().all()
        assert not torch.equal(changed, x)
        assert torch.equal(x, before), "x itself is left alone"

    @EVERY_AUGMENTATION
    def test_each_sample_has_a_draw_of_its_own(self, spec: AugmentationSpec) -> None:
        """The i-th result is a function of the i-th sample and the i-th draw alone."""
        x, change = images(6, 3, 8, 8), seeded(spec)
        results = change(x)
        for i in range(6):
            torch.testing.assert_close(change(x[i].expand_as(x))[i], results[i])
        order = torch.tensor([3, 5, 0, 1, 2, 4])
        assert not torch.equal(change(x[order]), results[order]), "draws do not follow the content"
        assert len(change(x[0].expand_as(x)).unique(dim=0)) > 3, "the draws differ"

    @EVERY_AUGMENTATION
    def test_every_call_draws_anew_from_the_default_stream(self, spec: AugmentationSpec) -> None:
        x, augmentation = images(6, 3, 8, 8), spec.build(CONTEXT)
        assert not torch.equal(applied(augmentation, x), applied(augmentation, x))
        assert torch.equal(seeded(spec)(x), seeded(spec)(x))

    @EVERY_AUGMENTATION
    def test_all_that_is_random_is_in_the_draw(self, spec: AugmentationSpec) -> None:
        """The same draw gives the same change, of other samples too, and draws nothing more."""
        x, augmentation = images(6, 3, 8, 8), spec.build(CONTEXT)
        draw = augmentation.draw(x)
        state = torch.get_rng_state()
        first, second = (augmentation(x, draw) for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)
        other = augmentation(x.flip(0), draw)
        assert not torch.equal(other.flip(0), first), "a sample's change is that of its place"

    @EVERY_AUGMENTATION
    def test_gradients_of_any_order_flow_to_x(self, spec: AugmentationSpec) -> None:
        x = images(2, 3, 4, 4).requires_grad_()
        assert torch.autograd.gradcheck(seeded(spec), (x,))
        assert torch.autograd.gradgradcheck(lambda x: seeded(spec)(x).square(), (x,))

    @EVERY_AUGMENTATION
    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_layout_in_memory_does_not_matter(
        self, spec: AugmentationSpec, channels: int
    ) -> None:
        x = images(4, channels, 8, 12)
        layouts = [
            x.contiguous(memory_format=torch.channels_last),
            x.transpose(2, 3).contiguous().transpose(2, 3),
            torch.stack([x, x], dim=4)[..., 0],
            x[:1].expand(4, -1, -1, -1),
        ]
        for layout in layouts:
            changed = seeded(spec)(layout)
            assert changed.shape == layout.shape
            if isinstance(spec, DiffAugment):
                torch.testing.assert_close(changed, seeded(spec)(layout.contiguous()))
            else:
                assert 0.05 < (changed - layout).std() < 0.15

    @EVERY_AUGMENTATION
    def test_nothing_waits_for_the_device(self, spec: AugmentationSpec) -> None:
        """Tensors of the device `meta` have no values; asking for one raises."""
        x = torch.empty(4, 3, 8, 8, device="meta", requires_grad=True)
        changed = applied(spec.build(CONTEXT), x)
        changed.sum().backward()
        assert x.grad is not None
        assert x.grad.device.type == "meta"

    @EVERY_AUGMENTATION
    def test_one_sample_is_a_batch(self, spec: AugmentationSpec) -> None:
        assert seeded(spec)(images(1, 1, 8, 8)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (4, 3, 9, 16)])
def test_no_strength_is_no_change(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    assert torch.equal(seeded(DiffAugment(**NO_COLOUR, shift=0.0, cutout=0.0))(x), x)
    assert torch.equal(seeded(InstanceNoise(std=0.0))(x), x)


def test_policies_apply_in_the_order_given() -> None:
    x = images(50, 1, 8, 8)
    first = seeded(DiffAugment(policies=("cutout", "colour"), cutout=1.0))(x)
    last = seeded(DiffAugment(policies=("colour", "cutout"), cutout=1.0))(x)
    assert (last == 0).any(dim=(1, 2, 3)).all()
    assert not (first == 0).any(), "the hole was coloured with the rest"


class TestColour:
    def test_brightness_is_one_addition_for_each_image(self) -> None:
        x = images(4000, 3, 2, 2)
        added = (recoloured(x, brightness=0.5, saturation=0.0, contrast=0.0) - x).flatten(1)
        torch.testing.assert_close(added, added[:, :1].expand_as(added))
        self.uniform(added[:, 0], -0.5, 0.5)

    def test_saturation_moves_colours_about_the_grey_of_their_pixel(self) -> None:
        x = images(4000, 3, 2, 2)
        changed = recoloured(x, brightness=0.0, saturation=1.0, contrast=0.0)
        grey = x.mean(1, keepdim=True)
        torch.testing.assert_close(changed.mean(1, keepdim=True), grey)
        factors = ((changed - grey) / (x - grey)).flatten(1)
        torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=0, atol=1e-6)
        self.uniform(factors[:, 0], 0, 2)

    def test_contrast_moves_values_about_the_mean_of_their_image(self) -> None:
        x = images(4000, 3, 2, 2)
        changed = recoloured(x, brightness=0.0, saturation=0.0, contrast=0.5)
        mean = x.mean((1, 2, 3), keepdim=True)
        torch.testing.assert_close(changed.mean((1, 2, 3), keepdim=True), mean)
        factors = ((changed - mean) / (x - mean)).flatten(1)
        torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=0, atol=1e-6)
        self.uniform(factors[:, 0], 0.5, 1.5)

    def test_one_channel_has_no_saturation(self) -> None:
        x = images(10, 1, 8, 8)
        changes = [
            seeded(DiffAugment(policies=("colour",), saturation=saturation))(x)
            for saturation in (0.0, 1.0)
        ]
        assert torch.equal(*changes)
        assert torch.equal(recoloured(x, brightness=0.0, saturation=1.0, contrast=0.0), x)

    @staticmethod
    def uniform(values: Tensor, low: float, high: float) -> None:
        width = high - low
        assert low <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * width)
        assert values.std().item() == pytest.approx(width / 12**0.5, abs=0.02 * width)


class TestTranslation:
    @pytest.mark.parametrize(
        ("side", "shift", "largest"),
        [(8, 0.125, 1), (12, 0.125, 2), (16, 0.125, 2), (28, 0.125, 4), (8, 0.5, 4), (8, 0.05, 0)],
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_each_image_moves_by_whole_pixels_and_zeros_come_in(
        self, side: int, shift: float, largest: int, channels: int
    ) -> None:
        torch.manual_seed(0)
        x = images(1200, channels, side, side) + 2
        changed = shifted(x, shift=shift)
        moves = self.moves(changed)
        for image, result, (down, across) in zip(x, changed, moves, strict=True):
            assert torch.equal(result, moved(image, down, across))
        allowed = range(-largest, largest + 1)
        assert set(moves) == {(down, across) for down in allowed for across in allowed}
        mean = 1200 / len(allowed) ** 2
        assert all(abs(moves.count(move) - mean) < 6 * mean**0.5 for move in set(moves))

    @staticmethod
    def moves(changed: Tensor) -> list[tuple[int, int]]:
        """How far images without a zero were moved down and across, from the zeros that came in."""
        filled = (changed != 0).all(1).int()
        rows, columns = filled.amax(2), filled.amax(1)
        down, across = (
            marks.argmax(1) - marks.flip(1).argmax(1)  # zeros before, less zeros after
            for marks in (rows, columns)
        )
        return list(zip(down.tolist(), across.tolist(), strict=True))

    def test_sides_have_ranges_of_their_own(self) -> None:
        torch.manual_seed(0)
        dot = torch.zeros(500, 2, 16, 24)
        dot[:, :, 8, 12] = 1
        positions = shifted(dot, shift=0.125)[:, 0].nonzero()
        assert set(positions[:, 1].tolist()) == set(range(6, 11)), "2 of 16 rows"
        assert set(positions[:, 2].tolist()) == set(range(9, 16)), "3 of 24 columns"

    def test_an_image_may_leave_the_picture(self) -> None:
        torch.manual_seed(0)
        x = torch.ones(500, 1, 4, 4)
        areas = {int(area) for area in shifted(x, shift=1.0).sum((1, 2, 3)).tolist()}
        assert areas == {rows * columns for rows in range(5) for columns in range(5)}


class TestCutout:
    @pytest.mark.parametrize(
        ("height", "width", "cutout", "longest"),
        [
            (8, 8, 0.5, (4, 4)),
            (8, 12, 0.5, (4, 6)),
            (9, 10, 0.5, (5, 5)),
            (28, 28, 0.5, (14, 14)),
            (8, 8, 0.2, (2, 2)),
            (8, 8, 1.0, (8, 8)),
        ],
    )
    def test_a_rectangle_anywhere_on_the_image_becomes_zero(
        self, height: int, width: int, cutout: float, longest: tuple[int, int]
    ) -> None:
        torch.manual_seed(0)
        x = images(3000, 3, height, width)
        changed = with_hole(x, cutout=cutout)
        hole = changed == 0
        assert torch.equal(changed[~hole], x[~hole]), "the rest stays as it was"
        assert torch.equal(hole, hole[:, :1].expand_as(hole)), "channels share the hole"
        hole = hole[:, 0]
        rows, columns = hole.any(2), hole.any(1)
        assert torch.equal(hole, rows[:, :, None] & columns[:, None, :]), "it is a rectangle"
        for marks, side, length in ((rows, height, longest[0]), (columns, width, longest[1])):
            starts = range(-(length // 2), side - length + length // 2 + 1)
            spans = {
                tuple(start <= position < start + length for position in range(side))
                for start in starts
            }
            seen, counts = torch.unique(marks, dim=0, return_counts=True)
            assert {tuple(row) for row in seen.tolist()} == spans
            sizes = [sum(span) for span in spans]
            assert max(sizes) == length
            assert min(sizes) == length // 2 + (length % 2)
            mean = 3000 / len(starts)
            assert (counts - mean).abs().max() < 6 * mean**0.5

    def test_the_area_of_the_default(self) -> None:
        """On a side of 2 k, lengths k/2 .. k - 1 come twice and k k + 1 times."""
        torch.manual_seed(0)
        x = torch.ones(20000, 1, 8, 8)
        missing = (with_hole(x, cutout=0.5) == 0).float().mean().item()
        expected = ((2 * (2 + 3) + 4 * 5) / 9 / 8) ** 2
        assert missing == pytest.approx(expected, abs=0.003)


class TestInstanceNoise:
    @pytest.mark.parametrize("shape", [(5000, 2), (500, 1, 8, 8), (200, 3, 8, 8)])
    @pytest.mark.parametrize("std", [0.1, 0.4])
    def test_the_noise_is_normal_and_independent_of_the_samples(
        self, shape: tuple[int, ...], std: float
    ) -> None:
        x = images(*shape)
        noise = seeded(InstanceNoise(std=std))(x) - x
        assert noise.std().item() == pytest.approx(std, rel=0.03)
        assert noise.mean().item() == pytest.approx(0, abs=5 * std / noise.numel() ** 0.5)
        fourth = (noise / noise.std()).pow(4).mean().item()
        assert fourth == pytest.approx(3, abs=0.3), "as of a normal distribution"
        both = torch.stack([noise.flatten(), x.flatten()])
        assert abs(torch.corrcoef(both)[0, 1].item()) < 0.05

    def test_by_default_it_fades_over_the_first_half_of_the_run(self) -> None:
        assert isinstance(ramp := InstanceNoise().std, Ramp)
        for iteration, std in ((0, 0.1), (250, 0.05), (500, 0.0), (1000, 0.0)):
            assert value_at(ramp, iteration, 1001) == pytest.approx(std, abs=1e-12)


def test_the_changes_are_those_of_the_declaration() -> None:
    x = images(5, 3, 16, 16)
    spec = DiffAugment(brightness=0.1, saturation=0.2, contrast=0.3, shift=0.25, cutout=0.75)
    result = seeded(spec)(x)
    torch.manual_seed(5)
    colour = Colour(
        brightness=torch.tensor(0.1), saturation=torch.tensor(0.2), contrast=torch.tensor(0.3)
    )
    changes = [colour, Translation(torch.tensor(0.25)), Cutout(torch.tensor(0.75))]
    draws = [change.draw(x) for change in changes]
    for change, draw in zip(changes, draws, strict=True):
        x = change(x, draw)
    assert torch.equal(result, x)


class TestPaired:
    """What D reads of real samples and fakes that are equal before they are augmented."""

    @staticmethod
    def read(spec: AugmentationSpec, paired: bool) -> list[Tensor]:
        inputs: list[Tensor] = []
        critic = Quadratic(1.0)
        critic.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
        x = images(6, 3, 8, 8)
        step = make_step(
            "discriminator",
            Fakes((3, 8, 8)),
            critic,
            x,
            x.flatten(1),
            augmentations=[spec.build(CONTEXT)],
            paired=paired,
        )
        assert step.real_logits.shape == step.fake_logits.shape
        step.discriminate(x)
        return inputs

    @EVERY_AUGMENTATION
    def test_the_samples_of_a_step_share_the_draw(self, spec: AugmentationSpec) -> None:
        real, fake, others = self.read(spec, paired=True)
        assert torch.equal(real, fake)
        assert torch.equal(real, others)
        assert not torch.equal(real, images(6, 3, 8, 8))

    @EVERY_AUGMENTATION
    def test_the_next_step_has_another(self, spec: AugmentationSpec) -> None:
        first, second = (self.read(spec, paired=True)[0] for _ in range(2))
        assert not torch.equal(first, second)

    @EVERY_AUGMENTATION
    def test_by_default_nothing_is_shared(self, spec: AugmentationSpec) -> None:
        assert not spec.paired
        real, fake, others = self.read(spec, paired=False)
        assert not torch.equal(real, fake)
        assert not torch.equal(real, others)
        assert not torch.equal(fake, others)
