"""The plots of a comparison: dots with intervals, and curves over three axes."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from reports import VALUES

import ganzoo.evaluation
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.dots import REACH, Dots, draw_dots
from ganzoo.evaluation.figures import PAGE, PAPER, page_svg, save_figure
from ganzoo.evaluation.plots import all_plots, dot_plots, file_name, value_curves

STYLE = (Path(ganzoo.evaluation.__file__).parent / "templates" / "report.css").read_text()


def dots(label: str, series: int, *values: float, reach: float | None = None) -> Dots:
    mean = sum(values) / len(values)
    ends = (None, None) if reach is None else (mean - reach, mean + reach)
    return Dots(label, series, values, mean, *ends)


def drawn(figure: Any, gid: str) -> list[tuple[list[float], list[float]]]:
    """Horizontal and vertical places of the lines and dots of a model."""
    lines = [line for line in figure.axes[0].lines if line.get_gid() == gid]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def test_a_row_has_its_runs_its_mean_and_its_interval() -> None:
    rows = [dots("a", 3, 1.0, 2.0, 6.0, reach=2.5), dots("b", 0, 5.0)]
    figure = draw_dots(rows, "FID", PAPER)
    (ends, _), (mean, _), (seeds, _) = drawn(figure, "of-3")
    assert (ends, mean, seeds) == ([0.5, 5.5], [3.0], [1.0, 2.0, 6.0])
    (mean, first), (seeds, second) = drawn(figure, "of-0")
    assert (mean, seeds) == ([5.0], [5.0])
    assert second[0] > first[0]
    texts = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert texts == {"a": PAPER.colour(3), "b": PAPER.colour(0)}


def test_an_interval_that_is_too_wide_is_cut_off_with_an_arrow() -> None:
    figure = draw_dots([dots("a", 0, 1.0, 2.0, reach=1000), dots("b", 1, 1.5)], "x", PAPER)
    low, high = figure.axes[0].get_xlim()
    assert 1 - REACH - 0.5 < low < 1 - REACH
    assert 2 + REACH < high < 2 + REACH + 0.5
    arrows = [line.get_marker() for line in figure.axes[0].lines if line.get_gid() is None]
    assert arrows == ["<", ">"]


@pytest.mark.parametrize("value", [0.0, 3.0, -2e-9])
def test_equal_values_have_an_axis_around_them(value: float) -> None:
    low, high = draw_dots([dots("a", 0, value, value, reach=0)], "x", PAPER).axes[0].get_xlim()
    assert low < value < high


def test_names_are_no_mathematics() -> None:
    row = dots(r"$\frac", 0, 1.0)
    assert r"$\frac" in page_svg(draw_dots([row], r"$\alpha", PAGE), "a")


def test_values_that_are_not_finite_have_no_dot() -> None:
    row = Dots("a", 0, [1.0, float("nan")], 1.0, None, None)
    assert drawn(draw_dots([row], "x", PAPER), "of-0")[1][0] == [1.0]


def test_files_have_the_colours_of_the_light_theme() -> None:
    light = dict(re.findall(r"--([\w-]+): (#\w{6});", STYLE.partition("@media")[0]))
    assert (PAPER.ink, PAPER.rule) == (light["muted"], light["rule"])
    assert list(PAPER.series) == [light[f"series-{number}"] for number in range(8)]


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_files_are_the_same_again(kind: str, tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        save_figure(draw_dots([dots("a", 0, 1.0, 2.0)], "x", PAPER), tmp_path / f"a.{kind}")
        written.append((tmp_path / f"a.{kind}").read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith({"svg": b"<?xml", "pdf": b"%PDF"}[kind])
    assert b"var(--" not in written[0]


def test_models_are_ranked_from_the_best(comparison: ComparisonDocument) -> None:
    fid, recall = dot_plots(comparison)
    assert (fid.title, fid.name, list(fid.series)) == ("FID", "fid", [1, 0, 2])
    assert list(recall.series) == [1, 0, 2]
    assert fid.alt == (
        "FID, lower is better: digits-vae, mixture 9, digits-vae 10 and digits-mlp-gan 1,234."
    )
    rows = list(csv.DictReader(io.StringIO(fid.table)))
    assert len(rows) == 6
    assert rows[0] == {"model": "digits-vae, mixture", "seed": "0", VALUES[0]: "8.955"}


def test_curves_go_over_iterations_images_and_seconds(comparison: ComparisonDocument) -> None:
    curve = next(value_curves(comparison))
    assert list(curve.drawings) == ["iterations", "images", "seconds"]
    rows = list(csv.DictReader(io.StringIO(curve.table)))
    (first, *_) = rows
    # Snapshots after 5, 10, 15 and 20 iterations of 16; what was logged is at 10 and 20.
    assert [row["iterations"] for row in rows[:4]] == ["5", "10", "15", "20"]
    assert [row["images"] for row in rows[:4]] == ["80", "160", "240", "320"]
    assert [row["seconds"] for row in rows[:4]] == ["0.050", "0.100", "0.150", "0.200"]
    assert first["model"] == "digits-vae"
    x = drawn(curve.drawings["seconds"](PAPER, False), "of-0")[0][0]
    assert x == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_an_axis_on_which_nothing_moves_is_left_out(comparison: ComparisonDocument) -> None:
    for model in comparison["models"]:
        for run in model["runs"]:
            for row in run["statistics"]:
                row["seconds"] = None
                row["images"] = 0
    assert {tuple(plot.drawings) for plot in all_plots(comparison)} == {("",), ("iterations",)}


def test_statistics_lie_over_each_other_and_no_run_twice(comparison: ComparisonDocument) -> None:
    for model in comparison["models"]:
        for run in model["runs"]:
            run["statistics"] = [
                {
                    "iteration": i,
                    "images": i,
                    "seconds": i,
                    "statistics": {"joint/loss": 1.0, "lr": 2},
                }
                for i in (1, 2)
            ]
    plots = [plot for plot in all_plots(comparison) if plot.column is None]
    assert [(plot.group, plot.title) for plot in plots] == [
        ("joint", "loss"),
        ("scheduled values", "lr"),
    ]
    assert list(plots[0].series) == [0, 2]  # the mixture is drawn from the runs of the first
    figure = plots[0].drawings["images"](PAPER, False)
    assert [len(drawn(figure, f"of-{series}")) for series in range(3)] == [2, 0, 2]


def test_a_file_says_what_it_shows(comparison: ComparisonDocument) -> None:
    curve = next(value_curves(comparison))
    alone, within = curve.alone(PAPER).axes[0], curve.drawings["images"](PAPER, False).axes[0]
    assert alone.get_ylabel() == curve.title
    assert [text.get_text() for text in alone.get_legend().get_texts()] == [
        "digits-vae",
        "digits-mlp-gan",
    ]
    assert (within.get_ylabel(), within.get_legend()) == ("", None)


def test_plots_have_names_of_their_own(comparison: ComparisonDocument) -> None:
    names = [plot.name for plot in all_plots(comparison)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in names)
    assert file_name("kl(P||G)", "over training") == "kl-P-G-over-training"
    assert file_name("///") == "value"
    column = dict(comparison["columns"][1])
    for model in comparison["models"]:
        model["summaries"]["fid"] = model["summaries"][VALUES[0]]
    comparison["columns"].append({**column, "name": "fid"})  # type: ignore[typeddict-item]
    assert {"fid", "fid-2"} <= {plot.name for plot in all_plots(comparison)}


def test_the_pages_svg_is_well_formed(comparison: ComparisonDocument) -> None:
    for plot in all_plots(comparison):
        for axis, draw in plot.drawings.items():
            svg = page_svg(draw(PAGE, False), plot.name + axis)
            root = xml.etree.ElementTree.fromstring(
                svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
            )
            shown = {node.get("class") for node in root.iter() if node.get("class")}
            assert {f"of-{series}" for series in plot.series} == shown
