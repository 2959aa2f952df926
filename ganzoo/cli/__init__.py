"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys
import warnings

from ganzoo.errors import GanzooError


def main() -> None:
    """Run the command line and exit: 0 done, 1 the run failed, 2 the input is wrong."""
    from ganzoo.cli.app import app
    from ganzoo.cli.output import complain, show_warning

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning(warnings.showwarning)
            app(prog_name="ganzoo")
    except GanzooError as error:
        complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
