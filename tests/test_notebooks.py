"""What notebooks use: recipes of tables, components of cells, callbacks, pictures, displays."""

from __future__ import annotations

import io
import linecache
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from tiny import tiny

import ganzoo
from ganzoo import plugins, registry
from ganzoo.engine.events import Listener
from ganzoo.recipe import RecipeError
from ganzoo.specs import KINDS

ROOT = Path(__file__).parent.parent
SHORT: dict[str, Any] = {
    "extends": "digits-mlp-gan",
    "train": {"iterations": 4},
    "log": {"every": 2, "samples": 4},
    "metrics": [],
}

CELL = '''
import ganzoo
from ganzoo.api import LossSpec, Phase


@ganzoo.loss
class Squares(LossSpec):
    """Least squares, by hand."""

    type = "squares"
    phases = {
        "discriminator": Phase(trains={"discriminator"}),
        "generator": Phase(trains={"generator"}, reads_data=False),
    }

    def build(self, context):
        return self

    def compute(self, step):
        fake = step.fake_logits
        if step.phase == "generator":
            return {"loss": (fake - 1).square().mean()}
        return {"real": (step.real_logits - 1).square().mean(), "fake": fake.square().mean()}
'''


@pytest.fixture(autouse=True)
def registered_for_one_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Components of this process are those of other tests too."""
    monkeypatch.setattr(plugins.installed(), "all", plugins.installed().all)
    yield
    registry.installed.cache_clear()


def run_cell(source: str, number: int = 1) -> None:
    """Run a cell as a notebook does: its source is known by the name of its code."""
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), {"__name__": "__main__"})


def test_a_recipe_of_tables(tmp_path: Path) -> None:
    recipe = ganzoo.load_recipe({**SHORT, "name": "mine"}, "train.seed=3")
    assert (recipe.name, recipe.train.iterations, recipe.train.seed) == ("mine", 4, 3)
    assert recipe.loss == ganzoo.load_recipe("digits-mlp-gan").loss
    assert ganzoo.train(recipe, runs=tmp_path).status["state"] == "done"


def test_numbers_of_numpy_tuples_and_paths_are_taken() -> None:
    tables = {
        **SHORT,
        "train": {"iterations": np.int64(4)},
        "optimizer": {"type": "adam", "lr": np.float32(0.5), "betas": (0.5, 0.9)},
        "summary": PurePosixPath("a"),
    }
    recipe = ganzoo.load_recipe(tables)
    assert recipe.optimizers["generator"].lr == 0.5
    assert (recipe.train.iterations, recipe.summary) == (4, "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generator": {"type": "mpl"}},
            "recipe: generator.type: no generator is called 'mpl'\n      = did you mean 'mlp'?",
        ),
        ({"generator": {"hidden": None}}, "recipe: generator.hidden: is of NoneType, which TOML"),
        ({"extends": 3}, "recipe: extends: must be the path of a recipe"),
        ({"extends": "digits-mpl-gan"}, "there is no recipe 'digits-mpl-gan'"),
        ({"train": {"iterations": 2**70}}, "beyond the 64 bits"),
    ],
)
def test_problems_of_tables(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        ganzoo.load_recipe({**SHORT, **changes})
    assert message in str(caught.value)


def test_a_loss_of_a_cell_is_used_and_its_source_kept(tmp_path: Path) -> None:
    run_cell(CELL)
    run = ganzoo.train(ganzoo.load_recipe({**SHORT, "loss": {"type": "squares"}}), runs=tmp_path)
    assert run.statistics[-1]["statistics"].keys() >= {"discriminator/real", "generator/loss"}
    source = run.folder.source("loss-squares")
    assert source.read_text() == CELL
    # The version is that of the source.
    first = ganzoo.load_recipe({**SHORT, "loss": {"type": "squares"}})
    run_cell(CELL.replace("fake - 1", "fake - 2"), number=2)
    second = ganzoo.load_recipe({**SHORT, "loss": {"type": "squares"}})
    assert first.loss.plugin.version != second.loss.plugin.version
    assert [entry.spec.type for entry in registry.installed().entries("loss")].count("squares") == 1


def test_a_run_whose_component_is_not_registered_any_more_says_where_its_source_is(
    tmp_path: Path,
) -> None:
    before = plugins.installed().all
    run_cell(CELL)
    run = ganzoo.train(ganzoo.load_recipe({**SHORT, "loss": {"type": "squares"}}), runs=tmp_path)
    plugins.installed().all = before
    registry.installed.cache_clear()
    with pytest.raises(RecipeError) as caught:
        ganzoo.open_run(run.path)
    source = run.folder.source("loss-squares")
    assert f"the run was made with the loss squares of {source}: register it again" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('    """Least squares, by hand."""\n', "", "Squares has no docstring"),
        ('type = "squares"', 'type = "minimax"', "loss 'minimax' is offered by ganzoo-core"),
        ("@ganzoo.loss", "@ganzoo.metric", "is not a subclass of MetricSpec"),
        ("    def build(self, context):\n        return self\n", "", "does not define build"),
    ],
)
def test_classes_that_cannot_be_registered(old: str, new: str, message: str) -> None:
    assert old in CELL
    with pytest.raises(ganzoo.UserError, match=message):
        run_cell(CELL.replace(old, new))


def test_there_is_a_decorator_for_every_kind() -> None:
    assert {*KINDS} <= {*dir(ganzoo)}
    assert all(callable(getattr(ganzoo, kind)) for kind in KINDS)


def test_comparisons_refuse_what_only_this_process_knows(tmp_path: Path) -> None:
    run_cell(CELL)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(tiny(loss='{ type = "squares" }'))
    with pytest.raises(ganzoo.UserError, match="loss: 'squares' was registered in this process"):
        ganzoo.compare(recipe, out=tmp_path / "out", runs=tmp_path)
    with pytest.raises(ganzoo.UserError, match="loss: 'squares' was registered in this process"):
        ganzoo.sweep(recipe, "latent.dim=2,3", out=tmp_path / "out", runs=tmp_path)


def test_callbacks(tmp_path: Path) -> None:
    seen: list[tuple[str, Any]] = []
    run = ganzoo.train(
        ganzoo.load_recipe(SHORT),
        runs=tmp_path,
        callbacks={
            "run_started": lambda run: seen.append(("start", run.start_iteration)),
            "statistics_logged": lambda iteration, statistics: seen.append(
                ("logged", (iteration, statistics["generator/loss"]))
            ),
            "samples_drawn": lambda picture: seen.append(("drew", picture.name)),
            "run_finished": lambda state: seen.append(("end", state)),
        },
    )
    losses = [row["statistics"]["generator/loss"] for row in run.statistics]
    assert [each for each in seen if each[0] == "logged"] == [
        ("logged", (2, losses[0])),
        ("logged", (4, losses[1])),
    ]
    assert sorted(seen[:2]) == [("drew", "000000.png"), ("start", 0)]
    assert [each for each in seen[2:] if each[0] == "drew"] == [
        ("drew", "000002.png"),
        ("drew", "000004.png"),
    ]
    assert seen[-1] == ("end", "done")
    longer: list[int] = []
    ganzoo.resume(
        run.path,
        "train.iterations=6",
        callbacks={"statistics_logged": lambda iteration: longer.append(iteration)},
    )
    assert longer == [6]


def test_callbacks_that_fail_or_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ganzoo.load_recipe(SHORT)
    with pytest.raises(ganzoo.UserError, match="nothing calls back 'logged'"):
        ganzoo.train(recipe, runs=tmp_path, callbacks={"logged": print})
    assert not (tmp_path / "recipe").exists()

    def fails(iteration: int) -> None:
        raise ValueError("oh")

    run = ganzoo.train(recipe, runs=tmp_path, callbacks={"statistics_logged": fails})
    assert run.status["state"] == "done"
    assert "callbacks failed in ganzoo_statistics_logged" in capsys.readouterr().err


def test_runs_and_samples_show_themselves(tmp_path: Path) -> None:
    run = ganzoo.train(ganzoo.load_recipe(SHORT), runs=tmp_path)
    shown = run._repr_png_()
    assert shown == run.folder.samples(4).read_bytes()
    assert run.at(4)._repr_png_() == shown
    picture = run.picture(9, seed=2)
    assert isinstance(picture, Image.Image)
    assert Image.open(io.BytesIO(picture._repr_png_())).size == picture.size
    assert picture.tobytes() == run.picture(9, seed=2).tobytes()


def test_progress_may_be_a_listener_true_or_false(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, ended = ganzoo.load_recipe(SHORT), []

    class Ending(Listener):
        def ended(self, state: str, message: str | None, traceback: str | None) -> None:
            ended.append(state)

    ganzoo.train(recipe, runs=tmp_path, progress=Ending())
    ganzoo.train(recipe, runs=tmp_path)
    assert ended == ["done"]
    assert capsys.readouterr().err == ""
    ganzoo.train(recipe, runs=tmp_path, progress=True)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_the_notebook_of_the_documentation(tmp_path: Path) -> None:
    """Every cell runs, and those that show something do."""
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    expected = [shapes(cell) for cell in notebook.cells]
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert [shapes(cell) for cell in notebook.cells] == expected
    assert any("image/png" in each for each in expected)
    assert any("text/html" in each for each in expected), "the progress of a run"


def shapes(cell: Any) -> set[str]:
    """The kinds of output that a cell has."""
    outputs = cell.get("outputs", [])
    kinds = {kind for output in outputs for kind in output.get("data", {output.output_type: ""})}
    return kinds & {"image/png", "text/html", "stream", "error"}
