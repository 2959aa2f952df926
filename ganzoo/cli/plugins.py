"""`ganzoo plugins`."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.cli.output import stdout, table, warn_about_broken_plugins

if TYPE_CHECKING:
    from ganzoo.plugins import Plugin


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List every installed plugin. Says what each offers and what is wrong with it."""
    from ganzoo.plugins import installed

    found = installed()
    if as_json:
        print(json.dumps([_record(plugin) for plugin in found.all], indent=2))
    else:
        rows = [
            (
                plugin.name,
                plugin.version,
                f"{plugin.load_ms:.0f} ms",
                "broken" if plugin.error else _offers(plugin),
            )
            for plugin in found.all
        ]
        stdout().print(table(("plugin", "version", "load", "offers"), rows))
        warn_about_broken_plugins()
    if found.broken:
        raise typer.Exit(1)


def _record(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "load_ms": round(plugin.load_ms, 2),
        "offers": _by_kind(plugin),
        "error": plugin.error,
    }


def _by_kind(plugin: Plugin) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, spec in plugin.components:
        kinds[kind].append(spec.type)
    return dict(kinds)


def _offers(plugin: Plugin) -> str:
    kinds = _by_kind(plugin)
    if not kinds:
        return "lifecycle hooks"
    return "; ".join(f"{kind} {', '.join(types)}" for kind, types in kinds.items())
