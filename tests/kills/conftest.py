"""The table that `make test-kills` ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Any

import pytest
from killing import Tally

HEADS = ("kind", "kills", "found a checkpoint", "resumed equal", "runs")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a row for each kind of run that was killed, and the sums."""
    reports: list[Any] = [each for kind in terminalreporter.stats.values() for each in kind]
    rows = [
        value
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, value in report.user_properties
        if name == "kills"
    ]
    if not rows:
        return
    sums = [sum(numbers) for numbers in list(zip(*rows, strict=True))[1:]]
    terminalreporter.section("kills")
    for row in (HEADS, *rows, ("all", *sums)):
        kind, *numbers = row
        terminalreporter.line(f"{kind:<24}" + "".join(f"{each!s:>20}" for each in numbers))


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Callable[..., None]) -> Iterator[Tally]:
    """The row of a test, which is in the table even if the test fails."""
    kind = request.node.callspec.params["kind"] if hasattr(request.node, "callspec") else ""
    tally = Tally(kind)
    yield tally
    record_property("kills", astuple(tally))
