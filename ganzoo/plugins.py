"""Finds plugins by entry point, and those named as files, and loads each in isolation.

One broken plugin costs only itself: it becomes a `Plugin` with an `error`, and everything that
does not need it works on. Three environment variables have a say:

GANZOO_PLUGINS         names, joined by commas, of those that are loaded besides the core's own
GANZOO_STRICT_PLUGINS  1 makes a broken plugin an error
GANZOO_PLUGIN_FILES    plugins that are files; see `ganzoo.local`
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pluggy

from ganzoo import hookspecs, local
from ganzoo.distributions import CORE as CORE
from ganzoo.distributions import distinct, entry_points, normal, version_of
from ganzoo.errors import RunError, UserError, describe, one_of
from ganzoo.local import LocalPlugin
from ganzoo.offers import PluginFailure, offered_components, validation_problem
from ganzoo.specs import API_VERSION, ComponentSpec
from ganzoo.streams import warn

OLDEST_API_VERSION = 1
"""The oldest component API for which plugins may be written."""

ALLOWED = "GANZOO_PLUGINS"
STRICT = "GANZOO_STRICT_PLUGINS"
VARIABLES = (ALLOWED, STRICT, local.VARIABLE)
"""What decides, besides the packages that are installed, which plugins a process has."""


@dataclass(frozen=True)
class Plugin:
    """One plugin: loaded, broken or left out."""

    name: str
    """`distribution:entry point`, or the name of a plugin file."""
    distribution: str
    """The distribution, or again the name of a plugin file."""
    version: str
    """The distribution's, or a hash of the file's content."""
    components: tuple[tuple[str, type[ComponentSpec]], ...] = ()
    """Pairs of kind and class, in the order the plugin gives them."""
    load_ms: float = 0.0
    error: str | None = None
    """Why the plugin is not in use, or None."""
    module: str = ""
    """The module that its entry point names. A plugin file's is `ganzoo.local.` and its stem; it
    can be imported in every process that inherits the environment."""
    file: str = ""
    """Absolute path of a plugin file; empty for an installed plugin."""
    source: str = ""
    """The source of a component of this process alone; empty for any other plugin."""
    left_out: bool = False
    """Whether `GANZOO_PLUGINS` keeps it from being imported."""
    imports_torch: bool | None = None
    """Whether loading it imported torch; None where torch was there before, or nothing loaded."""
    notice: str | None = None
    """What its author should change though the plugin is in use, or None."""

    @property
    def label(self) -> str:
        """`distribution version`, as messages name it."""
        return f"{self.distribution} {self.version}"

    @property
    def complaint(self) -> str:
        """What is wrong with the plugin, as a sentence."""
        return f"plugin {self.name} ({self.version}) {self.error or self.notice}"


class _Manager(pluggy.PluginManager):
    """Looks for hooks at no name of Python's own: objects of pydantic refuse some of them."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)


