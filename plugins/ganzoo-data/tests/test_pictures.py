"""How a picture file becomes a sample."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_data import ImageFolder
from ganzoo_data.catalogue import DECODERS, picture_reason
from ganzoo_data.pictures import PictureReader, PictureStream
from PIL import Image, UnidentifiedImageError, features

from ganzoo.engine import Data

Build = Callable[..., Data]


def read(file: Path, **keys: object) -> np.ndarray:
    """A file as the reader gives it, `(H, W, C)`."""
    return PictureReader(**keys)(file.read_bytes()).permute(1, 2, 0).numpy()  # type: ignore[arg-type]


def test_center_cuts_the_long_side(tmp_path: Path) -> None:
    pixels = np.arange(8, dtype=np.uint8)[None, :, None].repeat(4, 0).repeat(3, 2) * 30
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    assert np.array_equal(read(tmp_path / "wide.png", size=4), pixels[:, 2:6])
    tall = read(tmp_path / "tall.png", size=4)
    assert np.array_equal(tall, pixels[:, 2:6].transpose(1, 0, 2))


def test_none_squashes(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, :4] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    squashed = read(tmp_path / "wide.png", size=4, crop="none")
    assert squashed.shape == (4, 4, 3)
    assert (squashed[:, 0] > 190).all()
    assert (squashed[:, 3] < 10).all()


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = read(tmp_path / "board.png", size=8).astype(int)
    assert abs(small - 127).max() <= 12


def solid(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (4, 4), colour)


@pytest.mark.parametrize(
    ("image", "file", "expected"),
    [
        (solid("RGBA", (255, 0, 0, 0)), "clear.png", (255, 255, 255)),
        (solid("RGBA", (255, 0, 0, 255)), "red.png", (255, 0, 0)),
        (solid("RGBA", (200, 0, 0, 51)), "faint.png", (244, 204, 204)),
        (solid("LA", (0, 127)), "grey.png", (128, 128, 128)),
        (solid("L", 77), "l.png", (77, 77, 77)),
        (solid("1", 1), "bit.png", (255, 255, 255)),
        (solid("RGB", (10, 20, 30)).quantize(), "palette.png", (10, 20, 30)),
        (solid("CMYK", (0, 0, 0, 255)), "ink.jpg", (0, 0, 0)),
        (Image.fromarray(np.full((4, 4), 128 * 256, np.uint16)), "deep.png", (128, 128, 128)),
        (solid("RGB", (10, 20, 30)), "one.bmp", (10, 20, 30)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_colours(
    tmp_path: Path, image: Image.Image, file: str, expected: tuple[int, int, int]
) -> None:
    image.save(tmp_path / file)
    pixels = read(tmp_path / file, size=4).astype(int)
    assert pixels.shape == (4, 4, 3)
    assert abs(pixels - np.array(expected)).max() <= 1


def chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def png(file: Path, pixels: np.ndarray) -> None:
    """Write `(H, W, C)` of up to 16 bits, which Pillow can only for one channel."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_pictures_use_the_bits_that_the_brightest_of_them_needs(
    tmp_path: Path, build: Build, channels: int, in_memory: bool, bits: int
) -> None:
    (tmp_path / "faces").mkdir()
    for name, share in (("bright", 1.0), ("dark", 0.25)):
        pixels = np.full((12, 12, channels), int((2**bits - 1) * share))
        pixels[..., 3:] = 2**16 - 1
        png(tmp_path / "faces" / f"{name}.png", pixels)
    Image.new("RGB", (12, 12), (77, 77, 77)).save(tmp_path / "faces" / "eight.png")
    spec = ImageFolder(path="faces", size=12, held_out=0.0, in_memory=in_memory)
    part = build(spec).train
    samples = [part[index][0] for index in range(3)] if not in_memory else part.values
    values = sorted({int(value) for sample in samples for value in sample.unique()})
    assert values == pytest.approx([63, 77, 255], abs=1)


def test_a_transparent_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.gif", transparency=0)
    pixels = read(tmp_path / "a.gif", size=4)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [solid("RGB", (250, 0, 0)), solid("RGB", (0, 250, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "a.gif", size=4)[0, 0].tolist() == [250, 0, 0]


def test_one_channel_is_luminance(tmp_path: Path) -> None:
    solid("RGB", (255, 0, 0)).save(tmp_path / "red.png")
    grey = read(tmp_path / "red.png", size=4, channels=1)
    assert grey.shape == (4, 4, 1)
    assert (grey == 76).all()


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_the_orientation_of_a_camera_is_honoured(tmp_path: Path, extension: str) -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8] = 250  # bright on top as stored; 6 says that the top is the right-hand side
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / f"turned.{extension}"
    Image.fromarray(pixels).save(file, exif=exif, quality=95)
    pixels = read(file, size=16).astype(int)
    assert (pixels[:, 10:] > 230).all()
    assert (pixels[:, :6] < 20).all()


# Pictures that are not square


@pytest.mark.parametrize(
    ("shape", "size", "kept"),
    [
        ((4, 8), (4, 6), (slice(0, 4), slice(1, 7))),
        ((8, 4), (6, 4), (slice(1, 7), slice(0, 4))),
        ((8, 8), (4, 8), (slice(2, 6), slice(0, 8))),
        ((8, 8), (8, 2), (slice(0, 8), slice(3, 5))),
        ((4, 8), (4, 8), (slice(0, 4), slice(0, 8))),
    ],
)
def test_center_keeps_the_largest_part_of_the_shape(
    tmp_path: Path, shape: tuple[int, int], size: tuple[int, int], kept: tuple[slice, slice]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png", size=size), pixels[kept])
    assert read(tmp_path / "a.png", size=size, crop="none").shape == (*size, 3)


@pytest.mark.parametrize("picture", [(1, 1), (1, 900), (900, 1), (7, 5)])
@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 3), 4])
def test_every_shape_comes_out_of_every_picture(
    tmp_path: Path, picture: tuple[int, int], size: int | tuple[int, int]
) -> None:
    Image.new("RGB", picture, (9, 9, 9)).save(tmp_path / "a.png")
    reader = PictureReader(size=size)
    pixels = reader((tmp_path / "a.png").read_bytes())
    assert tuple(pixels.shape) == reader.shape
    assert (pixels == 9).all()


