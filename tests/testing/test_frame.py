"""Cases, their outcomes, expected failures, and what is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit import case, plugin_of

from ganzoo import plugins
from ganzoo.api import BuildContext, GeneratorSpec, ScheduleSpec
from ganzoo.builtin.schedules import AdaptiveSchedule
from ganzoo.errors import GanzooError, UserError
from ganzoo.plugins import Plugin
from ganzoo.testing import CHECKS, Skip, Wrong, cases
from ganzoo.testing.checks import Case, Check, Expected, Subject, cases_of, check
from ganzoo.testing.collection import Outcome, outcome, outcomes, summary
from ganzoo.testing.reference import surroundings


class Odd(GeneratorSpec):
    """Odd."""

    type: ClassVar[str] = "odd"
    examples: ClassVar[Any] = ({"width": 3}, {"width": 5})

    width: int = 1

    def build(self, context: BuildContext) -> Any: ...


class Needy(GeneratorSpec):
    """Has a key without a default."""

    type: ClassVar[str] = "needy"
    examples: ClassVar[Any] = ({"width": 3},)

    width: int

    def build(self, context: BuildContext) -> Any: ...


PLUGIN_CHECKS = [name for name, check in CHECKS.items() if "plugin" in check.kinds]


def made(result: BaseException | None, expected: str | None = None) -> Case:
    """A case whose check ends as is said."""

    def function(subject: Subject) -> None:
        if result is not None:
            raise result

    each = Check("odd-width", "Widths are even.", frozenset({"generator"}), function)
    return Case(each, Subject(plugin_of(Odd), Odd, {"width": 3}, 1), expected)


def test_a_case_that_passes() -> None:
    one = made(None)
    assert outcome(one) == Outcome(one, "passed")


def test_a_case_that_fails_says_what_and_why() -> None:
    found = outcome(made(Wrong("is 3 wide; make it 4")))
    assert found.state == "failed"
    assert found.text == (
        "odd-width:generator/odd[1]: is 3 wide; make it 4\n  why it matters: Widths are even."
    )


def test_an_error_that_no_check_foresaw_is_a_failure_with_its_place() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        1 / 0  # noqa: B018
    found = outcome(made(error.value))
    assert found.state == "failed"
    assert found.text.startswith(
        "odd-width:generator/odd[1]: ZeroDivisionError: division by zero ("
    )
    assert "test_frame.py:" in found.text


def test_a_component_that_ends_the_process_is_a_failure() -> None:
    found = outcome(made(SystemExit(3)))
    assert found.text.startswith("odd-width:generator/odd[1]: SystemExit: 3")


def test_a_case_that_cannot_be_made_is_skipped() -> None:
    found = outcome(made(Skip("no files here")))
    assert (found.state, found.text) == ("skipped", "no files here")


def test_an_expected_failure() -> None:
    found = outcome(made(Wrong("is 3 wide"), "known since 1.2"))
    assert (found.state, found.text) == ("expected", "expected to fail: known since 1.2")
    with pytest.raises(Expected):
        made(Wrong("is 3 wide"), "known since 1.2")()


def test_a_stale_expected_failure_fails() -> None:
    found = outcome(made(None, "known since 1.2"))
    assert found.state == "failed"
    assert found.text == (
        "odd-width:generator/odd[1] was expected to fail (known since 1.2) and does not: take it "
        "out of the expected failures"
    )


def test_all_that_came_is_counted() -> None:
    found = [
        outcome(made(None)),
        outcome(made(Skip("no"))),
        outcome(made(Wrong("no"), "known")),
        outcome(Case(CHECKS["light-import"], Subject(plugin_of(Odd, module="sys")))),
    ]
    assert summary(found) == "4 checks of 1 component, 1 expected failure, 1 skipped"
    found.append(outcome(made(Wrong("no"))))
    assert summary(found) == "5 checks of 1 component, 1 failure, 1 expected failure, 1 skipped"
    assert summary([]) == "0 checks of 0 components, 0 expected failures, 0 skipped"


def test_outcomes_are_told_one_by_one() -> None:
    told: list[Outcome] = []
    found = outcomes([made(None), made(Skip("no"))], told.append)
    assert [each.state for each in told] == ["passed", "skipped"]
    assert list(found) == told


def test_names_of_cases() -> None:
    names = [str(each) for each in cases_of(plugin_of(Odd), {})]
    assert names[:2] == ["light-import:strange", "import-without-torch:strange"]
    # What concerns the class is checked once, what concerns its keys for each example.
    assert [name for name in names if name.startswith("summary:")] == ["summary:generator/odd"]
    assert [name for name in names if name.startswith("builds:")] == [
        "builds:generator/odd",
        "builds:generator/odd[1]",
        "builds:generator/odd[2]",
    ]


def test_a_component_without_complete_defaults_is_tried_with_its_examples_alone() -> None:
    found = [each.subject for each in cases_of(plugin_of(Needy), {})]
    assert {str(subject): dict(subject.example) for subject in found} == {
        "strange": {},
        "generator/needy": {"width": 3},
    }


def test_a_kind_has_its_own_checks() -> None:
    class Idle(ScheduleSpec):
        """Idle."""

        type: ClassVar[str] = "idle"
        runs: ClassVar[frozenset[str]] = frozenset({"joint"})

        def build(self, context: BuildContext) -> Any: ...

    names = {each.check.name for each in cases_of(plugin_of(Idle), {})}
    assert "pure-schedule" in names
    assert "sample-shape" not in names


def test_every_check_says_why_it_matters() -> None:
    for each in CHECKS.values():
        assert len(each.why) > 20, each.name
        assert each.why.endswith("."), each.name


def test_no_check_lacks_a_wrong_component() -> None:
    """Each is named by `fault`, or in a list of wrong components, in some test beside this one."""
    sources = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    mentioned = set(re.findall(r'^ +\(?"([a-z0-9-]+)",', sources, re.MULTILINE))
    mentioned |= set(re.findall(r'fault\(\s*"([a-z0-9-]+)"', sources))
    assert CHECKS.keys() - mentioned == set()


def test_a_check_is_skipped_where_it_is_for_all_that_it_is_called_with() -> None:
    def function(number: int) -> None:
        if number:
            raise Skip(f"not for {number}")

    def skipped(*numbers: int) -> str:
        each = Check("odd-width", "Widths are even.", frozenset(), function, lambda _: numbers)
        return outcome(Case(each, Subject(plugin_of(Odd)))).text

    assert skipped(1, 2) == "not for 1"
    assert skipped(1, 0) == skipped() == ""


def test_what_a_component_needs_is_there_with_what_that_needs() -> None:
    tables = surroundings(AdaptiveSchedule(), (1, 8, 8))
    assert tables["loss"].spec.type == "minimax"
    assert {"generator", "discriminator"} < set(tables)


def test_a_check_is_registered_under_its_name() -> None:
    try:

        @check("generator", every_example=False)
        def new_check(subject: Subject) -> None:
            """Why it
            matters."""

        found = CHECKS["new-check"]
        assert found.why == "Why it matters."
        assert (found.kinds, found.every_example) == (frozenset({"generator"}), False)
    finally:
        del CHECKS["new-check"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have these plugins and no others."""

    def install(*found: Plugin) -> None:
        scanned = plugins.Plugins(found, None)  # type: ignore[arg-type]
        monkeypatch.setattr(plugins, "installed", lambda: scanned)

    return install


