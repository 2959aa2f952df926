"""What the tests of the conformance kit share: a check of one class, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganzoo.plugins import Plugin
from ganzoo.specs import ComponentSpec
from ganzoo.testing.checks import CHECKS, Case, Subject
from ganzoo.testing.collection import outcome


def plugin_of(*classes: type[ComponentSpec], module: str = "strange") -> Plugin:
    """A plugin in memory, as it would be after it was loaded."""
    offered = tuple((declared.kind, declared) for declared in classes)
    return Plugin(f"ganzoo-strange:{module}", "ganzoo-strange", "1.0", offered, module=module)


def case(
    check: str,
    declared: type[ComponentSpec] | None = None,
    example: Mapping[str, Any] | None = None,
    *,
    module: str = "strange",
) -> Case:
    """One check of one class, or of a plugin's module."""
    plugin = plugin_of(*([declared] if declared else []), module=module)
    return Case(CHECKS[check], Subject(plugin, declared, example or {}))


def fault(check: str, *subject: Any, **keywords: Any) -> str:
    """What a check says is wrong, without why it matters. The check has to fail."""
    made = case(check, *subject, **keywords)
    result = outcome(made)
    assert result.state == "failed", result
    assert result.text.startswith(f"{made}: ")
    assert result.text.endswith(f"\n  why it matters: {made.check.why}")
    return result.message


def passes(check: str, *subject: Any, **keywords: Any) -> None:
    """The check has to be made, and to find nothing."""
    result = outcome(case(check, *subject, **keywords))
    assert result.state == "passed", result


def reason(check: str, *subject: Any, **keywords: Any) -> str:
    """Why a check is not made. It has to be skipped."""
    result = outcome(case(check, *subject, **keywords))
    assert result.state == "skipped", result
    return result.text
