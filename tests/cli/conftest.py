"""Runs the command line on tiny recipes, in this process or in a new one."""

from __future__ import annotations

import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from sites import forget_modules

from ganzoo import plugins, registry
from ganzoo.cli import main

Command = Callable[..., CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

ROOT = Path(__file__).parents[2]

VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "GANZOO_DATA"),
    *("GANZOO_PLUGINS", "GANZOO_STRICT_PLUGINS", "GANZOO_PLUGIN_FILES"),
    *("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS", "PYTHONPATH"),
)
"""Environment variables that would change what the tests see."""

TABLES: Mapping[str, str] = {
    "": 'name = "tiny"\nsummary = "Two small perceptrons"\nlatent = { dim = 4 }',
    "data": 'type = "digits"',
    "generator": 'type = "mlp"\nhidden = [16]',
    "discriminator": 'type = "mlp"\nhidden = [16]',
    "loss": 'type = "non-saturating"',
    "schedule": 'type = "alternating"',
    "optimizer": 'type = "adam"\nlr = 1e-3',
    "train": "iterations = 6\nbatch_size = 16",
    "log": "every = 2\nsamples = 4",
    "checkpoint": "every = 2",
}
"""The recipe of the tests, table by table; the first has no header."""

COMMANDS = [
    *("run", "resume", "check", "show", "compare", "sample", "recipes", "components", "plugins"),
    *("init", "export", "measure", "interpolate", "timelapse", "runs diff", "runs prune"),
    *("schema", "plugin new", "plugin check", "sweep"),
]
"""All commands, those of groups with the name of the group."""

MINE = '''
from typing import ClassVar

from pydantic import PositiveInt, Field

from ganzoo.api import BuildContext, GeneratorSpec, hookimpl


class Mine(GeneratorSpec):
    """One layer."""

    type: ClassVar[str] = "one-layer"

    width: PositiveInt = Field(8, description="of nothing")

    def build(self, context: BuildContext):
        import math

        from torch import nn

        return nn.Sequential(
            nn.Linear(context.latent_dim, math.prod(context.sample_shape)),
            nn.Tanh(),
            nn.Unflatten(1, context.sample_shape),
        )


@hookimpl
def ganzoo_generators():
    return [Mine]
'''
"""A plugin file that offers a generator."""

POINTS: Mapping[str, str] = {
    "data": 'type = "ring"\nsamples = 200',
    "evaluate": "samples = 50",
    "[metrics]": 'type = "modes"',
}
"""Changes that make it a recipe of points with a metric."""


def recipe_text(changes: Mapping[str, str | None]) -> str:
    """The recipe with some tables replaced, added or (None) left out."""
    blocks = [
        (f"[{name}]\n" if name else "") + body
        for name, body in {**TABLES, **changes}.items()
        if body is not None
    ]
    return "\n\n".join(blocks) + "\n"


def invoke(*arguments: object, terminal: bool = False) -> CompletedProcess[str]:
    """`ganzoo ARGUMENTS` in this process; its output must have no traceback."""
    out, err = io.StringIO(), io.StringIO()
    if terminal:
        err.isatty = lambda: True  # type: ignore[method-assign]
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ganzoo", *map(str, arguments)])
        # What --plugin adds is for this command alone.
        patch.setenv("GANZOO_PLUGIN_FILES", os.environ.get("GANZOO_PLUGIN_FILES", ""))
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return _tidy(CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue()), terminal)


