"""`ganzoo plugins`."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.output import stdout, table, warn

if TYPE_CHECKING:
    from ganzoo.plugins import Plugin


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List every plugin. Says what each offers, what it costs and what is wrong with it."""
    from ganzoo.plugins import scan

    scanned = scan()
    if as_json:
        print(json.dumps([_record(plugin) for plugin in scanned.all], indent=2))
    else:
        columns = ("plugin", "version", "load", "imports torch", "offers")
        stdout().print(table(columns, [_row(plugin) for plugin in scanned.all]))
    # The records say what is wrong with plugins, but not what is wrong with GANZOO_PLUGINS.
    for line in scanned.remarks if as_json else scanned.warnings:
        warn(line)
    scanned.refuse()
    if scanned.broken:
        raise typer.Exit(1)


TORCH = {True: "yes", False: "no", None: "?"}
"""Where torch was imported before a plugin, nobody knows whether it would have done so."""


def _row(plugin: Plugin) -> tuple[str, ...]:
    if plugin.left_out:
        return plugin.name, plugin.version, "-", "-", str(plugin.error).removeprefix("is ")
    offers = "broken" if plugin.error else _offers(plugin)
    load = f"{plugin.load_ms:.0f} ms"
    return plugin.name, plugin.version, load, TORCH[plugin.imports_torch], offers


def _record(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "file": plugin.file or None,
        "allowed": not plugin.left_out,
        "load_ms": None if plugin.left_out else round(plugin.load_ms, 2),
        "imports_torch": plugin.imports_torch,
        "offers": _by_kind(plugin),
        "error": None if plugin.left_out else plugin.error,
        "notice": plugin.notice,
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
