"""What a plugin offers, and whether its hooks and declarations can be used."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import pluggy

from ganzoo import hookspecs
from ganzoo.declarations import declaration_problem
from ganzoo.specs import ComponentSpec


class PluginFailure(Exception):
    """A plugin cannot be used; the message says why, to its user and its author."""


def validation_problem(error: pluggy.PluginValidationError) -> str:
    """What pluggy says of marked functions, in one line, with the hook that was perhaps meant."""
    text = " ".join(str(error).split())
    if match := re.match(r"unknown hook '(\w+)'", text):
        hooks = [hook for hook in vars(hookspecs) if hook.startswith("ganzoo_")]
        near = difflib.get_close_matches(match[1], hooks, n=1)
        text = match[0] + (f"; did you mean '{near[0]}'?" if near else "")
    return text


def offered_components(
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
