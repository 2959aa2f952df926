"""From the kind and the type that a recipe writes to the class that a plugin offers."""

from __future__ import annotations

import difflib
import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganzoo import plugins
from ganzoo.errors import UserError, one_of
from ganzoo.plugins import Plugin
from ganzoo.specs import ComponentSpec


@dataclass(frozen=True)
class Entry:
    """One component that can be used."""

    kind: str
    spec: type[ComponentSpec]
    plugin: Plugin

    @property
    def qualified(self) -> str:
        """`distribution:type`, a name that is never ambiguous."""
        return f"{self.plugin.distribution}:{self.spec.type}"


class Registry:
    """Every component of a set of plugins. Nothing is shadowed and nothing renamed."""

    def __init__(self, loaded: Iterable[Plugin]) -> None:
        loaded = tuple(loaded)
        self.broken = tuple(plugin for plugin in loaded if plugin.error)
        self._entries: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for plugin in loaded:
            for kind, spec in plugin.components:
                self._entries[kind][spec.type].append(Entry(kind, spec, plugin))

    def declared(self, kind: str) -> Sequence[Entry]:
        """All components of a kind, in the order in which plugins declare them."""
        return [entry for offers in self._entries[kind].values() for entry in offers]

    def entries(self, kind: str) -> Sequence[Entry]:
        """All components of a kind, sorted by type and then by distribution."""
        return sorted(self.declared(kind), key=lambda entry: (entry.spec.type, entry.plugin.name))

    def names(self, kind: str) -> Sequence[str]:
        """The names by which a recipe can ask for a component of this kind."""
        return [
            entry.qualified if len(self._entries[kind][entry.spec.type]) > 1 else entry.spec.type
            for entry in self.entries(kind)
        ]

    def find(self, kind: str, name: str) -> Entry:
        """The component that `name` means, a bare type or `distribution:type`.

        Raises `UserError` for a name that no plugin offers (with the nearest that one does) and
        for a bare type that several offer.
        """
        distribution, _, bare = name.rpartition(":")
        offers = self._entries[kind].get(bare, [])
        if distribution:
            offers = [entry for entry in offers if entry.plugin.distribution == distribution]
        if len(offers) == 1:
            return offers[0]
        if offers:
            labels = " and ".join(entry.plugin.label for entry in offers)
            raise UserError(
                f"{kind} '{name}' is offered by {labels}",
                hint=f"write {one_of([entry.qualified for entry in offers])}",
            )
        raise UserError(f"no {kind} is called '{name}'", hint=self.advice(kind, name))

    def advice(self, kind: str, name: str = "") -> str:
        """What to write instead of `name`, and which plugins are broken; one hint a line."""
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
        if near:
            advice = f"did you mean {one_of(near)}?"
        elif names:
            advice = f"there is {one_of(names)}"
        else:
            advice = f"no installed plugin offers a component of the kind {kind}"
        for plugin in self.broken:
            advice += f"\nplugin {plugin.name} ({plugin.version}) {plugin.error}"
        return advice


@functools.cache
def installed() -> Registry:
    """The registry of the installed plugins."""
    return Registry(plugins.installed().all)
