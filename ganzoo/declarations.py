"""Whether a class that a plugin offers can be used as the declaration of a component."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ganzoo.specs import KINDS, NETWORKS, LossSpec, Phase, Role, ScheduleSpec

TYPE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NETWORK_NAME = re.compile(r"[a-z][a-z0-9_]*")

NEEDED: tuple[str, ...] = ("data", *NETWORKS, "loss", "schedule", "condition")
"""What a component may need of a recipe."""

DIFFERENTIABLE = frozenset({"x", "z", "fake"})
"""What a term may differentiate with respect to."""


def declaration_problem(kind: str, spec: object) -> str | None:
    """What is wrong with a class that a plugin offers as a component of `kind`, or None."""
    base = KINDS[kind]
    if not (isinstance(spec, type) and issubclass(spec, base)):
        return f"{spec!r} is not a subclass of {base.__name__}"
    name = spec.__dict__.get("type")
    if name is None:
        return f'{spec.__name__} has no name of its own; write type: ClassVar[str] = "..."'
    if not (isinstance(name, str) and TYPE_NAME.fullmatch(name)):
        return f"{spec.__name__}.type must be lower-case words joined by hyphens, not {name!r}"
    if not spec.__dict__.get("__doc__"):
        return f"{spec.__name__} has no docstring; its first line is the help text"
    if spec.__abstractmethods__:
        return f"{spec.__name__} does not define {', '.join(sorted(spec.__abstractmethods__))}"
    for attribute in ("needs", "provides"):
        if not isinstance(getattr(spec, attribute), frozenset):
            return f"{spec.__name__}.{attribute} must be a frozenset"
    for need in sorted(spec.needs):
        table = need.partition(".")[0]
        if table not in NEEDED:
            return f"{spec.__name__}.needs names '{table}', which is no table of a recipe"
    if kind == "regularizer" and (strange := spec.differentiates - DIFFERENTIABLE):  # type: ignore[attr-defined]
        return f"{spec.__name__}.differentiates names '{min(strange)}', not x, z or fake"
    if issubclass(spec, LossSpec):
        return _networks_problem(spec) or _phases_problem(spec)
    if issubclass(spec, ScheduleSpec):
        runs: object = spec.runs
        if not (isinstance(runs, property) or (isinstance(runs, frozenset) and runs)):
            return f"{spec.__name__}.runs must be a frozenset of at least one phase's name"
    return None


def _networks_problem(spec: type[LossSpec]) -> str | None:
    if not isinstance(spec.networks, Mapping):
        return f"{spec.__name__}.networks must map names to roles"
    for name, role in spec.networks.items():
        if not isinstance(role, Role):
            return f"{spec.__name__}.networks['{name}'] is not a Role"
        if name in (*NETWORKS, "loss", "type") or not NETWORK_NAME.fullmatch(str(name)):
            return (
                f"{spec.__name__}.networks names '{name}'; take a word of lower-case letters that "
                "is no table of its own"
            )
    return None


def _phases_problem(spec: type[LossSpec]) -> str | None:
    name, phases = spec.__name__, getattr(spec, "phases", None)
    if not (isinstance(phases, Mapping) and phases):
        return f"{name}.phases must name at least one phase"
    for phase, declared in phases.items():
        if not isinstance(declared, Phase):
            return f"{name}.phases['{phase}'] is not a Phase"
        if strangers := declared.trains - {*NETWORKS, *spec.networks}:
            return (
                f"{name}.phases['{phase}'] trains '{min(strangers)}', which is no network; "
                f"further networks stand in {name}.networks"
            )
        if strangers := declared.differentiates - DIFFERENTIABLE:
            return f"{name}.phases['{phase}'] differentiates '{min(strangers)}', not x, z or fake"
    return None
