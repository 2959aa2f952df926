"""The import statements that a piece of code needs, in ruff's order."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Mapping, Sequence

from ganzoo import api

Modules = Mapping[str, Collection[str]]
"""Names that are imported, by module."""

GROUPS: Sequence[Modules] = (
    {
        "collections.abc": {"Mapping", "Sequence"},
        "typing": {"TYPE_CHECKING", "ClassVar", "Literal"},
    },
    {
        "ganzoo.api": api.__all__,
        "pydantic": {"Field", "NonNegativeFloat", "NonNegativeInt", "PositiveFloat", "PositiveInt"},
    },
)
"""Python's own modules, and others."""
FOR_TYPES: Modules = {"ganzoo.engine": {"Data"}, "torch": {"nn"}}
"""Modules that import torch, for names in annotations."""
LINE_LENGTH = 100


def import_block(code: str) -> str:
    """Imports of the names above that `code` uses and does not define itself."""
    tree = ast.parse(code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used -= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    types = _statements(FOR_TYPES, used)
    if types:
        used.add("TYPE_CHECKING")
    blocks = ["\n".join(_statements(group, used)) for group in GROUPS]
    if types:
        blocks.append("if TYPE_CHECKING:\n" + textwrap.indent("\n".join(types), "    "))
    return "\n\n".join(filter(None, blocks))


def _statements(modules: Modules, used: Collection[str]) -> list[str]:
    """One statement for each module of which some name is used."""
    # Constants come first, then classes, then functions.
    used_names = {
        module: sorted(
            set(names) & set(used), key=lambda name: (not name.isupper(), name[0].islower(), name)
        )
        for module, names in modules.items()
    }
    return [_statement(module, names) for module, names in used_names.items() if names]


def _statement(module: str, names: Sequence[str]) -> str:
    """`from module import A, b`, on several lines where one is too short."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= LINE_LENGTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
