"""Pictures of points, over those of the data on their axes, and of images with opacity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganzoo.data import Data, Samples
from ganzoo.errors import RunError
from ganzoo.evaluation.panels import tile
from ganzoo.movies import save_movie, walk_frames
from ganzoo.pictures import (
    GROUND,
    image_grid,
    opaque,
    open_png,
    point_plot,
    save_animation,
    save_png,
    single_image,
    write_samples,
)


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


# Images of four channels


@pytest.fixture
def glass() -> Tensor:
    """Four images: red that cannot be seen, half, whole; and blue."""
    images = torch.full((4, 4, 5, 7), -1.0)
    images[:3, 0] = 1
    images[3, 2] = 1
    images[:, 3] = torch.tensor([-1.0, 0.0, 1.0, 1.0])[:, None, None]
    return images


def test_a_grid_has_the_opacity_of_its_images(glass: Tensor) -> None:
    picture = image_grid(glass, columns=4)
    assert picture.mode == "RGBA"
    scale = picture.width // (4 * 8 + 1)
    pixels = np.asarray(picture)[::scale, ::scale]
    assert pixels.shape == (5 + 2, 4 * 8 + 1, 4)
    found = [pixels[3, 4 + 8 * number].tolist() for number in range(4)]
    assert found == [[255, 0, 0, 0], [255, 0, 0, 128], [255, 0, 0, 255], [0, 0, 255, 255]]
    assert (pixels[:, ::8] == (GROUND, GROUND, GROUND, 255)).all()


def test_a_single_image_has_opacity(glass: Tensor, tmp_path: Path) -> None:
    save_png(single_image(glass[1]), tmp_path / "a.png")
    pixels = np.asarray(open_png(tmp_path / "a.png"))
    assert pixels.shape == (5, 7, 4)
    assert (pixels == (255, 0, 0, 128)).all()


def test_files_of_images_with_opacity(glass: Tensor, tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "a.jpg", "a.npy", "folder"):
        write_samples(glass, tmp_path / name)
    assert np.load(tmp_path / "a.npy").shape == (4, 4, 5, 7)
    assert len(list((tmp_path / "folder").iterdir())) == 4
    for name in ("a.png", "a.webp"):
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == "RGBA"
    with Image.open(tmp_path / "a.jpg") as picture:
        first = np.asarray(picture)[picture.height // 4, picture.width // 4].astype(int)
    assert first.min() > 240  # what is behind it is white


def test_movies_have_white_behind_what_is_transparent(glass: Tensor, tmp_path: Path) -> None:
    frames = []
    for number in range(4):
        frames.append(tmp_path / f"{number}.png")
        save_png(image_grid(glass[number : number + 1]), frames[-1])
    save_animation(frames, tmp_path / "a.gif")
    save_movie(walk_frames(glass[None]), tmp_path / "b.gif", rate=2)
    for name in ("a.gif", "b.gif"):
        with Image.open(tmp_path / name) as movie:
            colours = []
            for frame in range(4):
                movie.seek(frame)
                place = (movie.width // 2, movie.height // 2)
                colours.append(movie.convert("RGB").getpixel(place))
        expected = [[255, 255, 255], [255, 127, 127], [255, 0, 0], [0, 0, 255]]
        assert np.abs(np.array(colours) - expected).max() < 9


def test_what_has_no_transparency_stays_as_it_is() -> None:
    picture = Image.new("L", (3, 3), 7)
    assert opaque(picture) is picture


def test_tiles_of_a_report_have_opacity(glass: Tensor) -> None:
    pixels = np.asarray(tile(glass, 4))
    size = pixels.shape[1] // 4
    found = [pixels[5, size // 2 + size * number].tolist() for number in range(4)]
    assert found == [[255, 0, 0, 0], [255, 0, 0, 128], [255, 0, 0, 255], [0, 0, 255, 255]]
