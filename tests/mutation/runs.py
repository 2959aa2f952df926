"""Tests in forked processes, which find what their parent has imported already."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import coverage
import pytest

PRELOADED = (
    "hypothesis",
    "jinja2",
    "jsonschema",
    "matplotlib.figure",
    "PIL.Image",
    "pydantic",
    "rich.console",
    "safetensors.torch",
    "scipy.stats",
    "sklearn.mixture",
    "tomli_w",
    "torch.utils.tensorboard",
    "torchvision",
    "typer",
)
"""What tests import and no mutant changes."""
MEMORY = 16 * 2**30
"""Bytes of data that a process may have: some mutants would never stop to ask for more."""
HOUR = 3600.0
BROKEN = 70
"""Exit status of a process whose tests could not even be collected."""
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--tb=no")


@dataclass(frozen=True)
class Coverage:
    """Which tests run which lines, and how long they take."""

    seconds: Mapping[str, float]
    """Seconds of each test."""
    lines: Mapping[str, Mapping[int, Sequence[str]]]
    """The tests that run a line, by the path of the file."""

    def tests_of(self, path: Path, lines: range, *, always: bool) -> list[str]:
        """The tests that run one of these lines of a file, fast ones first.

        Of lines that are run `always`, or before the first test, all others follow.
        """
        known = self.lines.get(str(path), {})
        direct = {test for line in lines for test in known.get(line, ())}
        tests = self.seconds if always or BEFORE in direct else direct
        return sorted(
            tests, key=lambda test: (test not in direct, round(self.seconds[test], 1), test)
        )


BEFORE = ""
"""The context of what is run before the first test."""


class Contexts:
    """A plugin of pytest that tells coverage which test runs, or which fixture of several tests."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}
        self.users: dict[str, list[str]] = defaultdict(list, {BEFORE: [BEFORE]})
        """The tests that use a fixture, by the name of its context."""
        self.current = BEFORE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        start = time.perf_counter()
        self.users[item.nodeid].append(item.nodeid)
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            self.users[f"{definitions[-1].baseid}::{name}"].append(item.nodeid)
        with self._context(item.nodeid):
            result = yield
        self.seconds[item.nodeid] = time.perf_counter() - start
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        with self._context(f"{fixturedef.baseid}::{fixturedef.argname}"):
            return (yield)

    @contextmanager
    def _context(self, name: str) -> Iterator[None]:
        before, self.current = self.current, name
        self.measured.switch_context(name)
        try:
            yield
        finally:
            self.current = before
            self.measured.switch_context(before)


def preload() -> None:
    """Import what all processes need."""
    for name in PRELOADED:
        importlib.import_module(name)


def measure(tests: Sequence[str], paths: Sequence[Path]) -> Coverage:
    """Run tests on the unchanged modules. Raises `SystemExit` where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "coverage.json")
        output = Path(folder, "output")
        if first_to_end([Child(lambda: _measure(tests, paths, file), HOUR, output)]).result():
            sys.exit(f"{output.read_text()[-3000:]}\nthese tests fail without any mutant")
        content = json.loads(file.read_text())
    lines = {
        path: {int(n): tests for n, tests in known.items()}
        for path, known in content["lines"].items()
    }
    return Coverage(content["seconds"], lines)


def _measure(tests: Sequence[str], paths: Sequence[Path], file: Path) -> int:
    measured = coverage.Coverage(
        config_file=False, data_file=None, include=[str(path) for path in paths]
    )
    contexts = Contexts(measured)
    measured.start()
    code = int(pytest.main([*OPTIONS, *tests], plugins=[contexts]))
    measured.stop()
    data = measured.get_data()
    lines: dict[str, dict[int, list[str]]] = {}
    for path in map(str, paths):
        lines[path] = {
            line: sorted({test for name in names for test in contexts.users.get(name, ())})
            for line, names in data.contexts_by_lineno(path).items()
        }
    file.write_text(json.dumps({"seconds": contexts.seconds, "lines": lines}))
    return code


def run_mutant(module: str, path: Path, source: str, tests: Sequence[str]) -> int:
    """The exit status of pytest with one module changed, in this process."""
    sys.meta_path.insert(0, Changed(module, path, source))
    return int(pytest.main([*OPTIONS, *tests]))


class Changed(importlib.abc.MetaPathFinder, SourceFileLoader):
    """Finds one module, and gives it another source."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        super().__init__(module, str(path))
        self.source = source

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class Child:
    """A forked process with a group of its own; its result is its exit status."""

    def __init__(
        self, work: Callable[[], int], seconds: float, output: Path = Path(os.devnull)
    ) -> None:
        self.end = time.monotonic() + seconds
        self.pid = os.fork()
        if not self.pid:
            _work_alone(work, output)
        self.descriptor = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """A descriptor that can be read from when the process has ended."""
        return self.descriptor

    def result(self) -> int | None:
        """The exit status of a process that has ended, or None for one that is killed here."""
        ended = bool(select.select([self], [], [], 0)[0])
        # What it has started may outlive it, such as worker processes.
        os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status) if ended else None


def first_to_end(children: Sequence[Child]) -> Child:
    """The first of some processes that ends, or whose time is up."""
    impatient = min(children, key=lambda child: child.end)
    ready, _, _ = select.select(children, [], [], max(impatient.end - time.monotonic(), 0))
    return ready[0] if ready else impatient


def _work_alone(work: Callable[[], int], output: Path) -> None:
    code = BROKEN
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = work()
    finally:
        os._exit(code)
