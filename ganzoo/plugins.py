"""Finds plugins by entry point and loads each in isolation.

One broken plugin costs only itself: it becomes a `Plugin` with an `error`, and everything that
does not need it works on.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import re
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pluggy

from ganzoo import hookspecs
from ganzoo.specs import API_VERSION, ComponentSpec, declaration_problem

CORE = "ganzoo-core"


@dataclass(frozen=True)
class Plugin:
    """One plugin, loaded or broken."""

    name: str
    """`distribution:entry point`"""
    distribution: str
    version: str
    components: tuple[tuple[str, type[ComponentSpec]], ...] = ()
    """Pairs of kind and class, in the order the plugin gives them."""
    load_ms: float = 0.0
    error: str | None = None
    """Why the plugin is not in use, or None."""

    @property
    def label(self) -> str:
        """`distribution version`, as messages name it."""
        return f"{self.distribution} {self.version}"


class PluginFailure(Exception):
    """A plugin cannot be used; the message says why, to its user and its author."""


class Plugins:
    """All plugins of this process, and the way to tell them what happens in a run."""

    def __init__(self, plugins: Iterable[Plugin], manager: pluggy.PluginManager) -> None:
        self.all = tuple(plugins)
        self._manager = manager
        self._muted: set[tuple[str, str]] = set()

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """The plugins that could not be loaded."""
        return tuple(plugin for plugin in self.all if plugin.error)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook in every plugin; one that raises is named once, then muted."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            key = (implementation.plugin_name, hook)
            if key in self._muted:
                continue
            try:
                implementation.function(
                    **{name: arguments[name] for name in implementation.argnames}
                )
            except (Exception, SystemExit) as error:
                self._muted.add(key)
                print(
                    f"warning: plugin {key[0]} failed in {hook} and is not called there again: "
                    f"{describe(error)}",
                    file=sys.stderr,
                )


@functools.cache
def installed() -> Plugins:
    """The core's own components and every installed plugin, scanned once a process."""
    return load(importlib.metadata.distributions())


def load(distributions: Iterable[importlib.metadata.Distribution]) -> Plugins:
    """Load the plugins of `distributions`, the core's own among them."""
    manager = pluggy.PluginManager("ganzoo")
    manager.add_hookspecs(hookspecs)
    plugins = []
    for distribution in _distinct(distributions):
        version = distribution.version or "unknown"
        taken: set[tuple[str, str]] = set()
        for entry_point in _entry_points(distribution):
            name = f"{distribution.name}:{entry_point.name}"
            components: tuple[tuple[str, type[ComponentSpec]], ...] = ()
            error = None
            start = time.perf_counter()
            try:
                components = _load_one(manager, name, entry_point, taken)
            except PluginFailure as failure:
                error = str(failure)
            milliseconds = (time.perf_counter() - start) * 1000
            taken.update((kind, spec.type) for kind, spec in components)
            plugins.append(
                Plugin(name, distribution.name, version, components, milliseconds, error)
            )
    return Plugins(plugins, manager)


def _distinct(
    distributions: Iterable[importlib.metadata.Distribution],
) -> list[importlib.metadata.Distribution]:
    """The core first, then by name; of a name found twice only the first, which is imported."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for distribution in distributions:
        try:
            name = distribution.name
        except Exception:  # what an interrupted uninstall leaves behind
            continue
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution)
    return [found[name] for name in sorted(found, key=lambda name: (name != CORE, name))]


def _entry_points(
    distribution: importlib.metadata.Distribution,
) -> list[importlib.metadata.EntryPoint]:
    """The distribution's entry points of our group; none where its list cannot be read."""
    try:
        selected = distribution.entry_points.select(group=hookspecs.GROUP)
    except Exception:  # any package may have a malformed list, most are none of our business
        return []
    return sorted(selected, key=lambda entry_point: entry_point.name)


def _load_one(
    manager: pluggy.PluginManager,
    name: str,
    entry_point: importlib.metadata.EntryPoint,
    taken: Collection[tuple[str, str]],
) -> tuple[tuple[str, type[ComponentSpec]], ...]:
    """Import and register one plugin; raises `PluginFailure` and leaves no trace of it.

    `taken` are the kinds and types that the same distribution offers already.
    """
    try:
        module: ModuleType = entry_point.load()
    except (Exception, SystemExit) as error:
        raise PluginFailure(
            f"cannot be imported ({entry_point.value}): {describe(error)}"
        ) from error
    version = getattr(module, "GANZOO_API_VERSION", 1)
    if not isinstance(version, int):
        raise PluginFailure(f"GANZOO_API_VERSION should be a whole number, not {version!r}")
    if version != API_VERSION:
        raise PluginFailure(
            f"was written for component API {version}; this ganzoo-core has {API_VERSION}: "
            + ("upgrade ganzoo-core" if version > API_VERSION else "upgrade the plugin")
        )
    try:
        manager.register(module, name=name)
        manager.check_pending()
        components = tuple(_components(manager, name))
        for kind, spec in components:
            if (kind, spec.type) in taken:
                raise PluginFailure(
                    f"another entry point of the distribution offers {kind} '{spec.type}'"
                )
        return components
    except (Exception, SystemExit) as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        if isinstance(error, PluginFailure):
            text = str(error)
        elif isinstance(error, pluggy.PluginValidationError):
            text = _validation_problem(error)
        else:
            text = describe(error)
        raise PluginFailure(f"cannot be registered: {text}") from error


def _validation_problem(error: pluggy.PluginValidationError) -> str:
    """pluggy's text in one line, with the hook that a misspelt one was meant to be."""
    text = " ".join(str(error).split())
    if match := re.match(r"unknown hook '(\w+)'", text):
        hooks = [hook for hook in vars(hookspecs) if hook.startswith("ganzoo_")]
        near = difflib.get_close_matches(match[1], hooks, n=1)
        text = match[0] + (f"; did you mean '{near[0]}'?" if near else "")
    return text


def _components(
    manager: pluggy.PluginManager, name: str
) -> Iterable[tuple[str, type[ComponentSpec]]]:
    """What the plugin just registered under `name` offers, each class checked."""
    for caller in manager.get_hookcallers(manager.get_plugin(name)) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin_name == name and (
                implementation.wrapper or implementation.hookwrapper
            ):
                raise PluginFailure(f"{caller.name}: a hook of ganzoo cannot be a wrapper")
    for kind, hook in hookspecs.COMPONENT_HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin_name != name:
                continue
            offered = implementation.function()
            if not isinstance(offered, Iterable):
                raise PluginFailure(f"{hook} should return a list of classes, not {offered!r}")
            types: set[str] = set()
            for spec in offered:
                if problem := declaration_problem(kind, spec):
                    raise PluginFailure(f"{hook}: {problem}")
                if spec.type in types:
                    raise PluginFailure(f"{hook}: two classes have the type '{spec.type}'")
                types.add(spec.type)
                yield kind, spec


_MACHINERY = ("ganzoo.plugins", "importlib", "pluggy", "pydantic")
"""Modules that stand between a plugin and its mistakes."""


def describe(error: BaseException) -> str:
    """`KeyError: 'x' (file.py:12)`: an exception in one line, with the place that raised it."""
    traceback = error.__traceback__
    place = ""
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        module = f"{traceback.tb_frame.f_globals.get('__name__')}."
        if not filename.startswith("<") and not any(
            module.startswith(f"{name}.") for name in _MACHINERY
        ):
            place = f" ({filename}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{place}"
