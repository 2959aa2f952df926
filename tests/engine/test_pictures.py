"""Pictures of points: over those of the data, on the axes of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganzoo.data import Data, Samples
from ganzoo.errors import RunError
from ganzoo.pictures import open_png, point_plot, save_animation, save_png


class Bump:
    """A density that is high in the middle."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.square().sum(1)


def normal(dim: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(500, dim, generator=torch.Generator().manual_seed(0))


def blue(picture: Image.Image) -> int:
    """Number of pixels in the colour of generated points."""
    pixels = np.asarray(picture.convert("RGBA")).astype(int)
    return int(((pixels[..., 2] > pixels[..., 0] + 40) & (pixels[..., 3] > 0)).sum())


@pytest.mark.parametrize("transparent", [True, False])
@pytest.mark.parametrize("dim", [1, 2])
def test_points_are_drawn_on_the_axes_of_the_data(dim: int, transparent: bool) -> None:
    data = Data(Samples(normal(dim)))
    inside = blue(point_plot(normal(dim, 0.5), data, transparent=transparent))
    assert inside > 0
    away = torch.cat([torch.full((499, dim), 90.0), torch.zeros(1, dim)])
    assert blue(point_plot(away, data, transparent=transparent)) < inside


def test_a_picture_for_a_page_is_transparent_and_has_no_legend() -> None:
    data = Data(Samples(normal(2)))
    page = np.asarray(point_plot(normal(2), data, transparent=True).convert("RGBA"))
    assert page.shape[1] == 630
    assert (page[..., 3] == 0).mean() > 0.3
    file = np.asarray(point_plot(normal(2), data).convert("RGBA"))
    assert (file[..., 3] == 255).all()
    assert file.shape[1] == 500


def test_points_without_data_are_drawn_too() -> None:
    assert blue(point_plot(normal(2))) > 0
    assert blue(point_plot(normal(1))) > 0


def test_the_density_and_the_discriminator_are_drawn() -> None:
    samples = Samples(normal(1))
    plain = np.asarray(point_plot(normal(1), Data(samples)))
    known = np.asarray(point_plot(normal(1), Data(samples, density=Bump())))
    assert (plain != known).any()
    judged = np.asarray(point_plot(normal(1), Data(samples, density=Bump()), nn.Linear(1, 1)))
    assert (judged[..., 0].astype(int) > judged[..., 2].astype(int) + 100).sum() > 20
    assert not (known[..., 0].astype(int) > known[..., 2].astype(int) + 100).any()


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    frames = [tmp_path / f"{number}.png" for number in range(2)]
    for frame in frames:
        save_png(Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)), frame)
    assert np.asarray(open_png(frames[1])).sum() == sum(range(64))
    save_animation(frames, tmp_path / "all.gif")
    content = frames[1].read_bytes()
    for damaged in (b"", b"no picture", content[:-30], content[:50] + b"\0\0" + content[52:]):
        frames[1].write_bytes(damaged)
        with pytest.raises(RunError, match=r"1\.png is damaged: ") as error:
            save_animation(frames, tmp_path / "all.gif")
        assert error.value.hint == "restore it from a copy, or delete it"