def _tidy(result: CompletedProcess[str], terminal: bool = False) -> CompletedProcess[str]:
    """Nobody ever sees a traceback, and control characters reach terminals only."""
    assert "Traceback" not in result.stderr, result.stderr
    if not terminal:
        assert not re.search(r"[^\n -~\u00a0-\uffff]", result.stdout + result.stderr)
    return result


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has its own working directory and a plain environment."""
    monkeypatch.chdir(tmp_path)
    _make_plain(monkeypatch)


@pytest.fixture
def command() -> Command:
    """`command("run", recipe, "train.seed=1")` is that command, in this process."""
    return invoke


@pytest.fixture
def process() -> Command:
    """`process("check", recipe)` is that command in a new process."""

    def process(*arguments: object, pythonpath: Path | None = None) -> CompletedProcess[str]:
        environment = {**os.environ, **({"PYTHONPATH": str(pythonpath)} if pythonpath else {})}
        command = [sys.executable, "-m", "ganzoo", *map(str, arguments)]
        return _tidy(
            subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=120, check=False
            )
        )

    return process


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """`start("run", recipe)` starts the command as the leader of a group of processes.

    `before` are words before it, such as another command that starts it; the other options are
    those of `subprocess.Popen`. What is left of the group is killed after the test.
    """
    started: list[subprocess.Popen[str]] = []
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def start(*arguments: object, before: tuple[str, ...] = (), **options: Any) -> Any:
        command = [*before, sys.executable, "-m", "ganzoo", *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {**pipes, "text": True, "start_new_session": True, **options}
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """`write_recipe({"data": ...}, "name.toml")` writes the recipe of the tests with changes."""

    def write_recipe(
        changes: Mapping[str, str | None] | None = None, name: str = "tiny.toml"
    ) -> Path:
        (tmp_path / name).write_text(recipe_text(changes or {}), encoding="utf-8")
        return Path(name)

    return write_recipe


@pytest.fixture
def recipe(write_recipe: Callable[..., Path]) -> Path:
    """The recipe of the tests, a file in the working directory."""
    return write_recipe()


@pytest.fixture
def points(write_recipe: Callable[..., Path]) -> Path:
    """A recipe of points in the plane, with a metric."""
    return write_recipe(POINTS, "points.toml")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CompletedProcess[str]:
    """The result of `ganzoo run` for the recipe; stdout is the folder."""
    return _run(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def finished_run(finished: CompletedProcess[str]) -> Path:
    """The folder of a finished run, which tests only read."""
    assert finished.returncode == 0, finished.stderr
    return Path(finished.stdout.strip())


@pytest.fixture(scope="session")
def _interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        # As after Ctrl-C, but in a known iteration.
        iterations = itertools.count(1)
        patch.setattr(
            "ganzoo.engine.training.stop_requested", lambda *arguments: next(iterations) == 5
        )
        assert _run(folder).returncode == 130
    (run,) = folder.glob("runs/tiny/*")
    return run


@pytest.fixture
def interrupted_run(_interrupted: Path, tmp_path: Path) -> Path:
    """A run that stopped after iteration 5 of 6, with checkpoints of 4 and 5."""
    return Path(shutil.copytree(_interrupted, tmp_path / "interrupted"))


def _run(folder: Path) -> CompletedProcess[str]:
    (folder / "tiny.toml").write_text(recipe_text({}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        _make_plain(patch)
        return invoke("run", folder / "tiny.toml", "--runs", folder / "runs")


def _make_plain(patch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        patch.delenv(name, raising=False)


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """The caches of plugins are empty, and are emptied after the test."""
    for scan in (plugins.installed, registry.installed):
        scan.cache_clear()
    yield
    for scan in (plugins.installed, registry.installed):
        scan.cache_clear()


@pytest.fixture
def anew(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_plugins: None
) -> Iterator[Command]:
    """A command in this process, which looks for plugins as if it were a new one.

    It finds those of `pythonpath` too.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def anew(*arguments: object, pythonpath: Path | None = None) -> CompletedProcess[str]:
        plugins.installed.cache_clear()
        registry.installed.cache_clear()
        forget_modules(tmp_path)
        with monkeypatch.context() as patch:
            if pythonpath is not None:
                patch.syspath_prepend(pythonpath)
            return command(*arguments)

    yield anew
    forget_modules(tmp_path)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A plugin file that offers a generator."""
    (tmp_path / "mine.py").write_text(MINE)
    return Path("mine.py")


@pytest.fixture
def one_layer(write_recipe: Callable[..., Path]) -> Path:
    """A recipe that needs the plugin file."""
    return write_recipe({"generator": 'type = "one-layer"'}, "one-layer.toml")
