"""Components of this process alone: classes that a notebook or a script registers.

    @ganzoo.loss
    class Square(LossSpec):
        ...

A recipe of this process can name them until it ends. A run keeps the source.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ganzoo import plugins, registry
from ganzoo.declarations import declaration_problem
from ganzoo.errors import UserError
from ganzoo.plugins import Plugin
from ganzoo.specs import ComponentSpec

Spec = TypeVar("Spec", bound=type[ComponentSpec])


def decorator(kind: str) -> Callable[[Spec], Spec]:
    """The decorator that registers declarations of a kind."""
    return partial(_register, kind)


def _register(kind: str, spec: Spec) -> Spec:
    """Let recipes of this process name a component, and give its class back.

    One of the same kind and type that was registered so before is replaced, as by a cell that is
    run again. Raises `UserError` for what is no declaration of the kind, and for a type that a
    plugin offers.
    """
    if problem := declaration_problem(kind, spec):
        raise UserError(
            f"@ganzoo.{kind}: {problem}", hint="docs/write-a-plugin.md has one of each kind"
        )
    # Python does not know the file of a class in a cell, but that of the code that decorates it.
    source = "".join(linecache.getlines(sys._getframe(1).f_code.co_filename))
    plugin = Plugin(
        name=f"{kind} '{spec.type}' of this process",
        distribution=f"{spec.__module__}.{spec.__qualname__}",
        version=hashlib.sha256(source.encode()).hexdigest()[:8] if source else "unknown",
        components=((kind, spec),),
        module=spec.__module__,
        source=source or f"# {spec.__qualname__}: the source is not known\n",
    )
    others = [
        entry.plugin.label
        for entry in registry.installed().declared(kind)
        if entry.spec.type == spec.type and entry.plugin.name != plugin.name
    ]
    if others:
        raise UserError(
            f"{kind} '{spec.type}' is offered by {others[0]} already", hint="give it another `type`"
        )
    plugins.installed().offer(plugin)
    registry.installed.cache_clear()
    return spec
