"""Pictures of reports from plain tensors, and charts in the page's colours."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganzoo.evaluation.curves import MOST_POINTS, Line, curve_chart
from ganzoo.evaluation.panels import (
    GAP,
    Range,
    arc_between,
    columns_for,
    line_between,
    picture,
    range_of,
    strongest_dimensions,
    tile,
)
from ganzoo.pictures import has_picture


def of_uri(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiling_shows_every_image_in_its_place_and_nothing_between(channels: int) -> None:
    values = torch.linspace(-1, 1, 5)
    tiled = tile(values[:, None, None, None].expand(5, channels, 64, 64), columns=3)
    assert tiled.size == (3 * 64 + 2 * GAP, 2 * 64 + GAP)
    pixels = np.asarray(tiled)
    for number, value in enumerate(values.tolist()):
        row, column = divmod(number, 3)
        y, x = row * (64 + GAP), column * (64 + GAP)
        image = pixels[y : y + 64, x : x + 64]
        assert (image[..., :-1] == round((value + 1) * 127.5)).all()
        assert (image[..., -1] == 255).all()
    assert (pixels[:, 64 : 64 + GAP, -1] == 0).all()
    assert (pixels[64 : 64 + GAP, :, -1] == 0).all()
    assert (pixels[64 + GAP :, 2 * (64 + GAP) :, -1] == 0).all()


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    image = torch.rand(1, 1, 28, 28) * 2 - 1
    pixels = np.asarray(tile(image, 1))[..., 0]
    assert pixels.shape == (56, 56)
    assert (pixels[::2, ::2] == pixels[1::2, 1::2]).all()
    expected = image.add(1).mul(127.5).round()[0, 0].numpy()
    assert (pixels[::2, ::2] == expected).all()


def test_large_images_are_averaged_down() -> None:
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(128, 64)
    tiled = tile(board.expand(1, 3, 256, 128), 1)
    assert tiled.size == (32, 64)
    inside = np.asarray(tiled)[2:-2, 2:-2, :3].astype(int)
    assert abs(inside - 127.5).max() < 3


def test_grey_pictures_lose_nothing_and_coloured_ones_little() -> None:
    grey = tile(torch.rand(4, 1, 64, 64) * 2 - 1, 2)
    shown = picture(grey, "what")
    assert shown.uri.startswith("data:image/png;base64,")
    assert (shown.width, shown.height, shown.alt) == (130, 130, "what")
    assert (np.asarray(of_uri(shown.uri)) == np.asarray(grey)).all()
    ramp = torch.linspace(-1, 1, 64).expand(4, 3, 64, 64)
    coloured = tile(ramp, 2)
    shown = picture(coloured, "")
    assert shown.uri.startswith("data:image/webp;base64,")
    back = np.asarray(of_uri(shown.uri).convert("RGBA")).astype(int)
    opaque = back[..., 3] == 255
    assert (opaque == (np.asarray(coloured)[..., 3] == 255)).all()
    assert abs(back - np.asarray(coloured))[opaque].mean() < 3


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((1, 8, 8), True), ((3, 8, 8), True), ((4, 8, 8), True), ((2, 8, 8), False), ((2,), False)],
)
def test_which_shapes_are_images(shape: tuple[int, ...], shown: bool) -> None:
    assert has_picture(shape) is shown


def test_a_square_holds_all() -> None:
    assert [columns_for(count) for count in (1, 4, 5, 36, 64)] == [1, 2, 3, 6, 8]


def test_lines_go_straight_from_one_end_to_the_other() -> None:
    first, second = torch.randn(2, 3, 5)
    path = line_between(first, second, 9)
    assert path.shape == (3, 9, 5)
    torch.testing.assert_close(path[:, 0], first)
    torch.testing.assert_close(path[:, 4], (first + second) / 2)
    torch.testing.assert_close(path[:, -1], second)


def test_arcs_keep_the_length_and_turn_evenly() -> None:
    first, second = (torch.nn.functional.normalize(x, dim=1) * 4 for x in torch.randn(2, 3, 6))
    path = arc_between(first, second, 7)
    torch.testing.assert_close(path[:, 0], first)
    torch.testing.assert_close(path[:, -1], second, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(path.norm(dim=2), torch.full((3, 7), 4.0))
    turns = torch.cosine_similarity(path[:, 1:], path[:, :-1], dim=2).acos()
    torch.testing.assert_close(turns, turns.mean(1, keepdim=True).expand(-1, 6), atol=1e-3, rtol=0)


def test_where_there_is_no_arc_the_line_is_taken() -> None:
    first = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    second = torch.tensor([[-1.0, -2.0], [6.0, 0.0]])
    torch.testing.assert_close(arc_between(first, second, 5), line_between(first, second, 5))


def test_the_range_follows_the_distribution() -> None:
    latents = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)) * 3 + 5
    assert range_of("normal", latents).reach == 2.5
    assert range_of("normal", latents).unit.tolist() == [1, 1]
    assert range_of("uniform", latents).reach == 1.0
    fitted = range_of("fitted", latents)
    torch.testing.assert_close(fitted.centre, torch.tensor([5.0, 5.0]), atol=0.4, rtol=0)
    torch.testing.assert_close(fitted.unit, torch.tensor([3.0, 3.0]), atol=0.4, rtol=0)


def test_a_traversal_moves_one_dimension_and_no_other() -> None:
    z = torch.randn(2, 4)
    along = Range(torch.full((4,), 10.0), torch.full((4,), 2.0), 2.5)
    moved = along.latents(z, 1, torch.tensor([-1.0, 0.0, 1.0]))
    assert moved.shape == (2, 3, 4)
    assert moved[0, :, 1].tolist() == [8, 10, 12]
    for other in (0, 2, 3):
        assert (moved[:, :, other] == z[:, None, other]).all()


def test_the_dimensions_that_move_pictures_most_come_first() -> None:
    weights = torch.tensor([0.1, 5.0, 0.0, -7.0, 1.0])
    sizes = []

    def decode(z: Tensor) -> Tensor:
        sizes.append(len(z))
        return (z * weights).sum(1)[:, None, None, None].expand(-1, 1, 4, 4)

    along = range_of("normal", torch.zeros(2, 5))
    assert strongest_dimensions(decode, torch.randn(64, 5), along, 3) == [3, 1, 4]
    assert sum(sizes) == 5 * 2 * 64


def test_few_latents_are_decoded_where_there_are_many_dimensions() -> None:
    sizes = []

    def decode(z: Tensor) -> Tensor:
        sizes.append(len(z))
        return z[:, :1, None, None]

    along = range_of("normal", torch.zeros(2, 784))
    assert strongest_dimensions(decode, torch.randn(64, 784), along, 1) == [0]
    assert set(sizes) == {2}


def texts(svg: str) -> list[str]:
    root = xml.etree.ElementTree.fromstring(
        svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    )
    return ["".join(node.itertext()).strip() for node in root.iter("text")]


def test_a_chart_has_the_pages_colours_and_no_others() -> None:
    lines = [Line([1, 2], [3, 4], 0), Line([1, 2], [4, 3], 1), Line([1, 2], [2, 2], 9)]
    svg = curve_chart("a", lines, "iteration")
    assert svg.startswith('<svg viewBox="0 0 360 220')
    assert {"var(--series-0)", "var(--series-1)", "var(--muted)", "var(--rule)"} <= set(
        re.findall(r"var\([^)]*\)", svg)
    )
    assert "#" not in re.sub(r'(href="|url\()#\w+', "", svg)
    assert "iteration" in texts(svg)
    assert "stroke-dasharray" in svg


def test_charts_share_no_ids_and_are_the_same_again() -> None:
    lines = [Line([1, 2], [3, 4], 0)]
    one, two = (curve_chart(name, lines, "x", markers=True) for name in ("one", "two"))
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert curve_chart("one", lines, "x", markers=True) == one


def test_labels_of_small_and_negative_values_keep_their_digits() -> None:
    assert "0.002" in texts(curve_chart("a", [Line([0, 1], [0.001, 0.004], 0)], "x"))
    assert "\N{MINUS SIGN}2" in texts(curve_chart("a", [Line([0, 1], [-4, 0], 0)], "x"))
    small = texts(curve_chart("a", [Line([0, 1], [0.0, 2e-4], 0)], "x"))
    assert {"0", "1e\N{MINUS SIGN}4", "1.5e\N{MINUS SIGN}4"} <= set(small)
    assert "2,000" in texts(curve_chart("a", [Line([0, 4000], [1, 2], 0)], "x"))


def test_a_wide_span_is_drawn_on_a_logarithmic_axis() -> None:
    labels = texts(curve_chart("a", [Line([0, 1, 2], [0.1, 3, 1000], 0)], "x"))
    assert {"1", "10", "100"} <= set(labels)
    labels = texts(curve_chart("a", [Line([0, 1], [-1, 1000], 0)], "x"))
    assert "400" in labels


def test_values_that_are_not_finite_leave_a_gap() -> None:
    y = [1.0, 2.0, math.nan, math.inf, 3.0, 4.0]
    svg = curve_chart("a", [Line(range(6), y, 0)], "x")
    path = next(path for path in re.findall(r'<path d="([^"]*)" [^>]*series-0', svg))
    assert path.count("M") == 2


def test_long_lines_are_thinned_to_means() -> None:
    count = 10 * MOST_POINTS
    svg = curve_chart("a", [Line(range(count), [1, 3] * (count // 2), 0)], "x")
    path = next(path for path in re.findall(r'<path d="([^"]*)" [^>]*series-0', svg))
    heights = {float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)}
    assert max(heights) - min(heights) < 0.1
