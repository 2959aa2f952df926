"""The report of a comparison of small real runs, as a browser shows it."""

# Signs that look like others are part of what is tested.
# ruff: noqa: RUF001

from __future__ import annotations

import copy
import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from reports import (
    NO_COST,
    QUICK,
    RECIPES,
    VALUES,
    Visit,
    comparison_of,
    model_entry,
    trained,
    values,
)

import ganzoo
from ganzoo.comparison.models import headline_entry
from ganzoo.errors import UserError
from ganzoo.evaluation import report_tables, report_text
from ganzoo.evaluation.document import ColumnEntry, ComparisonDocument
from ganzoo.evaluation.gallery import Gallery
from ganzoo.evaluation.report import write_report

NOT_DRAWN = [3]
"""A shape of samples that reports do not draw, for tests of everything else."""
EVIL = "<script>document.title='owned'</script>"


def test_the_page_needs_nothing_else(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    visit.page.wait_for_load_state("networkidle")
    assert visit.complaints == []
    assert {url.partition(":")[0] for url in visit.requests} <= {"file", "data"}
    assert [url for url in visit.requests if url.startswith("file:")] == [report.as_uri()]
    assert visit("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert "http://" not in re.sub(r"data:image/[^\"]*", "", report.read_text())
    assert report.stat().st_size < 1_000_000


def test_every_section_is_there_in_order(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    ids = "[...document.querySelectorAll('main > section')].map(section => section.id)"
    expected = ["summary", "metrics", "samples", "cost", "training", "paths", "dimensions", "codes"]
    assert visit(ids) == [*expected, "curves", "neighbours", "recipes"]
    links = "[...document.querySelectorAll('nav a')].map(link => link.hash.slice(1))"
    assert visit(links) == visit(ids)
    assert visit("[...document.links].every(link => link.hash)")


def visible_frames(visit: Visit) -> list[str]:
    frames: list[str] = visit(
        "[...document.querySelectorAll('.frame img')].filter(image => image.checkVisibility())"
        ".map(image => image.alt)"
    )
    return frames


def test_the_slider_moves_all_models_by_keyboard(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)

    def at(iteration: int) -> list[str]:
        names = ("digits-vae", "digits-mlp-gan")
        return [f"Samples of {name} after {iteration} iterations" for name in names]

    assert visible_frames(visit) == at(20)
    visit.page.get_by_label("Progress of training").focus()
    visit.page.keyboard.press("ArrowLeft")
    assert visible_frames(visit) == at(15)
    assert visit("document.querySelector('output').textContent") == "75 % of training"
    assert visit("document.getElementById('step').getAttribute('aria-valuetext')") == (
        "75 % of training"
    )
    visit.page.keyboard.press("Home")
    assert visible_frames(visit) == at(5)
    visit.page.keyboard.press("End")
    assert visible_frames(visit) == at(20)
    sources = "new Set([...document.querySelectorAll('.frame img')].map(image => image.src)).size"
    assert visit(sources) == 8


def column(visit: Visit, place: int) -> list[str]:
    cells: list[str] = visit(
        "[...document.querySelector('table.metrics').tBodies[0].rows]"
        f".map(row => row.cells[{place}].firstChild.textContent.trim())"
    )
    return cells


def test_a_column_sorts_both_ways_best_first(
    browser: Any, comparison: ComparisonDocument, tmp_path: Path
) -> None:
    comparison["data"]["sample_shape"] = NOT_DRAWN
    del comparison["models"][0]["summaries"][VALUES[1]]
    visit = Visit(browser, write_report(comparison, tmp_path))
    assert column(visit, 1) == ["10", "9", "1,234"]
    button = visit.page.get_by_role("button", name=re.compile("^FID"))
    button.focus()
    visit.page.keyboard.press("Enter")
    header = visit.page.locator("table.metrics th").nth(1)
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(visit, 1) == ["9", "10", "1,234"]
    visit.page.keyboard.press("Space")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(visit, 1) == ["1,234", "10", "9"]
    visit.page.get_by_role("button", name=re.compile("Recall")).click()
    assert header.get_attribute("aria-sort") == "none"
    assert column(visit, 2) == ["0.7500", "0.2500", "–"]
    visit.page.get_by_role("button", name=re.compile("Recall")).click()
    assert column(visit, 2) == ["0.2500", "0.7500", "–"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 320, 1200])
def test_nothing_overflows_the_page(browser: Any, report: Path, width: int, scheme: str) -> None:
    visit = Visit(browser, report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    visit("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert visit("document.documentElement.scrollWidth") <= width


def test_a_sheet_of_paper_holds_all_values(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, viewport={"width": 1017, "height": 700}, color_scheme="dark")
    visit.page.emulate_media(media="print")
    assert visit("document.documentElement.scrollWidth") <= 1017
    assert visit("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not visit("document.querySelector('.slider').checkVisibility()")


def luminance(colour: str) -> float:
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_are_legible(browser: Any, report: Path, scheme: str) -> None:
    visit = Visit(browser, report, color_scheme=scheme)

    def token(name: str) -> str:
        value: str = visit(
            f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()"
        )
        return value

    assert (luminance(token("paper")) < 0.05) is (scheme == "dark")
    assert visit("getComputedStyle(document.body).backgroundColor") == (
        "rgb(18, 22, 27)" if scheme == "dark" else "rgb(255, 255, 255)"
    )
    for ground in ("paper", "tint", "warning"):
        for text in ("ink", "muted", "accent"):
            assert contrast(token(text), token(ground)) >= 4.5, (text, ground)
    for number in range(8):
        assert contrast(token(f"series-{number}"), token("paper")) >= 3
    stroke = "getComputedStyle(document.querySelector('.chart [clip-path]')).stroke"
    assert visit(stroke).startswith("rgb(")


def test_the_page_can_be_read_by_other_means(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    assert visit("document.documentElement.lang") == "en"
    assert visit("document.querySelectorAll('h1').length") == 1
    assert visit("[...document.images].every(image => image.alt.trim().length > 5)")
    assert visit("[...document.querySelectorAll('table')].every(table => table.caption)")
    assert visit("[...document.querySelectorAll('th')].every(header => header.scope)")
    assert visit(
        "[...document.querySelectorAll('[role=img]')].every(chart => chart.ariaLabel.length > 5)"
    )
    assert visit("[...document.querySelectorAll('.scroll')].every(each => each.tabIndex === 0)")
    levels = visit("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert visit("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    calm = Visit(browser, report, reduced_motion="reduce")
    assert calm("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_what_the_comparison_says_is_never_markup(
    browser: Any, comparison: ComparisonDocument, tmp_path: Path
) -> None:
    comparison["title"] = EVIL
    comparison["command"] = f"ganzoo compare '{EVIL}'"
    comparison["models"][0]["label"] = comparison["models"][0]["name"] = EVIL
    comparison["headline"] = headline_entry(comparison["models"], comparison["columns"])
    comparison["models"][0]["runs"][1] |= {"state": "failed", "message": f"no {EVIL}"}
    comparison["differences"][0]["values"][0] = EVIL
    comparison["columns"][0]["meaning"] = comparison["columns"][1]["label"] = EVIL
    comparison["versions"][EVIL] = EVIL
    for row in comparison["models"][2]["runs"][0]["statistics"]:
        row["statistics"] = {EVIL: 1.0, "$\\frac": 2.0}
    path = write_report(comparison, tmp_path)
    visit = Visit(browser, path)
    assert visit("document.title") == EVIL
    assert EVIL in visit("document.querySelector('h1').textContent")
    assert visit("document.scripts.length") == 1
    assert visit.complaints == []
    assert f"no {EVIL}" in visit("document.querySelector('.warnings').textContent")
    markdown = (tmp_path / "comparison.md").read_text()
    # A block of code shows what it holds; everywhere else it would be markup.
    lines = [line for line in markdown.splitlines() if not line.startswith("    ")]
    assert "<script" not in "\n".join(lines)
    assert "&lt;script&gt;" in markdown
    assert f"    ganzoo compare '{EVIL}'" in markdown


def test_each_failed_run_and_sign_of_failure_has_one_warning(
    comparison: ComparisonDocument, browser: Any, tmp_path: Path
) -> None:
    for model in comparison["models"][:2]:
        model["runs"][0] |= {"state": "failed", "message": "the loss became nan"}
    wins = {"iteration": 1250, "name": "discriminator-wins", "text": "D always wins"}
    comparison["models"][2]["runs"][1]["warnings"] = [wins]
    comparison["models"][2]["runs"][1]["collapse"] = ["fid was 1 and is 9 at the end"]
    visit = Visit(browser, write_report(comparison, tmp_path))
    assert visit(
        "[...document.querySelectorAll('.warnings li')].map(each => each.textContent)"
    ) == [
        "digits-vae, seed 0 failed: the loss became nan",
        "digits-mlp-gan, seed 1 at iteration 1,250: D always wins",
        "digits-mlp-gan, seed 1 may have collapsed: fid was 1 and is 9 at the end",
    ]
    # The pictures come from the seed that is there.
    captions = visit(
        "[...document.querySelectorAll('#samples figcaption')].map(c => c.textContent)"
    )
    assert [re.sub(r"\s+", " ", caption).strip() for caption in captions] == [
        "real samples held out",
        "digits-vae seed 1",
        "digits-vae, mixture seed 1",
        "digits-mlp-gan seed 0",
    ]


def test_only_winners_are_bold(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    bold = "[...document.querySelectorAll('.metrics td strong')].map(each => each.textContent)"
    assert visit(bold) == ["1,234"]
    assert "0.5000" in report.with_name("comparison.md").read_text()
    assert "**1,234**" in report.with_name("comparison.md").read_text()


def test_both_files_have_the_same_values(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    markdown = report.with_name("comparison.md").read_text().replace("\\", "")
    cells = visit(
        "[...document.querySelectorAll('.metrics td, #cost td, .differences td')]"
        ".flatMap(cell => [...cell.childNodes].map(each => each.textContent.trim()))"
        ".filter(text => text)"
    )
    assert len(cells) > 30
    for cell in cells:
        assert cell.removeprefix("best ") in markdown


def test_a_comparison_without_a_picture_is_still_a_report(
    browser: Any, comparison: ComparisonDocument, tmp_path: Path
) -> None:
    for model in comparison["models"]:
        model["summaries"], model["cost"], model["parameters"] = {}, NO_COST, {}
        for run in model["runs"]:
            run |= {"state": "failed", "path": "gone", "history": [], "statistics": []}
    comparison["extractor"] = comparison["headline"] = None
    visit = Visit(browser, write_report(comparison, tmp_path))
    ids = "[...document.querySelectorAll('main > section')].map(section => section.id)"
    assert visit(ids) == ["summary", "metrics", "recipes"]
    assert visit.complaints == []


def test_a_run_that_is_gone_is_named(comparison: ComparisonDocument, tmp_path: Path) -> None:
    comparison["models"][2]["runs"][0]["path"] = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere is not a folder"):
        write_report(comparison, tmp_path)


def test_one_seed_has_no_intervals_and_no_verdict(
    browser: Any, comparison: ComparisonDocument, tmp_path: Path
) -> None:
    comparison["data"]["sample_shape"] = NOT_DRAWN
    comparison["seeds"] = [0]
    comparison["winners"] = dict.fromkeys(comparison["winners"])
    assert comparison["headline"] is not None
    comparison["headline"]["beaten"] = []
    for model in comparison["models"]:
        del model["runs"][1]
        for each in model["summaries"].values():
            each |= {"low": None, "high": None, "std": None, "seeds": 1}
        for paired in model.get("paired", {}).values():
            paired |= {"low": None, "high": None, "seeds": 1}
            if paired["verdict"]:
                paired["verdict"] = "no significant difference"
    visit = Visit(browser, write_report(comparison, tmp_path))
    said = visit("document.querySelector('.verdicts').textContent")
    assert "With one seed for each model, differences cannot be distinguished" in said
    assert "better in" not in said
    assert visit("document.querySelector('h1').textContent").startswith("One seed shows no ")
    assert visit("document.querySelectorAll('.metrics strong').length") == 0
    assert " to " not in visit("document.querySelector('.metrics tbody').textContent")


@pytest.mark.parametrize("name", ["ring-mlp-gan", "gaussian-1d-gan"])
def test_points_are_drawn_as_points(browser: Any, name: str, tmp_path: Path) -> None:
    runs = trained((name,), tmp_path / "runs", seeds=(0,))[name]
    shape = list(runs[0].recipe.data.spec.sample_shape)
    model = model_entry(name, runs, values(1, 0.5, 2)[:1])
    comparison = comparison_of([model], shape, "identity")
    visit = Visit(browser, write_report(comparison, tmp_path))
    ids = "[...document.querySelectorAll('main > section')].map(section => section.id)"
    expected = ["summary", "metrics", "samples", "cost", "training", "curves", "recipes"]
    assert visit(ids) == expected
    assert len(visible_frames(visit)) == 1
    assert visit.complaints == []
    grey = "Grey: the density of the data" if shape == [1] else "Grey: training samples"
    assert grey in visit("document.querySelector('#samples .note').textContent")
    summary = visit("document.querySelector('p.summary').textContent")
    assert f"points in {shape[0]} dimension" in summary


def test_equal_latents_are_named(runs: dict[str, list[ganzoo.Run]]) -> None:
    vae = runs["digits-vae"]
    models = [
        model_entry("one", vae, values(1, 0.5, 1)),
        model_entry("two", vae, values(1, 0.5, 1)),
        model_entry("third", vae, values(1, 0.5, 1), "mixture"),
    ]
    gallery = Gallery(comparison_of(models, [1, 8, 8]))
    assert gallery.shared_latents() == [["one", "two"]]
    _, one, two, third = (shown.picture.uri for shown in gallery.samples())
    assert one == two != third
    # Their codes and their timeline are those of one run.
    assert [shown.label for shown in gallery.codes()] == ["one", "one"]
    assert [timeline.label for timeline in gallery.timelines()] == ["one"]


def test_a_conditional_model_has_rows_of_one_class(tmp_path: Path) -> None:
    recipe = ganzoo.load_recipe(RECIPES / "digits-conditional-mlp.toml", *QUICK)
    run = ganzoo.train(recipe, runs=tmp_path)
    comparison = comparison_of([model_entry("classes", [run], values(1, 0.5, 1)[:1])], [1, 8, 8])
    (model,) = Gallery(comparison).models
    z, labels, columns = model.grid(64)
    assert columns == 6
    assert labels is not None
    assert labels.reshape(10, 6).tolist() == [[number] * 6 for number in range(10)]
    assert (z.reshape(10, 6, -1) == z[:6]).all()
    rows = model.decode(z, labels).reshape(10, 6, 1, 8, 8)
    single = run.sample(6, label=3)
    torch.testing.assert_close(rows[3], single)
    assert not torch.equal(rows[3], rows[4])
    gallery = Gallery(comparison)
    assert [shown.note for shown in gallery.samples()] == [
        "held out",
        "seed 0, one class in each row",
    ]
    # Every other picture of such a model can be drawn too.
    assert len(gallery.timelines()[0].frames) == 4
    assert [shown.label for shown in gallery.paths()] == ["classes"]
    assert [each.note for each in gallery.traversals()] == [
        "in standard deviations, samples of class 0"
    ]
    assert len(list(gallery.neighbours())) == 2


# --- words and numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (1234.5678, "1,235"),
        (0.41204, "0.4120"),
        (-3.14159, "−3.142"),
        (0.00041204, "0.0004120"),
        (3.2e-7, "3.200×10⁻⁷"),
        (4.56e12, "4.560×10¹²"),
        (-2.5e-9, "−2.500×10⁻⁹"),
        (math.nan, "not a number"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (None, "–"),
    ],
)
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert report_text.number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1.2, 3.456, "1.20 to 3.46"),
        (-0.5, 0.25, "−0.500 to 0.250"),
        (-3.0901, -3.0899, "−3.0901 to −3.0899"),
        (2.5, 2.5, "no spread"),
        (None, None, ""),
    ],
)
def test_intervals_have_the_digits_they_need(
    low: float | None, high: float | None, text: str
) -> None:
    assert report_text.interval(low, high) == text


def judging(name: str) -> ColumnEntry:
    return {"name": name, "label": name, "better": "lower", "headline": True, "meaning": ""}


def test_verdicts_and_remarks(comparison: ComparisonDocument) -> None:
    verdicts = report_text.verdicts(comparison)
    assert [verdict.label for verdict in verdicts] == ["digits-vae, mixture", "digits-mlp-gan"]
    assert list(verdicts[0].clauses) == [
        ("better in", "FID by 3.25"),
        ("no significant difference in", "Recall"),
    ]
    assert report_text.remarks(comparison) == [
        "digits-mlp-gan is best in FID: its interval overlaps no other."
    ]
    many = copy.deepcopy(comparison)
    for number in range(20):
        name = f"value-{number}"
        many["columns"].append(judging(name))
        many["models"][1]["paired"][name] = comparison["models"][1]["paired"][VALUES[0]]
    assert report_text.remarks(many)[-1] == (
        "Intervals are not corrected for multiple comparisons: among 24 with no real difference, "
        "about one would look significant."
    )


def test_many_metrics_without_a_difference_are_counted(comparison: ComparisonDocument) -> None:
    same = comparison["models"][1]["paired"][VALUES[1]]
    for number in range(3):
        name = f"same-{number}"
        comparison["columns"].append(judging(name))
        comparison["models"][1]["paired"][name] = same
    assert list(report_text.verdicts(comparison)[0].clauses) == [
        ("better in", "FID by 3.25"),
        ("no significant difference in", "4 of 5 metrics"),
    ]


def test_the_summary_says_what_was_compared(comparison: ComparisonDocument) -> None:
    assert report_text.summary(comparison) == (
        "digits-vae and digits-mlp-gan were trained on digits (8×8 grey images, 10 classes, "
        "1,500 training samples) with 2 seeds each (0, 1), for 20 iterations each. Metrics are "
        "computed at the end of training from 64 generated samples of each run and 64 held-out "
        "real samples. Those marked random@0123 are computed from the features of random maps."
    )
    comparison["models"] = comparison["models"][:1]
    comparison |= {"budget": None, "real_from": "train", "extractor": None, "seeds": [0]}
    assert report_text.summary(comparison) == (
        "digits-vae was trained on digits (8×8 grey images, 10 classes, 1,500 training samples) "
        "with 1 seed (0), for as long as its recipe says. Metrics are computed at the end of "
        "training from 64 generated samples of each run and 64 training samples, because the data "
        "set has no held-out samples."
    )


def test_recipes_of_one_name_are_told_apart(comparison: ComparisonDocument) -> None:
    changed = copy.deepcopy(comparison["models"][0])
    for run in changed["runs"]:
        run["path"] += "-changed"
    assert report_text.recipe_labels([*comparison["models"], changed]) == [
        "digits-vae",
        "digits-mlp-gan",
        "digits-vae (2)",
    ]


def test_costs_have_a_column_for_each_phase_and_network(comparison: ComparisonDocument) -> None:
    comparison["models"][2]["parameters"] = {"generator": 10, "discriminator": 20}
    comparison["models"][2]["cost"]["seconds"] = 12.345
    columns, rows = report_tables.cost_table(comparison)
    assert [column.label for column in columns] == [
        *("seconds of training", "discriminator steps", "generator steps", "joint steps"),
        *("real samples read", "samples/s", "discriminator parameters", "generator parameters"),
        "seconds for 1,000 samples",
    ]
    assert [cell.text for cell in rows[2].cells] == [
        *("12.3", "20", "20", "–", "320", "1,234", "20", "10", "0.250"),
    ]


def test_the_best_value_is_a_mean_and_its_iterations(comparison: ComparisonDocument) -> None:
    comparison["models"][0]["runs"][1]["best"][VALUES[0]] = {"value": 6.0, "iteration": 10}
    [first, _, third] = report_tables.metric_rows(comparison)
    assert [column.label for column in report_tables.metric_columns(comparison)] == [
        *("FID", "Recall", "Sharpness"),
    ]
    assert first.cells[0].best == "5.49 at 10–15"
    assert third.cells[0].best == "617 at 15"
    assert first.cells[2].best == ""
