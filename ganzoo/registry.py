"""From the kind and the type that a recipe writes to the class that a plugin offers."""

from __future__ import annotations

import difflib
import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo import plugins
from ganzoo.errors import UserError, one_of
from ganzoo.plugins import Plugin
from ganzoo.specs import ComponentSpec
from ganzoo.synonyms import usual_type


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
        self.plugins = tuple(loaded)
        self._entries: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for plugin in self.plugins:
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
        """What to write or install, and which plugins are not in use; one hint a line."""
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
        unused = [plugin for plugin in self.plugins if plugin.error]
        if known := known_offer(kind, name):
            from_it = [plugin for plugin in self.plugins if plugin.distribution == known]
            unused = [plugin for plugin in unused if plugin not in from_it]
            offered = f"{kind} '{name.rpartition(':')[2]}' is offered by"
            advice = f"{offered} {self._how_to_get(known, from_it)}"
        elif (usual := usual_type(kind, name)) in names:
            advice = f"it is called '{usual}' here"
        elif near:
            advice = f"did you mean {one_of(near)}?"
        elif names:
            advice = f"there is {one_of(names)}"
        else:
            advice = f"no installed plugin offers a component of the kind {kind}"
        # Of the plugins of this repository it is known that they do not offer it.
        others = [p for p in unused if not (p.left_out and p.distribution in known_offers())]
        return "\n".join([advice, *(plugin.complaint for plugin in others)])

    def _how_to_get(self, distribution: str, found: Sequence[Plugin]) -> str:
        """`distribution`, and what to do to use it; `found` are its plugins that are here."""
        for plugin in found:
            if plugin.error:
                add = f": add {distribution} to it" if plugin.left_out else ""
                return f"plugin {plugin.name} ({plugin.version}), which {plugin.error}{add}"
        if found:
            return f"{distribution}: pip install --upgrade {distribution}"
        zoo = _known()["zoo"]
        if distribution in zoo and not any(plugin.distribution in zoo for plugin in self.plugins):
            return f'{distribution}: pip install "{plugins.CORE}[zoo]" brings it and all the others'
        return f"{distribution}: pip install {distribution}"


@functools.cache
def _known() -> Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]:
    """What known.json holds: the plugins that the extra `zoo` brings, and those that it leaves
    `apart`, as they bring large libraries."""
    known: dict[str, dict[str, dict[str, list[str]]]]
    known = json.loads(Path(__file__).with_name("known.json").read_text(encoding="utf-8"))
    return known


def known_offers() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """What the plugins that are developed with the core offer: types by kind, by distribution."""
    return {name: offers for group in _known().values() for name, offers in group.items()}


def known_offer(kind: str, name: str) -> str | None:
    """The distribution that is known to offer what a recipe calls `name`, if there is one."""
    distribution, _, bare = name.rpartition(":")
    for known, offers in known_offers().items():
        if bare in offers.get(kind, ()) and distribution in ("", known):
            return known
    return None


@functools.cache
def installed() -> Registry:
    """The registry of the installed plugins."""
    return Registry(plugins.installed().all)
