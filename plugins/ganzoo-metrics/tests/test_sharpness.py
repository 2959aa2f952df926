"""The variance of the Laplacian."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ganzoo_metrics import Sharpness
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ganzoo.api import BuildContext, UserError

Measure = Callable[..., dict[str, float]]
Draw = Callable[..., Tensor]


def test_noise_has_twenty_times_its_variance(measure: Measure, draw: Draw) -> None:
    # 4 weights of 1 and one of -4; [-1, 1] to [0, 1] halves the noise, and the mean of three
    # channels takes two thirds of its variance away.
    noise = 0.2 * draw(400, 3, 20, 20)
    values = measure(Sharpness(), noise, noise)
    assert values["sharpness"] == pytest.approx(20 * 0.1**2 / 3, rel=0.03)
    assert values["relative"] == pytest.approx(1)


def test_a_single_point_by_hand(measure: Measure) -> None:
    # One white pixel in the middle of 5x5 black ones: -4 there, 1 at its four neighbours.
    image = torch.full((1, 1, 5, 5), -1.0)
    image[0, 0, 2, 2] = 1
    assert measure(Sharpness(), image, image)["sharpness"] == pytest.approx(20 / 9)


def test_slopes_have_no_edges(measure: Measure, draw: Draw) -> None:
    slope = torch.linspace(-1, 1, 9).expand(2, 1, 9, 9)
    values = measure(Sharpness(), draw(5, 1, 9, 9), slope)
    assert values == {
        "sharpness": pytest.approx(0, abs=1e-12),
        "relative": pytest.approx(0, abs=1e-12),
    }


def test_blurred_images_are_less_sharp_and_noisy_ones_sharper(measure: Measure, draw: Draw) -> None:
    images = avg_pool2d(draw(50, 1, 18, 18), 3, stride=1)
    blurred = avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    noisy = images + 0.2 * draw(*images.shape, seed=1)
    relative = [measure(Sharpness(), images, x)["relative"] for x in (blurred, images, noisy)]
    assert relative[0] < 0.5
    assert relative[1] == pytest.approx(1)
    assert relative[2] > 1.2


def test_the_mean_is_one_over_images_not_over_pixels(measure: Measure, draw: Draw) -> None:
    sharp, flat = draw(100, 1, 8, 8), torch.zeros(50, 1, 8, 8)
    mixed = measure(Sharpness(), sharp, torch.cat([sharp, flat]))
    assert mixed["relative"] == pytest.approx(2 / 3)


def test_blank_real_images_have_nothing_to_compare_with(measure: Measure, draw: Draw) -> None:
    values = measure(Sharpness(), torch.zeros(5, 1, 8, 8), draw(5, 1, 8, 8))
    assert values["sharpness"] > 0
    assert math.isnan(values["relative"])


def test_images_that_are_too_small() -> None:
    with pytest.raises(UserError) as caught:
        Sharpness().build(BuildContext(sample_shape=(1, 2, 8), latent_dim=2))
    assert str(caught.value) == (
        "metric 'sharpness' looks at images of at least 3x3 pixels, and the data's are 2x8\n"
        "  = leave the metric out"
    )
