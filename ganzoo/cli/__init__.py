"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import atexit
import sys
import warnings

from ganzoo.errors import GanzooError
from ganzoo.interruption import handled, ignore


def main() -> None:
    """Run the command line and exit: 0 done, 1 the run failed, 2 the input is wrong.

    After a signal it exits with 128 and its number: 130 after Ctrl-C, 143 after SIGTERM, 129
    after SIGHUP.
    """
    with handled("leave"):
        code = _run()
    # All is said and done: a signal that comes now would only make Python print a traceback.
    atexit.register(ignore)
    sys.exit(code)


def _run() -> int:
    """Run the command that the arguments name; its exit code."""
    from ganzoo import streams
    from ganzoo.cli.app import app
    from ganzoo.output import complain, show_warning, unwritten

    streams.outlast_readers()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning(warnings.showwarning)
            app(prog_name="ganzoo")
    except GanzooError as error:
        complain(error)
        return error.exit_code
    except SystemExit as end:
        if end.code:
            return end.code if isinstance(end.code, int) else 1
    return unwritten()