def hook_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks and no plugin."""
    manager = _Manager("ganzoo")
    manager.add_hookspecs(hookspecs)
    return manager


class Plugins:
    """All plugins of this process, and the calls of their lifecycle hooks."""

    def __init__(
        self,
        plugins: Iterable[Plugin],
        manager: pluggy.PluginManager,
        remarks: Iterable[str] = (),
    ) -> None:
        self.all = tuple(plugins)
        self.remarks = tuple(remarks)
        """What is wrong with `GANZOO_PLUGINS`, a line each."""
        self._manager = manager
        self._muted: set[tuple[str, str]] = set()
        self.reported: set[tuple[str, str]] = set()
        """Names of plugins and hooks of which it was said already that they failed."""

    @property
    def broken(self) -> tuple[Plugin, ...]:
        """The plugins that could not be loaded."""
        return tuple(plugin for plugin in self.all if plugin.error and not plugin.left_out)

    @property
    def refused(self) -> tuple[Plugin, ...]:
        """The broken plugins that are an error: those that were named as files, or all."""
        return tuple(plugin for plugin in self.broken if plugin.file or _strict())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What every command says first, a line each."""
        warned = [plugin for plugin in self.broken if plugin not in self.refused]
        warned += [plugin for plugin in self.all if plugin.notice]
        return (*self.remarks, *(plugin.complaint for plugin in warned))

    def refuse(self) -> None:
        """Raises `UserError` where there are plugins to be refused; it names them all."""
        files = [plugin.file for plugin in self.refused if plugin.file]
        hints = [f"mend {file}, or leave it out of --plugin" for file in files]
        if _strict():
            hints.append(f"{STRICT} is set: mend or uninstall what is broken, or unset it")
        if self.refused:
            complaints = [plugin.complaint for plugin in self.refused]
            raise UserError("\n".join(complaints), hint="\n".join(hints))

    def offer(self, plugin: Plugin) -> None:
        """Take in a plugin that is no module, in place of one of the same name."""
        self.all = (*(each for each in self.all if each.name != plugin.name), plugin)

    @contextmanager
    def listening(self, listeners: Mapping[str, Any]) -> Iterator[None]:
        """Call the lifecycle hooks of objects too, by name, until the context ends.

        Raises `UserError` for an object whose marked methods are no hooks.
        """
        try:
            for name, listener in listeners.items():
                try:
                    self._manager.register(listener, name=name)
                    self._manager.check_pending()
                except pluggy.PluginValidationError as error:
                    raise UserError(f"{name}: {validation_problem(error)}") from error
            yield
        finally:
            for name in listeners:
                if self._manager.has_plugin(name):
                    self._manager.unregister(name=name)
            # The next run has listeners of its own, which may be called again.
            self._muted = {key for key in self._muted if key[0] not in listeners}
            self.reported = {key for key in self.reported if key[0] not in listeners}

    def notify(self, hook: str, tell: Callable[[str], None] = warn, /, **arguments: Any) -> None:
        """Call a lifecycle hook in every plugin; one that raises is named once, then muted.

        `tell` is called with the sentence that names it; by default it is printed. Raises
        `RunError` instead where `GANZOO_STRICT_PLUGINS` is set.
        """
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
                failure = f"plugin {key[0]} failed in {hook}"
                if _strict():
                    raise RunError(
                        f"{failure}: {describe(error)}",
                        hint=f"{STRICT} is set: mend or uninstall the plugin, or unset it",
                    ) from error
                if key not in self.reported:
                    self.reported.add(key)
                    tell(f"{failure} and is not called there again: {describe(error)}")


@functools.cache
def installed() -> Plugins:
    """The core's own components and every plugin, looked for once a process.

    Raises `UserError` for a broken plugin that was named as a file, and for any that is broken
    where `GANZOO_STRICT_PLUGINS` is set.
    """
    plugins = scan()
    plugins.refuse()
    return plugins


def scan() -> Plugins:
    """Look for plugins, and load those that may be."""
    names = os.environ.get(ALLOWED)
    allowed = (
        None if names is None else [name for each in names.split(",") if (name := each.strip())]
    )
    return load(importlib.metadata.distributions(), local.named(), allowed)


def _strict() -> bool:
    return os.environ.get(STRICT, "") not in ("", "0")


@dataclass(frozen=True)
class _Candidate:
    """A plugin that is not loaded yet."""

    plugin: Plugin
    place: str
    """Where its code is, as messages say it."""
    load: Callable[[], Any]
    """Imports it."""


def load(
    distributions: Iterable[importlib.metadata.Distribution],
    files: Iterable[LocalPlugin] = (),
    allowed: Collection[str] | None = None,
) -> Plugins:
    """Load the plugins of `distributions`, the core's own among them, and plugin files.

    Of installed plugins other than the core's own only the `allowed` are loaded, where that is
    given: names of distributions, or `distribution:entry point`.
    """
    manager = hook_manager()
    names = None if allowed is None else {normal(name) for name in (CORE, *allowed)}
    plugins = []
    taken: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for candidate in (*_installed(distributions), *map(_local, files)):
        plugin = candidate.plugin
        if names is None or plugin.file or not names.isdisjoint(_names(plugin)):
            plugin = _attempt(manager, candidate, taken[plugin.distribution])
            taken[plugin.distribution].update((kind, spec.type) for kind, spec in plugin.components)
        else:
            plugin = replace(plugin, left_out=True, error=f"is not allowed by {ALLOWED}")
        plugins.append(plugin)
    return Plugins(plugins, manager, _remarks(allowed or (), plugins))


def _names(plugin: Plugin) -> tuple[str, str]:
    """The names by which an installed plugin may be allowed."""
    return normal(plugin.distribution), normal(plugin.name)


def _remarks(allowed: Iterable[str], plugins: Iterable[Plugin]) -> Iterator[str]:
    """A line for each allowed name that no installed plugin has, with those it may mean."""
    known = {CORE, *(name for plugin in plugins if not plugin.file for name in _names(plugin))}
    for name in dict.fromkeys(allowed):
        if (wanted := normal(name)) in known:
            continue
        alike = sorted(each for each in known if (":" in each) == (":" in wanted))
        near = [each for each in alike if wanted in each]
        near = near or difflib.get_close_matches(wanted, alike, n=2, cutoff=0.8)
        meant = f"; did you mean {one_of(near)}?" if near else ""
        yield f"{ALLOWED} names '{name}', and no such plugin is installed{meant}"


