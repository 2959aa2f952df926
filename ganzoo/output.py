"""Where words go: people read stderr, programs read stdout. User text never is rich markup, and
no character of it commands the terminal."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganzoo.errors import GanzooError, GanzooWarning, RunError, UserError, visible
from ganzoo.streams import excuse, loss

if TYPE_CHECKING:
    from ganzoo.recipe import Recipe


def stdout() -> Console:
    """A console on stdout; when it is no terminal, lines are as long as they need to be."""
    width = None if sys.stdout.isatty() else 10_000
    return Console(markup=False, highlight=False, width=width)


_above: Console | None = None
"""The console of bars that are on the terminal now: what others print on it appears above them."""


def above(console: Console | None) -> None:
    """From now on, print what goes to stderr on the console of bars; None: they are gone."""
    global _above
    _above = console


def stderr() -> Console:
    """A console on stderr."""
    return _above or Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


def print_place(path: Path) -> None:
    """Print to stdout where that is which a command has made.

    It is there, so a stdout that cannot be written makes no failure of it.
    """
    say(path)
    excuse(sys.stdout)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """What the system says against writing a file, as the user's mistake."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error


def unwritten() -> int:
    """The exit code of a command that is done: 1 where its output could not be written."""
    error = loss(sys.stdout)
    if error is None:
        return 0
    if error.errno != errno.EPIPE:  # a reader that has seen enough is no drama
        complain(RunError(f"stdout cannot be written: {error.strerror}"))
    return 1


def talks() -> bool:
    """Whether this process speaks: of several ranks only the first does."""
    return os.environ.get("RANK", "0") == "0"


def say(text: object, *, end: str = "\n") -> None:
    """Print to stdout."""
    print(visible(str(text)), end=end)


def tell(text: object) -> None:
    """Print to stderr."""
    stderr().print(Text(visible(str(text))))


def complain(error: GanzooError) -> None:
    """Show an error to its user."""
    if talks():
        tell(error)


def warn(text: str) -> None:
    """Show a warning."""
    if talks():
        tell(f"warning: {text}")


def note(recipe: Recipe) -> None:
    """Show what is unwise about a recipe, a line each."""
    if talks():
        for text in recipe.notes:
            tell(f"note: {text}")


def show_warning(otherwise: Callable[..., None]) -> Callable[..., None]:
    """What `warnings` calls: our own warnings are shown as such, `otherwise` shows all others."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, GanzooWarning):
            warn(str(message))
        else:
            otherwise(message, category, *place, **more)

    return show


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table of texts."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        result.add_column(visible(column), overflow="fold")
    for row in rows:
        result.add_row(*(Text(visible(cell)) for cell in row))
    return result


def in_a_line(statistic: str) -> str:
    """The name of a statistic where there is little room: `discriminator/real` as `d/real`."""
    phase, slash, name = statistic.partition("/")
    return f"{visible(phase[:1])}{slash}{visible(name)}"


def warn_about_broken_plugins() -> None:
    """One line on stderr for each plugin that could not be loaded, or will not be in future.

    Raises `UserError` where a broken plugin is an error.
    """
    from ganzoo import plugins

    for line in plugins.installed().warnings:
        warn(line)
