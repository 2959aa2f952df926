"""What a sweep's report says, and how a browser shows it."""

# Signs that look like others are part of what is tested.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from ganzoo.comparison.statistics import summary
from ganzoo.evaluation.document import Direction
from ganzoo.sweeps.document import PointEntry, SurfaceEntry, SweepDocument
from ganzoo.sweeps.effects import Metric, is_separate, ranked
from ganzoo.sweeps.report import heat_map, write_report
from ganzoo.sweeps.sentences import sentences

from .conftest import Swept


def document(
    values: Mapping[str, Mapping[int, float]], better: Direction = "lower"
) -> SweepDocument:
    """As much of a document as sentences are made of; `values` are by label and seed."""
    points: list[Any] = [
        {
            **dict.fromkeys(PointEntry.__annotations__),
            "label": label,
            "state": "done",
            "summary": summary(list(by_seed.values())),
        }
        for label, by_seed in values.items()
    ]
    ranked(points, values, Metric("fid[x@1]", better))
    points.sort(key=lambda point: point["rank"])
    separate = len(points) > 1 and is_separate(points[1]["paired"])
    return cast(
        SweepDocument,
        {
            "metric": "fid[x@1]",
            "label": "fid",
            "better": better,
            "seeds": list(next(iter(values.values()))),
            "points": points,
            "best": {"point": 0, "separate": separate, "recipe": "best.toml"},
        },
    )


OPTIMISTIC = (
    "The best point is chosen by the values that it is shown with, so its value is optimistic."
)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"a=1": {0: 10, 1: 11}, "a=2": {0: 5, 1: 6}},
            [
                "a=2 is best of 2 points: fid 5.500 (0.916 to 10.1), the mean of 2 seeds.",
                "At equal seeds it is better than the second, a=1, by 5 (no spread).",
                OPTIMISTIC,
            ],
        ),
        (
            {"a=1": {0: 10, 1: 11}, "a=2": {0: 12, 1: 10}, "a=3": {0: 12, 1: 13}},
            [
                "a=1 is best of 3 points: fid 10.50 (5.92 to 15.1), the mean of 2 seeds.",
                "It is not separate from the second, a=2: the difference at equal seeds is "
                "0.500 (−13.3 to 14.3).",
                OPTIMISTIC,
            ],
        ),
        (
            {"a=1": {0: 10, 1: 11}, "a=2": {0: 12, 1: 10}, "a=3": {0: 10, 1: 13}},
            [
                "a=1 is best of 3 points: fid 10.50 (5.92 to 15.1), the mean of 2 seeds.",
                "It is not separate from the second, a=2: the difference at equal seeds is "
                "0.500 (−13.3 to 14.3).",
                "2 of 2 other points are not separate from it.",
                OPTIMISTIC,
            ],
        ),
        (
            {"a=1": {0: 10}, "a=2": {0: 12}},
            [
                "a=1 is best of 2 points: fid 10 with one seed.",
                "The second is a=2 with 12. With one seed for each point, differences cannot be "
                "distinguished from chance.",
                OPTIMISTIC,
            ],
        ),
        (
            {"a=1": {0: 1}, "a=2": {0: 1}, "a=3": {0: 2}},
            [
                "2 points share the best value, fid 1 with one seed: a=1; a=2.",
                "The first of them, a=1, is written.",
                OPTIMISTIC,
            ],
        ),
        ({"a=1": {0: 1}}, ["a=1 is best of 1 point: fid 1 with one seed."]),
    ],
)
def test_the_best_is_called_separate_only_where_it_is(
    values: dict[str, dict[int, float]], told: list[str]
) -> None:
    assert sentences(document(values)) == told


def test_where_higher_is_better_the_difference_has_no_sign() -> None:
    data = document({"a=1": {0: 10, 1: 11.5}, "a=2": {0: 5, 1: 6}}, "higher")
    assert sentences(data)[1] == (
        "At equal seeds it is better than the second, a=2, by 5.25 (2.96 to 7.54)."
    )


@pytest.mark.parametrize(("better", "depths"), [("lower", [45, 0]), ("higher", [0, 45])])
def test_the_better_a_cell_the_deeper_its_colour(better: Direction, depths: list[int]) -> None:
    surface: SurfaceEntry = {
        "rows": "a",
        "columns": "b",
        "row_values": ["1"],
        "column_values": ["2", "3", "4"],
        "points": 1,
        "cells": [[summary([1.0]), summary([9.0]), None]],
    }
    drawn = heat_map(surface, document({"a=1": {0: 1.0}}, better))
    ((_, cells),) = drawn.rows
    assert [cell.depth for cell in cells[:2]] == depths
    assert [cell.best for cell in cells] == [depth == 45 for depth in depths] + [False]
    assert cells[2].text == "–"


@pytest.mark.parametrize("options", [{}, {"search": 3}], ids=["grid", "search"])
def test_the_page(swept: Swept, browser: Any, options: dict[str, Any]) -> None:
    swept("gan.toml", "optimizer.lr=1e-3,1e-2", "ema.decay=0,0.5", **options)
    path = Path("sweep/report.html").absolute()
    assert "http://" not in re.sub(r"data:image/[^\"]*", "", path.read_text())
    for width in (1400, 390):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            heard: list[str] = []
            page.on("console", lambda message, heard=heard: heard.append(message.text))
            page.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
            page.on("request", lambda request, heard=heard: heard.append(request.url[:5]))
            page.goto(path.as_uri())
            assert set(heard) <= {"file:", "data:"}
            overflow = "document.documentElement.scrollWidth > innerWidth"
            assert not page.evaluate(overflow), f"wider than {width}"
            links = "[...document.querySelectorAll('nav a')].map(link => link.hash.slice(1))"
            ids = "[...document.querySelectorAll('main > section')].map(section => section.id)"
            assert page.evaluate(links) == page.evaluate(ids)
            assert page.evaluate(
                "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
            )
            page.close()


def test_values_are_no_markup(swept: Swept) -> None:
    """`|` would end a cell of Markdown, `<` begin an element."""
    lr = "{ from = 1e-3, to = 0, shape = '<b>|' }"
    Path("sweep").mkdir()
    data = swept("gan.toml", "optimizer.lr=1e-3,1e-2").data
    data["points"][0]["values"]["optimizer.lr"] = data["points"][0]["label"] = lr
    write_report(data, Path("sweep"))
    page, text = (Path("sweep", name).read_text() for name in ("report.html", "sweep.md"))
    assert "<b>" not in page + text
    assert "&lt;b&gt;|" in page
    assert "&lt;b&gt;\\|" in text
