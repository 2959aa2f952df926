"""Listeners that a recipe names, from `[[listeners]]` to their hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, PositiveInt

import ganzoo
from ganzoo import load_recipe, plugins
from ganzoo.api import BuildContext, ListenerSpec, RunInfo, UserError, hookimpl
from ganzoo.errors import InterruptedRun
from ganzoo.plugins import Plugin
from ganzoo.recipe import Recipe, RecipeError
from ganzoo.registry import Registry

RING = """
name = "ring"
latent = { dim = 2 }
data = { type = "ring", samples = 100 }
generator = { type = "mlp", hidden = [8] }
discriminator = { type = "mlp", hidden = [8] }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = { from = 1e-3, to = 1e-4 } }
train = { iterations = 4, batch_size = 8 }
log = { every = 2, samples = 4 }
checkpoint = { every = 2 }
evaluate = { samples = 50, snapshots = 1 }
"""
METRIC = '\n[[metrics]]\ntype = "wasserstein"\n'

CALLS: list[tuple[Any, ...]] = []
"""The calls of all listeners of a test, in their order."""


class Recorder:
    """Takes every hook with all of its arguments."""

    def __init__(self, name: str, every: int) -> None:
        self.name, self.every = name, every

    @hookimpl
    def ganzoo_run_started(self, run: RunInfo) -> None:
        CALLS.append((self.name, "started", run, self.every))

    @hookimpl
    def ganzoo_statistics_logged(
        self, run: RunInfo, iteration: int, images: int, statistics: dict[str, float]
    ) -> None:
        CALLS.append((self.name, "logged", run, iteration, images, statistics))

    @hookimpl
    def ganzoo_samples_drawn(self, run: RunInfo, iteration: int, picture: Path) -> None:
        assert picture.is_file()
        CALLS.append((self.name, "drawn", run, iteration, picture))

    @hookimpl
    def ganzoo_checkpoint_written(self, run: RunInfo, iteration: int, checkpoint: Path) -> None:
        assert checkpoint.is_file()
        CALLS.append((self.name, "saved", run, iteration, checkpoint))

    @hookimpl
    def ganzoo_evaluated(self, run: RunInfo, iteration: int, values: dict[str, float]) -> None:
        CALLS.append((self.name, "evaluated", run, iteration, values))

    @hookimpl
    def ganzoo_run_finished(self, run: RunInfo, iteration: int, state: str) -> None:
        CALLS.append((self.name, "finished", run, iteration, state))


class RecorderListener(ListenerSpec):
    """Records every call."""

    type: ClassVar[str] = "recorder"

    every: PositiveInt = Field(1, description="a number of its own")

    def build(self, context: BuildContext) -> Recorder:
        return Recorder(self.type, self.every)


class FewArguments:
    """Takes what it needs of two hooks, in an order of its own."""

    @hookimpl
    def ganzoo_statistics_logged(self, statistics: dict[str, float], iteration: int) -> None:
        CALLS.append(("few", iteration, statistics["optimizer.generator.lr"]))

    @hookimpl
    def ganzoo_run_finished(self) -> None:
        CALLS.append(("few", "finished"))

    def ganzoo_run_started(self) -> None:
        """Not marked, and so never called."""
        raise AssertionError


class FewListener(ListenerSpec):
    """Takes few arguments."""

    type: ClassVar[str] = "few"

    def build(self, context: BuildContext) -> FewArguments:
        return FewArguments()


class FailingListener(ListenerSpec):
    """Fails whenever statistics are logged."""

    type: ClassVar[str] = "failing"

    def build(self, context: BuildContext) -> FailingListener:
        return self

    @hookimpl
    def ganzoo_statistics_logged(self, iteration: int) -> None:
        CALLS.append(("failing", iteration))
        raise RuntimeError("no room")

    @hookimpl
    def ganzoo_run_finished(self, state: str) -> None:
        CALLS.append(("failing", state))


class MisspeltListener(ListenerSpec):
    """Marks a method that is no hook."""

    type: ClassVar[str] = "misspelt"

    def build(self, context: BuildContext) -> MisspeltListener:
        return self

    @hookimpl
    def ganzoo_evaluted(self) -> None: ...


class GreedyListener(ListenerSpec):
    """Wants an argument that the hook does not have."""

    type: ClassVar[str] = "greedy"

    def build(self, context: BuildContext) -> GreedyListener:
        return self

    @hookimpl
    def ganzoo_run_finished(self, weights: object) -> None: ...


class StoppingListener(ListenerSpec):
    """Stops the run at its end, as Ctrl-C does."""

    type: ClassVar[str] = "stopping"

    def build(self, context: BuildContext) -> StoppingListener:
        return self

    @hookimpl
    def ganzoo_statistics_logged(self, iteration: int) -> None:
        if iteration == 4:
            raise KeyboardInterrupt


SPECS = (
    RecorderListener,
    FewListener,
    FailingListener,
    MisspeltListener,
    GreedyListener,
    StoppingListener,
)
MINE = Plugin("test:listeners", "test", "1.0", tuple((spec.kind, spec) for spec in SPECS))

Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """`load("recorder", ...)` is the recipe with these listeners; `more` is further TOML."""

    def load(*types: str, more: str = "") -> Recipe:
        file = tmp_path / "ring.toml"
        listeners = "".join(f'\n[[listeners]]\ntype = "{each}"\n' for each in types)
        file.write_text(RING + more + listeners)
        return load_recipe(file, registry=Registry([*plugins.installed().all, MINE]))

    CALLS.clear()
    yield load
    CALLS.clear()


def test_every_hook_is_called_in_order(load: Load, tmp_path: Path) -> None:
    run = ganzoo.train(load("recorder", more=METRIC), runs=tmp_path)
    assert [call[1] for call in CALLS] == [
        *("started", "drawn"),
        *("logged", "drawn", "saved"),
        *("logged", "drawn", "saved"),
        *("finished", "evaluated"),
    ]
    by_hook = {call[1]: call[2:] for call in CALLS}
    info = by_hook["started"][0]
    assert (info.folder, info.name, info.start_iteration) == (run.path, "ring", 0)
    assert info.recipe["train"]["iterations"] == 4
    assert by_hook["started"][1] == 1
    _, iteration, images, statistics = by_hook["logged"]
    # Two batches of 8 for each iteration; the generator's phase reads no data.
    assert (iteration, images) == (4, run.statistics[-1]["images"])
    assert statistics == run.statistics[-1]["statistics"]
    assert by_hook["drawn"][1:] == (4, run.folder.samples(4))
    assert by_hook["saved"][1:] == (4, run.folder.checkpoints()[0])
    assert by_hook["finished"][1:] == (4, "done")
    assert by_hook["evaluated"][1:] == (4, run.evaluation["values"])
    assert by_hook["evaluated"][2]
    assert {call[2].folder for call in CALLS} == {run.path}


def test_listeners_take_the_arguments_they_want(load: Load, tmp_path: Path) -> None:
    ganzoo.train(load("few"), runs=tmp_path)
    assert [
        ("few", 2, pytest.approx(7e-4)),
        ("few", 4, pytest.approx(1e-4)),
        ("few", "finished"),
    ] == CALLS


def test_one_that_fails_is_named_once_and_only_that_hook_is_muted(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        run = ganzoo.train(load("failing", "few"), runs=tmp_path / str(number))
        assert run.status["state"] == "done"
        error = capsys.readouterr().err
        assert error.startswith(
            "warning: plugin test:listeners (listener 'failing') failed in "
            "ganzoo_statistics_logged and is not called there again: RuntimeError: no room "
        )
        assert error.count("\n") == 1
        assert [call for call in CALLS if call[0] == "failing"] == [
            ("failing", 2),
            ("failing", "done"),
        ]
        assert [call[1] for call in CALLS if call[0] == "few"] == [2, 4, "finished"]
        CALLS.clear()


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        ("misspelt", "unknown hook 'ganzoo_evaluted'; did you mean 'ganzoo_evaluated'?"),
        ("greedy", "Argument(s) {'weights'} are declared in the hookimpl but can not be found"),
    ],
)
def test_marked_methods_that_are_no_hooks(
    load: Load, tmp_path: Path, listener: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        ganzoo.train(load("recorder", listener), runs=tmp_path / "runs")
    text = caught.value.message
    assert text.startswith(f"test:listeners (listener '{listener}'): ")
    assert message in text
    assert not list(tmp_path.glob("runs/ring/*")), "a run that has not begun leaves nothing"
    assert CALLS == []
    # Neither the wrong one nor the one before it is still registered.
    ganzoo.train(load("few"), runs=tmp_path / "runs")
    assert {call[0] for call in CALLS} == {"few"}


def test_listeners_follow_the_runs_that_name_them_only(load: Load, tmp_path: Path) -> None:
    ganzoo.train(load("recorder"), runs=tmp_path / "first")
    CALLS.clear()
    ganzoo.train(load(), runs=tmp_path / "second")
    assert CALLS == []


def test_a_resumed_run_calls_them_again(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load("recorder", "stopping", more=METRIC)
    with pytest.raises(InterruptedRun):
        ganzoo.train(recipe, runs=tmp_path)
    assert CALLS[-1][1] == "finished"
    assert CALLS[-1][3:] == (4, "interrupted")
    CALLS.clear()
    (folder,) = tmp_path.glob("ring/*")
    for module in ("ganzoo.zoo", "ganzoo.run"):
        monkeypatch.setattr(f"{module}.load_recipe", lambda path: load("recorder", more=METRIC))
    ganzoo.resume(folder)
    assert [call[1] for call in CALLS] == [
        *("started", "logged", "drawn", "saved"),
        *("finished", "evaluated"),
    ]
    assert CALLS[0][2].start_iteration == 2


def test_a_run_that_is_measured_later_tells_them(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ganzoo.train(load("recorder"), runs=tmp_path)
    CALLS.clear()
    registry = Registry([*plugins.installed().all, MINE])
    for module in ("ganzoo.run", "ganzoo.measuring"):
        monkeypatch.setattr(f"{module}.load_recipe", partial(load_recipe, registry=registry))
    measured = ganzoo.measure(run.path, ["wasserstein"])
    (call,) = CALLS
    assert call[1] == "evaluated"
    assert (call[2].folder, *call[3:]) == (run.path, 4, measured.evaluation["values"])
    assert measured.evaluation["values"]


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ('type = "recordr"', "listeners.0.type", "no listener is called 'recordr'"),
        ('type = "recorder"\nevery = 0', "listeners.0.every", "should be greater than 0 (got 0)"),
        (
            'type = "recorder"\n[[listeners]]\ntype = "recorder"',
            "listeners.1.type",
            "listener 'recorder' is there already",
        ),
    ],
)
def test_problems_of_a_table_are_found_before_anything_is_built(
    load: Load, table: str, key: str, message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(more=f"\n[[listeners]]\n{table}\n")
    assert [(each.key, each.message) for each in caught.value.problems] == [(key, message)]


def test_listeners_are_no_part_of_the_fingerprint(load: Load) -> None:
    assert load("recorder").fingerprint == load().fingerprint
