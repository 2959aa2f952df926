"""What is made works: its recipes train, and the conformance kit has nothing to say."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import ganzoo
from ganzoo import plugins, registry
from ganzoo.plugins import Plugin
from ganzoo.registry import Registry
from ganzoo.scaffold.package import Package
from ganzoo.specs import KINDS
from ganzoo.testing import cases
from ganzoo.testing.collection import outcomes

Use = Callable[..., Path]


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), tuple(KINDS)], ids="-".join)
def test_it_offers_what_was_asked_for_and_trains(
    use: Use, kinds: tuple[str, ...], tmp_path: Path
) -> None:
    made = use("ganzoo-wave", *kinds)
    (plugin,) = [each for each in plugins.installed().all if each.distribution == "ganzoo-wave"]
    assert plugin.error is None
    assert [(kind, spec.type) for kind, spec in plugin.components] == [
        (kind, "wave") for kind in kinds
    ]
    for kind, spec in plugin.components:
        assert len(spec.summary()) <= 97, kind
    for file in (made / "recipes").iterdir():
        recipe = ganzoo.load_recipe(file, "train.iterations=2", "evaluate.samples=20")
        run = ganzoo.train(recipe, runs=tmp_path / "runs")
        assert run.status["state"] == "done"


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_contract(use: Use, kind: str) -> None:
    use("ganzoo-wave", kind)
    found = outcomes(cases("ganzoo_wave"))
    assert any(outcome.case.subject.kind == kind for outcome in found)
    assert not [outcome.text for outcome in found if outcome.state in ("failed", "expected")]


def test_recipes_of_any_kinds_together_use_them_all(use: Use, tmp_path: Path) -> None:
    """Every set of up to three kinds; and pyproject.toml names the plugins that they need."""
    use("ganzoo-wave", *KINDS)
    others = [each for each in plugins.installed().all if each.distribution != "ganzoo-wave"]
    classes = {kind: registry.installed().find(kind, "wave").spec for kind in KINDS}
    file = tmp_path / "recipe.toml"
    sets = [
        kinds for count in (1, 2, 3, len(KINDS)) for kinds in itertools.combinations(KINDS, count)
    ]
    for kinds in sets:
        offered = tuple((kind, classes[kind]) for kind in kinds)
        own = Plugin("ganzoo-wave:wave", "ganzoo-wave", "0.1.0", offered)
        package = Package("ganzoo-wave", kinds, "Ada")
        used, needed = set(), set()
        for name, text in package.recipe_texts.items():
            file.write_text(text)
            recipe = ganzoo.load_recipe(file, registry=Registry([*others, own]))
            assert recipe.name == name
            for _, component in recipe.components():
                needed.add(component.plugin.distribution)
                if component.plugin is own:
                    used.add(component.spec.kind)
        assert used == set(kinds)
        project = tomllib.loads(package.files["pyproject.toml"])["project"]
        tests_need = project["optional-dependencies"]["test"]
        assert tests_need == ["pytest>=8", *sorted(needed - {"ganzoo-core", "ganzoo-wave"})]
