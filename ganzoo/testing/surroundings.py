"""Which other components a component is checked with.

They are the kit's own where these can do what is needed, so that the fault of one plugin is not
reported of another; what else is needed is looked for among the installed plugins.
"""

from __future__ import annotations

import difflib
from typing import Any

from ganzoo import registry
from ganzoo.plugins import Plugin
from ganzoo.recipe.model import SLOTS, Component
from ganzoo.specs import (
    NETWORKS,
    ComponentSpec,
    DiscriminatorSpec,
    LossSpec,
    ProbeSpec,
    RegularizerSpec,
)
from ganzoo.testing.checks import Skip, Wrong
from ganzoo.testing.reference import REFERENCES, ReferenceData

GAME = frozenset({"generator", "discriminator"})
KIT = Plugin("ganzoo-core:testing", "ganzoo-core", "kit")
DEFAULTS = {"schedule": "joint", "prior": "latent"}
"""Components of the core for tables that every recipe has."""


def surroundings(
    spec: ComponentSpec, sample_shape: tuple[int, ...], pack: int = 1
) -> dict[str, Component[Any]]:
    """The components, by table, of the smallest recipe that has what a component needs.

    What these need themselves is there too. A loss is in it itself. Raises `Skip` where no
    installed plugin offers what is needed, and `Wrong` for a word that seems misspelt.
    """
    wanted: dict[str, frozenset[str]] = dict.fromkeys(
        ("data", "generator", "loss", *DEFAULTS), frozenset()
    )
    while True:
        chosen: dict[str, ComponentSpec] = {
            table: spec
            if table == "loss" and isinstance(spec, LossSpec)
            else _chosen(table, capabilities, sample_shape, pack)
            for table, capabilities in wanted.items()
        }
        before = dict(wanted)
        for each in (spec, *chosen.values()):
            for need in needs(each):
                table, _, capability = need.partition(".")
                if table != "condition":
                    more = frozenset({capability} if capability else ())
                    wanted[table] = wanted.get(table, frozenset()) | more
        if wanted == before:
            return {table: Component(each.type, each, KIT) for table, each in chosen.items()}


def needs(spec: ComponentSpec) -> frozenset[str]:
    """What a component needs, with the networks that it trains or looks at."""
    if isinstance(spec, LossSpec):
        trained = frozenset[str]().union(*(phase.trains for phase in spec.phases.values()))
        return spec.needs | (trained & frozenset(NETWORKS))
    # Phases that are called as these networks are those of a game between the two.
    if isinstance(spec, ProbeSpec) or (isinstance(spec, RegularizerSpec) and spec.phase in GAME):
        return spec.needs | GAME
    return spec.needs


def _chosen(
    table: str, capabilities: frozenset[str], sample_shape: tuple[int, ...], pack: int
) -> ComponentSpec:
    provider = _provider(table, capabilities)
    if issubclass(provider, ReferenceData):
        return provider(shape=sample_shape)
    if issubclass(provider, DiscriminatorSpec):
        return provider(pack=pack)
    return provider()


def _provider(table: str, needed: frozenset[str]) -> type[ComponentSpec]:
    """A component that provides what is needed and has a default for every key."""
    kind, references = SLOTS[table], REFERENCES.get(table, ())
    for reference in references:
        if needed <= reference.provides:
            return reference
    installed = registry.installed()
    if table in DEFAULTS and not needed:
        return installed.find(kind, DEFAULTS[table]).spec
    offers = [entry.spec for entry in installed.entries(kind)]
    known = frozenset[str]().union(*(each.provides for each in (*references, *offers)))
    for word in sorted(needed - known):
        if near := difflib.get_close_matches(word, sorted(known), n=1):
            raise Wrong(
                f"it needs '{table}.{word}', which no installed {kind} provides; did you mean "
                f"'{table}.{near[0]}'?"
            )
    for each in offers:
        if needed <= each.provides and not any(k.is_required() for k in each.model_fields.values()):
            return each
    wanted = ", ".join(sorted(needed)) or "what it should"
    raise Skip(f"it needs {table} with {wanted}, and no installed plugin offers such a {kind}")
