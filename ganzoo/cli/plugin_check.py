"""`ganzoo plugin check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.cli.arguments import name_plugins
from ganzoo.output import say, tell, warn_about_broken_plugins

if TYPE_CHECKING:
    from ganzoo.testing.collection import Outcome


def check(
    module: Annotated[
        str,
        typer.Argument(
            metavar="MODULE", help="The module that the plugin's entry point names, or a .py file."
        ),
    ],
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="CASE=REASON",
            help="A case that is known to fail, and why; it has to fail. May be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every case, and why it matters.")
    ] = False,
) -> None:
    """Find out whether a plugin keeps the contract. Says what to change where it does not."""
    expected = _expected(expect or [])
    if module.endswith(".py"):
        name_plugins([Path(module)])
        module = Path(module).name
    from ganzoo.testing.collection import cases, outcomes, summary

    repeated: dict[tuple[str, str, str], list[str]] = {}

    def report(outcome: Outcome) -> None:
        if verbose and outcome.state != "failed":
            say(f"{outcome.state} {outcome.case}: {outcome.text or outcome.case.check.why}")
            return
        if outcome.state not in ("failed", "skipped"):
            return
        # One fault may fail many checks: it is shown with the first, and the others are listed.
        fault = (outcome.state, str(outcome.case.subject), outcome.message)
        others = repeated.setdefault(fault, [])
        others.append(outcome.case.check.name)
        if len(others) == 1:
            text = outcome.text
            if outcome.state == "skipped":
                text = f"skipped {outcome.case}: {text}"
            tell(text)

    collected = cases(module, expected)
    warn_about_broken_plugins()
    results = outcomes(collected, report)
    for (state, subject, _), (first, *others) in repeated.items():
        if others:
            tell(f"{subject}: {state} like {first}: {', '.join(others)}")
    say(summary(results))
    if any(outcome.state == "failed" for outcome in results):
        raise typer.Exit(1)


def _expected(options: list[str]) -> dict[str, str]:
    """Reasons by case, of options such as `finite:generator/plain=it overflows`."""
    from ganzoo.errors import UserError

    expected = {}
    for text in options:
        case, _, reason = text.partition("=")
        if not case.strip() or not reason.strip():
            raise UserError(
                f"--expect '{text}' gives no reason",
                hint="write --expect 'CASE=REASON', such as "
                "--expect 'builds:generator/plain=needs a file that is not here'",
            )
        expected[case.strip()] = reason.strip()
    return expected
