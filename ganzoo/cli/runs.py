"""`ganzoo runs`, `ganzoo runs diff` and `ganzoo runs prune`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganzoo.cli.arguments import RunArgument
from ganzoo.output import say, stdout, table, tell, warn

if TYPE_CHECKING:
    from ganzoo.overview import Overview

RunsOption = Annotated[Path, typer.Option("--runs", help="Folder that holds all runs.")]

SHOWN = 3
"""Changes of a recipe that a line has room for."""
LONGEST = 24
"""Characters of a value in a line."""


def runs(
    context: typer.Context,
    folder: RunsOption = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List all runs, and the names that commands know them by."""
    if context.invoked_subcommand is not None:
        return
    from ganzoo.overview import overview
    from ganzoo.records import finite

    rows = overview(folder)
    if as_json:
        print(json.dumps(finite(rows), indent=2, allow_nan=False))
        return
    if not rows:
        tell(f"there are no runs in {folder}: `ganzoo run RECIPE` makes one")
        return
    names = (
        *("run", "state", "age", "iterations", "headline", "warnings", "size"),
        "differs from the recipe",
    )
    stdout().print(table(names, [_line(row) for row in rows]))


def _line(row: Overview) -> tuple[str, ...]:
    headline, last = row["headline"], row["iterations"]
    return (
        row["name"],
        row["state"],
        age(datetime.fromisoformat(row["begun"])),
        "" if last is None else f"{row['iteration']}/{last}",
        "" if headline is None else f"{headline['name']} {headline['value']:.4g}",
        ", ".join(row["warnings"]),
        amount(row["bytes"]),
        "" if row["changes"] is None else changes(row["changes"]),
    )


def age(begun: datetime) -> str:
    """How long ago that is, in its largest unit."""
    seconds = (datetime.now(UTC) - begun).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def amount(count: int) -> str:
    """Bytes, as people write them."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def changes(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """The first keys and values, and how many more there are."""
    texts = [f"{key}={_short(mine)}" for key, (mine, _) in differences.items()]
    more = f", and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def _short(value: Any) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def diff(first: RunArgument, second: RunArgument) -> None:
    """Show in what two runs differ: recipe, versions, choices."""
    from ganzoo.overview import compared
    from ganzoo.references import find_run

    folders = [find_run(each).whole() for each in (first, second)]
    rows = [
        (key, *("-" if value is None else json.dumps(value, ensure_ascii=False) for value in pair))
        for key, pair in compared(*folders).items()
    ]
    if rows:
        stdout().print(table(("key", *(str(each.path) for each in folders)), rows))
    else:
        tell("they were made from one recipe, with the same versions and choices")


def prune(
    chosen: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="By default all runs.")
    ] = None,
    folder: RunsOption = Path("runs"),
    last: Annotated[
        bool,
        typer.Option(
            "--last", help="Also the last checkpoint of runs that are done; they stay as they are."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove old checkpoints and broken files; ask first.

    The last checkpoint of a run that is not done stays, and so does everything that is sampled,
    measured or shown.
    """
    from ganzoo.errors import GanzooError
    from ganzoo.overview import size
    from ganzoo.pruning import in_training, superfluous
    from ganzoo.pruning import prune as prune_run
    from ganzoo.references import find_run, run_folders
    from ganzoo.unfinished import is_locked

    named = [find_run(each, folder).whole() for each in chosen or ()]
    found, total = [], 0
    for each in named or run_folders(folder):
        if is_locked(each.lock):
            if named:
                raise in_training(each)
            continue
        try:
            files = superfluous(each, last=last)
        except GanzooError as error:
            if named:
                raise
            warn(f"{each.path} is passed over: {error.message}")
            continue
        if files:
            freed = sum(size(file) for file in files)
            say(f"{each.path}: {len(files)} file{'s' * (len(files) != 1)}, {amount(freed)}")
            found.append(each)
            total += freed
    if not found:
        tell("there is nothing to remove")
        return
    if not yes and not typer.confirm(f"Remove {amount(total)}?", err=True):
        raise typer.Exit(1)
    for each in found:
        prune_run(each, last=last)
    tell(f"{amount(total)} freed")