def test_cases_of_a_module(installed: Callable[..., None]) -> None:
    installed(plugin_of(Needy, module="other"), plugin_of(Odd))
    found = cases("strange", {"builds:generator/odd": "no torch here"})
    assert {each.subject.plugin.module for each in found} == {"strange"}
    assert [str(each) for each in found if each.expected] == ["builds:generator/odd"]
    assert [str(each) for each in cases("ganzoo-strange:strange")] == [str(each) for each in found]


def test_a_module_that_is_not_there(installed: Callable[..., None]) -> None:
    installed(plugin_of(Needy, module="other"), plugin_of(Odd))
    with pytest.raises(UserError) as caught:
        cases("stranger")
    assert str(caught.value) == (
        "no plugin has the module 'stranger'\n  = there is other, strange\n"
        "  = install yours with `pip install -e .`, or name a file with --plugin"
    )


def test_a_broken_plugin(installed: Callable[..., None]) -> None:
    broken = Plugin("a:b", "a", "1.0", error="cannot be imported (b): no", module="b")
    installed(broken)
    with pytest.raises(GanzooError) as caught:
        cases("b")
    assert str(caught.value) == "plugin a:b (1.0) cannot be imported (b): no"
    assert caught.value.exit_code == 1


def test_a_plugin_without_components(installed: Callable[..., None]) -> None:
    installed(plugin_of())
    with pytest.raises(GanzooError) as caught:
        cases("strange")
    assert str(caught.value) == (
        "plugin ganzoo-strange:strange (1.0) offers no component and follows no run, so nothing "
        "was checked\n"
        "  = return its classes from a hook, such as ganzoo_generators"
    )
    assert caught.value.exit_code == 1


def test_a_plugin_that_only_follows_runs(installed: Callable[..., None]) -> None:
    installed(plugin_of(module="ganzoo.builtin.tensorboard"))
    names = [str(case) for case in cases("ganzoo.builtin.tensorboard")]
    assert names == [f"{name}:ganzoo.builtin.tensorboard" for name in PLUGIN_CHECKS]


def test_an_expected_failure_of_no_case(installed: Callable[..., None]) -> None:
    installed(plugin_of(Odd))
    with pytest.raises(UserError) as caught:
        cases("strange", {"build:generator/odd": "no"})
    assert str(caught.value) == (
        "'build:generator/odd' is expected to fail, but no case of strange is called so\n"
        "  = did you mean 'builds:generator/odd'?"
    )
    with pytest.raises(UserError) as caught:
        cases("strange", {"0": "no"})
    assert caught.value.hint == "a case is called check:kind/type, such as builds:generator/dcgan"


def test_subjects_are_told_apart() -> None:
    one, other = (case("builds", Odd, {"width": width}).subject for width in (1, 2))
    assert one != other
    assert hash(one) == hash(case("builds", Odd, {"width": 1}).subject)
