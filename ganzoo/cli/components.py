"""`ganzoo components`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.cli.output import stdout, table, warn_about_broken_plugins

if TYPE_CHECKING:
    from ganzoo.registry import Entry


def components(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="generator, loss, dataset, ...")
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="TYPE", help="One component.")] = None,
) -> None:
    """List what recipes can be made of. With KIND and TYPE, every key of one component."""
    from ganzoo import registry
    from ganzoo.errors import UserError, one_of
    from ganzoo.specs import KINDS

    warn_about_broken_plugins()
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"no kind of component is called '{kind}'", hint=f"there is {one_of(list(KINDS))}"
        )
    found = registry.installed()
    if kind is not None and name is not None:
        _describe(found.find(kind, name), name)
        return
    rows = [
        (entry.kind, each, entry.plugin.label, entry.spec.summary())
        for some_kind in ([kind] if kind else KINDS)
        for each, entry in zip(found.names(some_kind), found.entries(some_kind), strict=True)
    ]
    stdout().print(table(("kind", "type", "from", "summary"), rows))


def _describe(entry: Entry, name: str) -> None:
    """Help text, needs, keys and a table to paste of the component that `name` means."""
    import inspect

    from ganzoo.recipe.keys import keys

    console = stdout()
    console.print(f"{entry.kind} {name} ({entry.plugin.label})\n")
    console.print(inspect.cleandoc(entry.spec.__doc__ or ""))
    for label, words in (("needs", entry.spec.needs), ("provides", entry.spec.provides)):
        if words:
            console.print(f"\n{label}: {', '.join(sorted(words))}")
    rows = list(keys(entry.spec))
    if rows:
        console.print()
        console.print(table(("key", "type", "default", "meaning"), rows))
    console.print()
    console.print(_example(entry.kind, name, rows), end="")


def _example(kind: str, name: str, rows: Sequence[Sequence[str]]) -> str:
    """A table with every key, the required ones left for the reader to fill in."""
    from ganzoo.recipe.keys import ABSENT, REQUIRED, toml_value
    from ganzoo.recipe.model import ARRAYS, SLOTS

    headers = {held: f"[{slot}]" for slot, held in SLOTS.items()}
    headers |= {held: f"[[{array}]]" for array, held in ARRAYS.items()}
    lines = [headers[kind], f"type = {toml_value(name)}"]
    for key, described, default, _ in rows:
        if default == REQUIRED:
            lines.append(f"# {key} = ...  required: {described}")
        elif default != ABSENT:
            lines.append(f"{key} = {default}")
    return "\n".join(lines) + "\n"
