"""Checks of listeners and of modules that follow runs, with some that are found wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit import fault, passes
from PIL import Image

from ganzoo.api import BuildContext, ListenerSpec, RunInfo, hookimpl
from ganzoo.testing.listener_checks import LIFECYCLE


def listener(follower: type) -> type[ListenerSpec]:
    class Made(ListenerSpec):
        """A listener of a test."""

        type: ClassVar[str] = "made"

        def build(self, context: BuildContext) -> Any:
            return follower()

    return Made


class Following:
    """A right listener of all hooks."""

    @hookimpl
    def ganzoo_run_started(self, run: RunInfo) -> None:
        assert run.start_iteration == 0
        assert run.recipe["train"]["iterations"] > 0
        self.lines = open(run.folder / "mine.txt", "w")  # noqa: SIM115

    @hookimpl
    def ganzoo_statistics_logged(
        self, run: RunInfo, iteration: int, images: int, statistics: Mapping[str, float]
    ) -> None:
        self.lines.write(f"{iteration} {images} {statistics}")

    @hookimpl
    def ganzoo_samples_drawn(self, iteration: int, picture: Path) -> None:
        with Image.open(picture) as image:
            assert image.size

    @hookimpl
    def ganzoo_checkpoint_written(self, checkpoint: Path) -> None:
        assert checkpoint.exists()

    @hookimpl
    def ganzoo_run_finished(self, run: RunInfo, state: str) -> None:
        assert state == "done"
        self.lines.close()

    @hookimpl
    def ganzoo_evaluated(self, values: Mapping[str, float]) -> None:
        assert all(isinstance(value, float) for value in values.values())


class Unmarked:
    def ganzoo_run_finished(self, run: RunInfo) -> None: ...


class Misspelt:
    @hookimpl
    def ganzoo_run_ended(self, run: RunInfo) -> None: ...


class Greedy:
    @hookimpl
    def ganzoo_run_finished(self, run: RunInfo, loss: float) -> None: ...


class Failing:
    @hookimpl
    def ganzoo_statistics_logged(self, statistics: Mapping[str, float]) -> None:
        print(statistics["fid"])


@pytest.mark.parametrize("check", ["listener-hooks", "hooks-can-be-called", "builds"])
def test_a_right_listener_passes(check: str) -> None:
    assert set(LIFECYCLE) == {name for name in vars(Following) if name.startswith("ganzoo_")}
    passes(check, listener(Following))


def test_a_listener_without_hooks() -> None:
    assert fault("listener-hooks", listener(Unmarked)) == (
        "has no method that is a lifecycle hook; mark one with @hookimpl, such as "
        "ganzoo_run_finished(self, run)"
    )


def test_a_listener_of_hooks_that_are_none() -> None:
    problem = fault("listener-hooks", listener(Misspelt))
    assert problem.startswith("unknown hook 'ganzoo_run_ended'")
    assert problem.endswith("; use the hooks and the arguments of ganzoo.hookspecs")


def test_a_listener_that_takes_an_argument_that_the_hook_does_not_have() -> None:
    problem = fault("hooks-can-be-called", listener(Greedy))
    assert "Argument(s) {'loss'} are declared in the hookimpl but can not be found" in problem


def test_a_listener_that_fails() -> None:
    problem = fault("hooks-can-be-called", listener(Failing))
    assert problem.startswith("ganzoo_statistics_logged fails: KeyError: 'fid' (")
    assert problem.endswith("; take what the hook is given, in the order of a run")


def test_a_module_that_follows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "following.py").write_text(
        "from ganzoo.api import hookimpl\n"
        "@hookimpl\n"
        "def ganzoo_run_finished(run):\n"
        "    run.folder.joinpath('mine.txt').write_text(run.nowhere)\n"
    )
    problem = fault("hooks-can-be-called", module="following")
    assert problem.startswith("ganzoo_run_finished fails: AttributeError: 'RunInfo' object has no")
    passes("hooks-can-be-called", module="ganzoo.builtin.tensorboard")
