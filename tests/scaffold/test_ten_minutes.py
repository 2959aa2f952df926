"""docs/write-a-plugin.md, executed: what it has its reader write, and what it says is printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import forget_modules

import ganzoo
from ganzoo import plugins, registry
from ganzoo.specs import KINDS
from ganzoo.testing import cases
from ganzoo.testing.collecting import outcomes, summary

Use = Callable[..., Path]

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-plugin.md").read_text()


def scan_again() -> None:
    plugins.installed.cache_clear()
    registry.installed.cache_clear()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def fourier(use: Use) -> Path:
    """The package after step 3, with its mistake."""
    made = use("ganzoo-fourier", "generator")
    network, declaration = blocks("python")
    (made / "ganzoo_fourier" / "generator.py").write_text(network)
    (made / "ganzoo_fourier" / "__init__.py").write_text(declaration)
    return made


def mend(made: Path) -> None:
    """The change of step 4."""
    (change,) = blocks("diff")
    old, new = (line[1:] for line in change.splitlines())
    file = made / "ganzoo_fourier" / "generator.py"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_the_mistake_is_caught_as_the_page_says(fourier: Path) -> None:
    failed, _ = blocks("text")
    found = outcomes(cases("ganzoo_fourier"))
    texts = [outcome.text for outcome in found if outcome.state == "failed"]
    assert texts == re.findall(r"^\S.*\n  .*$", failed, re.MULTILINE)


def test_after_the_change_nothing_is_wrong(fourier: Path, tmp_path: Path) -> None:
    mend(fourier)
    _, passed = blocks("text")
    assert summary(outcomes(cases("ganzoo_fourier"))) == passed.strip()
    recipe = ganzoo.load_recipe(
        fourier / "recipes" / "ganzoo-fourier.toml",
        *("generator.frequencies=16", "train.iterations=5", "evaluate.samples=20"),
    )
    run = ganzoo.train(recipe, runs=tmp_path)
    assert run.sample(3).shape == (3, 2)


def test_the_files_and_kinds_that_are_named(use: Use) -> None:
    made = use("ganzoo-fourier", "generator")
    named = re.findall(r"^    ([\w/.-]+\.(?:py|toml)) ", PAGE, re.MULTILINE)
    assert len(named) == 5
    for name in named:
        assert (made / name).is_file(), name
    kinds = PAGE[PAGE.index("`--kind` may") : PAGE.index("## 2.")]
    assert set(re.findall(r"`([a-z]+)`", kinds)) == set(KINDS)
    rows = re.findall(r"^\| (\w+) \| (?:module|object|callable|`ganzoo)", PAGE, re.MULTILINE)
    assert set(rows) == set(KINDS)


def test_one_file_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    (text,) = blocks("one-file")
    file.write_text(text)
    monkeypatch.setenv("GANZOO_PLUGIN_FILES", str(file))
    scan_again()
    try:
        found = outcomes(cases("mine.py"))
        assert {outcome.state for outcome in found} == {"passed"}
        recipe = ganzoo.load_recipe(
            Path(__file__).parents[2] / "recipes" / "digits-mlp-gan.toml",
            *("loss.type=wide-hinge", "train.iterations=2", "evaluate.samples=20"),
        )
        assert ganzoo.train(recipe, runs=tmp_path).sample(3).shape == (3, 1, 8, 8)
    finally:
        monkeypatch.undo()
        forget_modules(tmp_path)
        scan_again()
