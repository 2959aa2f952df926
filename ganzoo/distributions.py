"""Installed distributions, and the entry points by which they name plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint

from ganzoo import hookspecs

CORE = "ganzoo-core"


def normal(name: str) -> str:
    """The one spelling of a distribution's name, also where an entry point's follows it."""
    distribution, colon, entry_point = name.partition(":")
    return re.sub(r"[-_.]+", "-", distribution).lower() + colon + entry_point


def distinct(distributions: Iterable[Distribution]) -> list[Distribution]:
    """The core first, then by name; of a name found twice only the first, which is imported."""
    found: dict[str, Distribution] = {}
    for distribution in distributions:
        try:
            name = distribution.name
        except Exception:  # what an interrupted uninstall leaves behind
            continue
        if name:
            found.setdefault(normal(name), distribution)
    return [found[name] for name in sorted(found, key=lambda name: (name != CORE, name))]


def entry_points(distribution: Distribution) -> list[EntryPoint]:
    """The distribution's entry points of our group; none where its list cannot be read."""
    try:
        selected = distribution.entry_points.select(group=hookspecs.GROUP)
    except Exception:  # any package may have a malformed list, most are none of our business
        return []
    return sorted(selected, key=lambda entry_point: entry_point.name)


def version_of(distribution: Distribution) -> str:
    """The distribution's version, or `unknown` where its metadata have none."""
    try:
        return distribution.version or "unknown"
    except KeyError:  # as the package importlib_metadata says it
        return "unknown"
