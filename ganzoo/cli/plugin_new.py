"""`ganzoo plugin new`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ganzoo.errors import UserError
from ganzoo.interruption import handled
from ganzoo.output import complain, print_place, tell
from ganzoo.specs import KINDS


def new(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Lower-case words joined by hyphens: ganzoo-wave."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help=f"What it offers, again for each further kind: {', '.join(KINDS)}.",
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option(metavar="PARENT", help="The folder in which NAME is made.")
    ] = Path(),
    author: Annotated[
        str | None, typer.Option(help="Whose name the licence has; by default git's user.name.")
    ] = None,
) -> None:
    """Write a new plugin: a package that works, to be changed. Prints its folder.

    Asks for what is missing, on a terminal. Overwrites nothing.
    """
    from ganzoo.scaffold import check_kinds, check_name, new_plugin

    # What is given is checked before anything is asked.
    if name is not None:
        check_name(name, folder=folder)
    if kinds:
        check_kinds(kinds)
    if not sys.stdin.isatty():
        _check_complete(name, kinds)
    with handled("raise"):
        if name is None:
            question = "What is it called? Lower-case words joined by hyphens, such as ganzoo-wave"
            name = _ask(question, lambda answer: check_name(answer, folder=folder))
        if not kinds:
            kinds = _words(_ask(_question_of_kinds(), lambda answer: check_kinds(_words(answer))))
        author = author or _git_author() or _ask_author(name)
        target = new_plugin(name, kinds, folder, author=author)
    print_place(target)
    _print_next_steps(target)


def _check_complete(name: str | None, kinds: Sequence[str] | None) -> None:
    """Raise `UserError` where something is missing and nobody can be asked."""
    missing = [*(["NAME"] if name is None else []), *([] if kinds else ["--kind"])]
    if missing:
        raise UserError(
            f"missing {' and '.join(missing)}, and there is no terminal to ask on",
            hint="for example: ganzoo plugin new ganzoo-wave --kind generator --kind loss",
        )


def _question_of_kinds() -> str:
    from ganzoo.specs import KINDS

    return f"What does it offer? One or more of {', '.join(KINDS)}"


def _words(answer: str) -> list[str]:
    """What stands between spaces and commas."""
    return re.findall(r"[^\s,]+", answer)


def _ask(question: str, check: Callable[[str], object]) -> str:
    """The first answer from the terminal that `check` has no `UserError` for."""
    while True:
        # On stderr and with a line of its own: programs read stdout, and the terminal redraws
        # the line that is being edited.
        tell(question)
        try:
            answer = input().strip()
            check(answer)
        except EOFError:
            raise typer.Abort from None
        except UserError as error:
            complain(error)
        else:
            return answer


def _git_author() -> str | None:
    """`git config user.name`, if there is a git that knows it."""
    command = ["git", "config", "user.name"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def _ask_author(name: str) -> str | None:
    """Somebody's answer, if there is anybody."""
    if not sys.stdin.isatty():
        return None
    question = f"Whose name has the licence? By default: The authors of {name}"
    return _ask(question, lambda answer: None) or None


def _print_next_steps(target: Path) -> None:
    """The commands by which the new plugin is installed, tested, run and checked."""
    from ganzoo.scaffold import package_of

    tell(
        "next:\n"
        f"  cd {shlex.quote(str(target))}\n"
        '  pip install -e ".[test]"\n'
        "  pytest\n"
        f"  ganzoo run recipes/{target.name}.toml\n"
        f"  ganzoo plugin check {package_of(target.name)}"
    )
