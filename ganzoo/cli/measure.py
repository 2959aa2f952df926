"""`ganzoo measure`."""

from __future__ import annotations

from typing import Annotated

import typer

from ganzoo.cli.arguments import RunArgument
from ganzoo.output import warn_about_broken_plugins


def measure(
    run: RunArgument,
    metrics: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="METRIC | KEY=VALUE",
            help="Metrics, by default those of its recipe, and how they are computed, "
            "such as evaluate.samples=1000.",
        ),
    ] = None,
) -> None:
    """Measure a run that is done, by any installed metrics. Prints the run's folder."""
    from ganzoo import measuring
    from ganzoo.display import display, report

    warn_about_broken_plugins()
    names = [each for each in metrics or () if "=" not in each]
    overrides = [each for each in metrics or () if "=" in each]
    report(measuring.measure(run, names, *overrides, progress=display()))
