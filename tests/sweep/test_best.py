"""The best point as a recipe: it is the same model, and it says what it extends."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ganzoo import load_recipe
from ganzoo.recipe.shipped import shipped
from ganzoo.sweeps.best import write_best
from ganzoo.sweeps.space import Point, parse_space


def point(*keys: str) -> Point:
    space, problems = parse_space(keys, searched=False)
    assert not problems
    *_, last = space.corners()
    return last


@pytest.mark.parametrize(
    "keys",
    [
        ("optimizer.lr=1e-3,5e-4",),
        ("optimizer.lr=1e-3,{ from = 1e-3, to = 0 }", "optimizer.betas=[0.5,0.9],[0.0,0.9]"),
        ("optimizer.type=adam,sgd", "optimizer.lr=0.1", "optimizer.momentum=0.9"),
        ("loss.type=non-saturating,minimax",),
        ("optimizer.generator.lr=1e-3,1e-4",),
        ("regularizers.0.gamma=0.1,2", "regularizers.0.every=4"),
        ("generator.hidden=[8],[16,8]", "generator.hidden.0=9"),
        ("regularizers=[{ type = 'r1' }],[]",),
        ("train.seed=4", "train.batch_size=4,16", "log.every=2"),
        ("name=other", "latent.dim=2,3"),
    ],
)
@pytest.mark.parametrize("file", ["gan.toml", "based.toml"])
def test_it_is_the_same_model(folder: Path, keys: tuple[str, ...], file: str) -> None:
    best = point(*keys)
    recipe = load_recipe(file, *best.overrides)
    out = folder / "deep" / "down"
    out.mkdir(parents=True)
    path = write_best(Path(file), best, recipe, out, "It is best.\nIs it?")
    loaded = load_recipe(path)
    assert loaded.changed(train={"seed": recipe.train.seed}).fingerprint == recipe.fingerprint
    assert loaded.name == f"{recipe.name}-best"
    assert path.read_text().startswith("# It is best.\n# Is it?\n\n")
    tables = tomllib.loads(path.read_text())
    assert tables["extends"] == f"../../{file}"
    assert "seed" not in tables.get("train", {})
    assert not tables.keys() & {"data", "schedule"}  # what the point does not change


def test_the_budget_is_written(folder: Path) -> None:
    best = point("latent.dim=2,3")
    recipe = load_recipe("gan.toml", *best.overrides).changed(train={"iterations": 5})
    path = write_best(Path("gan.toml"), best, recipe, folder, "")
    assert tomllib.loads(path.read_text())["train"] == {"iterations": 5}


def test_a_shipped_recipe_is_extended_by_its_name(folder: Path) -> None:
    name = next(iter(shipped()))
    Path("metrics.toml").write_text(f'extends = "{name}"\nmetrics = []\n')
    best = point("latent.dim=2,3", "metrics=[]")
    path = write_best(Path(name), best, load_recipe(name, *best.overrides), folder, "")
    assert tomllib.loads(path.read_text())["extends"] == name
