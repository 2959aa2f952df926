"""What a reader does with the page of a comparison: switches, ticks, slider and buttons."""

from __future__ import annotations

import csv
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from reports import Visit

from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.report import write_report

SIZES = [(1400, 900), (390, 844)]
VISIBLE = (
    "[...document.querySelectorAll('#curves .chart [role=img]')]"
    ".filter(each => each.checkVisibility()).map(each => each.className)"
)


def first(visit: Visit, selector: str) -> str:
    text: str = visit(f"document.querySelector({selector!r}).textContent")
    return " ".join(text.split())


def test_the_first_screen_says_what_came_out(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, viewport={"width": 1400, "height": 900})
    assert first(visit, "h1") == (
        "digits-vae, mixture beats all 2 others: FID 9 against 10 of digits-vae, the runner-up"
    )
    assert first(visit, ".lead").startswith("Lower FID is better. Over 2 seeds their 95 %")
    rows = visit("[...document.querySelectorAll('.overview .chart text')].map(t => t.textContent)")
    assert rows[-3:] == ["digits-vae, mixture", "digits-vae", "digits-mlp-gan"]
    keys = visit("[...document.querySelectorAll('.telling tbody th')].map(k => k.textContent)")
    assert keys == ["loss.type", "latent.dim", "encoder.hidden"]
    bottom = "Math.max(...[...document.querySelectorAll('h1, .overview, .telling')]"
    assert visit(f"{bottom}.map(each => each.getBoundingClientRect().bottom))") < 900


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_strips_show_whole_pictures_of_whole_pixels(
    browser: Any, report: Path, width: int, height: int
) -> None:
    visit = Visit(browser, report, viewport={"width": width, "height": height})
    strips = visit(
        "[...document.querySelectorAll('.strip')].map(strip => {"
        "const image = strip.querySelector('img');"
        "return [strip.clientWidth, image.clientWidth, image.naturalWidth, image.clientHeight]})"
    )
    assert len(strips) == 4
    for room, shown, natural, high in strips:
        assert (shown, high) == (natural, 64)  # 8 x 8 pixels, each enlarged by 8
        assert room % 66 in (0, 64)
        assert room >= 4 * 66
    names = "[...document.querySelectorAll('.strips .model')].map(each => each.textContent)"
    assert visit(names) == ["real samples", "digits-vae, mixture", "digits-vae", "digits-mlp-gan"]


def test_keys_for_machines_stand_beside_labels(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    heads = visit("[...document.querySelectorAll('.metrics thead th')].map(h => h.innerText)")
    (recall,) = (head for head in heads if head.startswith("Recall"))
    assert "precision-recall/recall" in recall
    assert "random@0123" in recall


@pytest.mark.parametrize("javascript", [True, False])
def test_curves_are_switched_to_other_axes(browser: Any, report: Path, javascript: bool) -> None:
    visit = Visit(browser, report, java_script_enabled=True)
    if not javascript:
        visit = Still(browser, report)
    assert set(visit(VISIBLE)) == {"over-iterations"}
    for axis in ("images", "seconds", "iterations"):
        visit.page.locator(f"#over-{axis}").check()
        assert set(visit(VISIBLE)) == {f"over-{axis}"}


class Still(Visit):
    """A visit with the page's own script taken out; the styles do the work."""

    def __init__(self, browser: Any, path: Path) -> None:
        still = path.with_name("still.html")
        text = path.read_text()
        still.write_text(text[: text.rindex("<script>")] + "</body></html>")
        super().__init__(browser, still)


def test_two_models_are_laid_over_each_other(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    shown = (
        "[...document.querySelectorAll('#curves .over-iterations [class^=of-]')]"
        ".filter(each => each.getBoundingClientRect().width)"
        ".map(each => each.getAttribute('class'))"
    )
    assert set(visit(shown)) == {"of-0", "of-2"}
    visit.page.locator("#show-0").uncheck()
    assert set(visit(shown)) == {"of-2"}
    visit.page.locator("#show-0").check()
    assert set(visit(shown)) == {"of-0", "of-2"}


def test_the_slider_plays_and_stops_at_the_end(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, bypass_csp=True)
    play = visit.page.locator("#play")
    assert play.text_content() == "Play"
    visit(
        "window.seen = []; const where = document.getElementById('where');"
        "new MutationObserver(() => window.seen.push(where.textContent))"
        ".observe(where, {childList: true})"
    )
    play.click()
    assert play.text_content() == "Pause"
    visit.page.wait_for_function("document.getElementById('play').textContent === 'Play'")
    assert visit("window.seen") == [f"{share} % of training" for share in (25, 50, 75, 100)]
    # Every picture is there before it is shown, and takes its place in one paint.
    assert visit("[...document.querySelectorAll('.frame img')].every(i => i.decoding === 'sync')")


def test_pause_and_arrow_keys_stop_the_slider(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, bypass_csp=True)
    play = visit.page.locator("#play")
    for stop in (play.click, lambda: visit.page.keyboard.press("ArrowLeft")):
        play.click()
        visit.page.wait_for_function("document.getElementById('step').value === '1'")
        stop()
        assert play.text_content() == "Play"
    assert visit("document.getElementById('step').value") == "0"
    for key, step in (("ArrowRight", "1"), ("ArrowRight", "2"), ("ArrowLeft", "1")):
        visit.page.keyboard.press(key)  # the button has the focus
        assert visit("document.getElementById('step').value") == step


def saved(visit: Visit, button: Any, folder: Path) -> Path:
    with visit.page.expect_download() as download:
        button.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_are_saved_as_they_are_shown(
    browser: Any, report: Path, tmp_path: Path, scheme: str
) -> None:
    visit = Visit(browser, report, color_scheme=scheme)
    visit.page.locator("#over-seconds").check()
    visit.page.locator("#show-0").uncheck()
    buttons = visit.page.locator("#curves .chart").first.locator(".save button")
    svg = saved(visit, buttons.nth(0), tmp_path)
    assert svg.name == "fid-over-training.svg"
    root = xml.etree.ElementTree.parse(svg).getroot()
    texts = ["".join(node.itertext()).strip() for node in root.iter(f"{root.tag[:-3]}text")]
    assert {"seconds of training", "digits-mlp-gan", "FID"} <= set(texts)
    assert "digits-vae" not in texts
    assert {node.get("class") for node in root.iter() if node.get("class")} == {"of-2"}
    text = svg.read_text()
    assert "var(" not in text
    assert "#00805e" in text  # the third model in the light theme
    with saved(visit, buttons.nth(1), tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"digits-vae", "digits-mlp-gan"}
    dots = visit.page.locator(".overview .save button")
    assert saved(visit, dots.nth(0), tmp_path).name == "fid.svg"
    assert saved(visit, dots.nth(1), tmp_path).name == "fid.csv"
    assert visit.complaints == []


def test_warnings_are_reached_from_the_first_screen(
    browser: Any, comparison: ComparisonDocument, tmp_path: Path
) -> None:
    comparison["models"][2]["runs"][1]["collapse"] = ["fid was 1 and is 9 at the end"]
    visit = Visit(browser, write_report(comparison, tmp_path))
    link = visit.page.locator("a.alarm")
    assert link.text_content() == "1 warning"
    link.click()
    assert visit("location.hash") == "#warnings"
    assert visit("document.querySelector(location.hash).textContent.includes('collapsed')")
