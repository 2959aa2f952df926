"""`ganzoo resume`."""

from __future__ import annotations

from ganzoo.cli.arguments import ResumeOverrides, RunArgument
from ganzoo.output import warn_about_broken_plugins


def resume(run: RunArgument, overrides: ResumeOverrides = None) -> None:
    """Go on with a run from its newest whole checkpoint.

    Changed to more iterations, it is trained for longer. Prints its folder.
    """
    from ganzoo import zoo
    from ganzoo.display import display, report

    warn_about_broken_plugins()
    report(zoo.resume(run, *(overrides or ()), progress=display()))
