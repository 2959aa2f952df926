"""`ganzoo plugin check`, on plugins that are files and on those that are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from sites import Site, forget_modules

Command = Callable[..., CompletedProcess[str]]

CALM = '''
from typing import ClassVar

from ganzoo.api import BuildContext, ScheduleSpec, hookimpl
from ganzoo.builtin.schedules import RuleSchedule


class Calm(ScheduleSpec):
    """A step of each."""

    type: ClassVar[str] = "calm"
    runs: ClassVar[frozenset[str]] = frozenset({"discriminator", "generator"})

    def build(self, context: BuildContext):
        groups = (("discriminator",), ("generator",))
        return RuleSchedule(lambda *_: groups)


@hookimpl
def ganzoo_schedules():
    return [Calm]
'''
WRONG = CALM.replace('("generator",))', '("critic",))')
CASES = 18
"""Checks of a plugin with one schedule."""

FOUND = (
    "phases(0) runs 'critic', and `runs` has discriminator, generator only; add it, or do not "
    "run it"
)
AFFECTED = ("known-phases", "pure-schedule", "resumed-schedule", "state-round-trip")


@pytest.fixture
def check(
    command: Command, tmp_path: Path, fresh_plugins: None
) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """`check(source, "--verbose")` checks a plugin that is a file."""

    def check(source: str, *options: str) -> CompletedProcess[str]:
        (tmp_path / "calm.py").write_text(source)
        return command("plugin", "check", "calm.py", *options)

    yield check
    forget_modules(tmp_path)


def summary(failures: str = "", expected: str = "0 expected failures", skipped: int = 0) -> str:
    counted = f", {failures}" if failures else ""
    return f"{CASES} checks of 1 component{counted}, {expected}, {skipped} skipped\n"


def test_a_good_plugin(check: Command) -> None:
    result = check(CALM)
    assert (result.returncode, result.stdout, result.stderr) == (0, summary(), "")


def test_every_case_and_why(check: Command) -> None:
    result = check(CALM, "--verbose")
    assert (result.returncode, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    assert f"{last}\n" == summary()
    assert len(lines) == CASES
    assert lines[0] == (
        "passed light-import:ganzoo.local.calm: Every command imports every installed plugin, "
        "`ganzoo --help` too: a slow one slows all."
    )
    assert all(line.startswith("passed ") for line in lines)
    assert result.stdout == check(CALM, "-v").stdout


def test_failures_are_told_on_stderr(check: Command) -> None:
    result = check(WRONG)
    assert (result.returncode, result.stdout) == (1, summary("4 failures"))
    lines = result.stderr.splitlines()
    assert lines == [
        f"known-phases:schedule/calm: {FOUND}",
        "  why it matters: Only phases in `runs` have optimizers: another one stops a run, at once "
        "or hours later.",
        f"schedule/calm: failed like known-phases: {', '.join(AFFECTED[1:])}",
    ]


def test_expected_failures(check: Command) -> None:
    options = [
        f"--expect={name}:schedule/calm=the critic is coming = soon" for name in AFFECTED[1:]
    ]
    result = check(WRONG, *options)
    assert (result.returncode, result.stdout) == (1, summary("1 failure", "3 expected failures"))
    assert result.stderr.startswith(f"known-phases:schedule/calm: {FOUND}\n")
    assert len(result.stderr.splitlines()) == 2

    result = check(WRONG, *options, "--expect", "known-phases:schedule/calm=too", "--verbose")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith(summary(expected="4 expected failures"))
    assert (
        "expected pure-schedule:schedule/calm: expected to fail: the critic is coming = soon\n"
        in result.stdout
    )


def test_an_expected_failure_that_does_not_come(check: Command) -> None:
    result = check(CALM, "--expect", "builds:schedule/calm=slow")
    assert (result.returncode, result.stdout) == (1, summary("1 failure"))
    assert result.stderr == (
        "builds:schedule/calm was expected to fail (slow) and does not: take it out of the "
        "expected failures\n"
    )


def test_an_expected_failure_of_nothing(check: Command) -> None:
    result = check(CALM, "--expect", "build:schedule/calm=slow")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "'build:schedule/calm' is expected to fail, but no case of calm.py is called so\n"
        "  = did you mean 'builds:schedule/calm'?\n"
    )


@pytest.mark.parametrize("text", ["builds:schedule/calm", "builds:schedule/calm=", "=slow"])
def test_an_expected_failure_without_a_reason(check: Command, text: str) -> None:
    result = check(CALM, "--expect", text)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"--expect '{text}' gives no reason\n"
        "  = write --expect 'CASE=REASON', such as --expect "
        "'builds:generator/plain=needs a file that is not here'\n"
    )


def test_a_plugin_without_components(check: Command) -> None:
    source = CALM.replace("return [Calm]", "return []")
    result = check(source)
    assert (result.returncode, result.stdout) == (1, "")
    assert "offers no component and follows no run, so nothing was checked" in result.stderr
    assert "  = return its classes from a hook, such as ganzoo_generators" in result.stderr


FOLLOWING = "from ganzoo.api import hookimpl\n\n\n@hookimpl\ndef ganzoo_run_finished(run): {}\n"


def test_a_plugin_that_only_follows_runs(check: Command) -> None:
    result = check(FOLLOWING.format("..."))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "5 checks of 0 components, 0 expected failures, 0 skipped\n"


def test_a_plugin_whose_hook_fails(check: Command) -> None:
    result = check(FOLLOWING.format("run.nowhere"))
    assert result.returncode == 1
    assert result.stdout == (
        "5 checks of 0 components, 1 failure, 0 expected failures, 0 skipped\n"
    )
    assert "ganzoo_run_finished fails: AttributeError: " in result.stderr


def test_a_broken_plugin_file(check: Command) -> None:
    result = check("import nowhere_at_all")
    # It was named on the command line, which no command passes over.
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("plugin calm.py (")
    assert "No module named 'nowhere_at_all'" in result.stderr


def test_a_module_that_is_not_there(command: Command) -> None:
    result = command("plugin", "check", "nowhere_at_all")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("no plugin has the module 'nowhere_at_all'\n  = there is ")
    assert "ganzoo.builtin.schedules" in result.stderr


@pytest.mark.usefixtures("fresh_plugins")
def test_an_installed_plugin_beside_a_broken_one(command: Command, site: Site) -> None:
    site.install("ganzoo-calm", CALM)
    site.install("ganzoo-broken", "import nowhere_at_all")
    result = command("plugin", "check", "ganzoo_calm")
    assert (result.returncode, result.stdout) == (0, summary())
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: plugin ganzoo-broken:parts (1.0) cannot be imported")
    result = command("plugin", "check", "ganzoo_broken")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("plugin ganzoo-broken:parts (1.0) cannot be imported")
