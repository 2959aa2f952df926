"""From the name of a module to the cases of its plugin, and to what came of them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ganzoo import plugins
from ganzoo.errors import GanzooError, UserError
from ganzoo.plugins import Plugin

# Importing a file of checks puts them on the list, in this order.
# isort: off
from ganzoo.testing import component_checks, dataset_checks, evaluation_checks  # noqa: F401
from ganzoo.testing import listener_checks, network_checks, loss_checks, state_checks  # noqa: F401

# isort: on
from ganzoo.testing.checks import WHY, Case, Expected, Skip, Wrong, cases_of
from ganzoo.testing.listener_checks import lifecycle_hooks


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    case: Case
    state: Literal["passed", "failed", "expected", "skipped"]
    """`expected`: it failed as it was expected to."""
    text: str = ""
    """Why it failed or was skipped."""

    @property
    def message(self) -> str:
        """The text without the case and without why it matters."""
        return self.text.removeprefix(f"{self.case}: ").partition(WHY)[0]


def cases(module: str, expected: Mapping[str, str] | None = None) -> Sequence[Case]:
    """The cases of the plugin whose entry point names `module`; of a plugin file also `mine.py`.

    `expected` names cases that fail, each with the reason. Raises `UserError` where no such
    plugin is installed and for an expected failure that names no case, and `GanzooError` where
    the plugin is broken or offers nothing.
    """
    reasons = expected or {}
    collected = list(cases_of(find_plugin(module), reasons))
    names = [str(case) for case in collected]
    for stranger in sorted(reasons.keys() - set(names)):
        near = difflib.get_close_matches(stranger, names, n=1)
        advice = "a case is called check:kind/type, such as builds:generator/dcgan"
        raise UserError(
            f"'{stranger}' is expected to fail, but no case of {module} is called so",
            hint=f"did you mean '{near[0]}'?" if near else advice,
        )
    return collected


def find_plugin(module: str) -> Plugin:
    """The plugin of a module, if it can be checked; raises as `cases` does."""
    loaded = [plugin for plugin in plugins.installed().all if plugin.module]
    plugin = next((each for each in loaded if module in (each.module, each.name)), None)
    if plugin is None:
        raise UserError(
            f"no plugin has the module '{module}'",
            hint=f"there is {', '.join(sorted(each.module for each in loaded))}\n"
            "install yours with `pip install -e .`, or name a file with --plugin",
        )
    if plugin.error:
        raise GanzooError(plugin.complaint)
    if not plugin.components and not lifecycle_hooks(sys.modules.get(plugin.module)):
        raise GanzooError(
            f"plugin {plugin.name} ({plugin.version}) offers no component and follows no run, so "
            "nothing was checked",
            hint="return its classes from a hook, such as ganzoo_generators",
        )
    return plugin


def outcome(case: Case) -> Outcome:
    """Make a check."""
    try:
        case()
    except Skip as reason:
        return Outcome(case, "expected" if isinstance(reason, Expected) else "skipped", str(reason))
    except Wrong as error:
        return Outcome(case, "failed", str(error))
    return Outcome(case, "passed")


def outcomes(
    cases: Sequence[Case], report: Callable[[Outcome], None] = lambda outcome: None
) -> Sequence[Outcome]:
    """Make all checks in their order, and report each as it ends."""
    results = []
    for case in cases:
        results.append(outcome(case))
        report(results[-1])
    return results


def summary(results: Sequence[Outcome]) -> str:
    """`214 checks of 6 components, 0 expected failures, 12 skipped`, and failures if any. The
    checks are all cases, those that were skipped among them."""
    components = {each.case.subject.declared for each in results} - {None}
    states: list[str] = [each.state for each in results]
    failed, expected, skipped = map(states.count, ("failed", "expected", "skipped"))
    failures = f", {_many(failed, 'failure')}" if failed else ""
    return (
        f"{_many(len(results), 'check')} of {_many(len(components), 'component')}{failures}, "
        f"{_many(expected, 'expected failure')}, {skipped} skipped"
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