def _installed(distributions: Iterable[importlib.metadata.Distribution]) -> Iterator[_Candidate]:
    for distribution in distinct(distributions):
        for entry_point in entry_points(distribution):
            # A malformed entry point names no module.
            named = entry_point.pattern.match(entry_point.value)
            plugin = Plugin(
                f"{distribution.name}:{entry_point.name}",
                distribution.name,
                version_of(distribution),
                module=named["module"] if named else "",
            )
            attributes = (named and named["attr"]) or ""
            load = functools.partial(_load, plugin.module, attributes)
            yield _Candidate(plugin, entry_point.value, load)


def _load(module: str, attributes: str) -> Any:
    """What an entry point names."""
    found: Any = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        found = getattr(found, name)
    return found


def _local(file: LocalPlugin) -> _Candidate:
    path = str(file.path)
    plugin = Plugin(file.name, file.name, file.version, module=file.module, file=path)
    return _Candidate(plugin, path, functools.partial(importlib.import_module, file.module))


def _attempt(
    manager: pluggy.PluginManager, candidate: _Candidate, taken: Collection[tuple[str, str]]
) -> Plugin:
    """Import and register one plugin; one that is broken gets its error and leaves no trace.

    `taken` are the kinds and types that the same distribution offers already.
    """
    plugin, notice, error = candidate.plugin, None, None
    components: tuple[tuple[str, type[ComponentSpec]], ...] = ()
    torch_before = "torch" in sys.modules
    start = time.perf_counter()
    try:
        module = _import(candidate)
        notice = _api_notice(module)
        components = _register(manager, plugin.name, module, taken)
        notice = _unmarked(manager, plugin, module) or notice
    except PluginFailure as failure:
        error, notice = str(failure), None
    return replace(
        plugin,
        components=components,
        load_ms=(time.perf_counter() - start) * 1000,
        error=error,
        imports_torch=None if torch_before else "torch" in sys.modules,
        notice=notice,
    )


def _unmarked(manager: pluggy.PluginManager, plugin: Plugin, module: Any) -> str | None:
    """What to say of a plugin with a function that is called as a hook and is none."""
    marked = {caller.name for caller in manager.get_hookcallers(module) or ()}
    for hook in vars(hookspecs):
        if hook.startswith("ganzoo_") and hasattr(module, hook) and hook not in marked:
            return f"has a function {hook} that is not marked with @hookimpl"
    if plugin.file and not marked:
        return "implements no hook of ganzoo: mark its functions with @hookimpl"
    return None


def _import(candidate: _Candidate) -> Any:
    """The module, or whatever else the entry point names."""
    if not candidate.plugin.module:
        raise PluginFailure(f"cannot be imported: '{candidate.place}' is no name of a module")
    try:
        return candidate.load()
    except (Exception, SystemExit) as error:
        raise PluginFailure(f"cannot be imported ({candidate.place}): {describe(error)}") from error


def _api_notice(module: Any) -> str | None:
    """What to say of a plugin for an older component API that is still taken.

    Raises `PluginFailure` for one that is not, or is newer than this core's.
    """
    version = getattr(module, "GANZOO_API_VERSION", 1)
    if not isinstance(version, int):
        raise PluginFailure(f"GANZOO_API_VERSION should be a whole number, not {version!r}")
    if version == API_VERSION:
        return None
    text = f"was written for component API {version}; this ganzoo-core has {API_VERSION}"
    if version > API_VERSION:
        raise PluginFailure(f"{text}: upgrade ganzoo-core")
    if version < OLDEST_API_VERSION:
        raise PluginFailure(f"{text}: upgrade the plugin")
    return f"{text} and takes {version} for some time still: upgrade the plugin"


def _register(
    manager: pluggy.PluginManager,
    name: str,
    module: Any,
    taken: Collection[tuple[str, str]],
) -> tuple[tuple[str, type[ComponentSpec]], ...]:
    """What a plugin offers; raises `PluginFailure` after it has taken it off the manager again."""
    try:
        manager.register(module, name=name)
        manager.check_pending()
        components = tuple(offered_components(manager, name))
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
            text = validation_problem(error)
        else:
            text = describe(error)
        raise PluginFailure(f"cannot be registered: {text}") from error