def test_a_size_is_in_the_recipe_as_it_is_understood() -> None:
    assert ImageFolder(path="a", size=(8, 8)) == ImageFolder(path="a", size=8)
    assert ImageFolder(path="a", size=(6, 8)).sample_shape == (3, 6, 8)


# Opacity


def test_four_channels_keep_opacity(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 200, dtype=np.uint8)
    pixels[:2, :, 3] = 0
    pixels[2:, :, 3] = 128
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png", size=4, channels=4)
    assert (found[:2] == 0).all()  # what cannot be seen has no colour
    assert (found[2:] == (200, 200, 200, 128)).all()
    small = read(tmp_path / "a.png", size=2, channels=4).astype(int)
    assert abs(small[1] - (200, 200, 200, 128)).max() <= 12
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "b.jpg", quality=100)
    assert (read(tmp_path / "b.jpg", size=4, channels=4)[..., 3] == 255).all()
    Image.new("LA", (4, 4), (77, 9)).save(tmp_path / "c.png")
    assert (read(tmp_path / "c.png", size=4, channels=4) == (77, 77, 77, 9)).all()


def test_transparent_pixels_give_their_neighbours_no_colour(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, :4] = (250, 0, 0, 255)
    pixels[:, 4:] = (0, 250, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    small = read(tmp_path / "a.png", size=3, channels=4)
    assert (small[..., 1] < 5).all()
    assert (small[:, 1, 0] > 240).all()


# Kinds of files


@pytest.mark.parametrize(
    "extension", ["png", "jpg", "jfif", "webp", "bmp", "tif", "TIFF", "ppm", "avif", "jp2"]
)
def test_kinds_of_files(tmp_path: Path, build: Build, extension: str) -> None:
    (tmp_path / "faces").mkdir()
    kind = {"jfif": "JPEG"}.get(extension)
    if (decoder := DECODERS.get(f".{extension}")) and not features.check(decoder):
        pytest.skip(f"this Pillow writes no {extension}")
    colour = (200, 100, 50)
    Image.new("RGB", (16, 16), colour).save(tmp_path / "faces" / f"a.{extension}", format=kind)
    values = build(ImageFolder(path="faces", size=8, held_out=0.0)).train.values
    assert (values.float() - torch.tensor(colour)[:, None, None]).abs().max() <= 4


@pytest.mark.parametrize("file", ["deep.tif", "deep.png", "deep.pgm", "packed.tif", "deep.jp2"])
def test_grey_pictures_of_16_bits_of_every_kind(tmp_path: Path, build: Build, file: str) -> None:
    (tmp_path / "faces").mkdir()
    pixels = np.full((8, 8), 1023, dtype=np.uint16)
    pixels[:4] = 512
    image = Image.fromarray(pixels)
    if file.endswith("pgm"):
        header = b"P5 8 8 65535 "
        (tmp_path / "faces" / file).write_bytes(header + pixels.astype(">u2").tobytes())
    else:
        image.save(
            tmp_path / "faces" / file, **{"compression": "tiff_lzw"} if "packed" in file else {}
        )
    for in_memory in (True, False):
        spec = ImageFolder(path="faces", size=8, channels=1, held_out=0.0, in_memory=in_memory)
        part = build(spec).train
        values = part[0][0] if isinstance(part, PictureStream) else part.values[0]
        assert sorted(values.unique().tolist()) == [128, 255]


def test_floating_point_pictures_are_refused(
    tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").mkdir()
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "faces" / "a.tif")
    solid("RGB", (1, 2, 3)).save(tmp_path / "faces" / "b.tif")
    build(ImageFolder(path="faces", size=4, held_out=0.0))
    err = capsys.readouterr().err
    assert "a.tif (its values are floating-point numbers: save it with 8 or 16 bits)" in err


def test_what_this_pillow_does_not_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    assert picture_reason(UnidentifiedImageError(), "a.AVIF") == "this Pillow reads no .avif"
    assert picture_reason(UnidentifiedImageError(), "a.png") == "not a picture"
