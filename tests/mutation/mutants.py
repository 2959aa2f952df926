"""Mutants of a module: its source with one small change, by the operators of mutmut.

Changes that no test of behaviour should notice are not made, see `SILENT_KEYWORDS` and `Changes`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

SILENT_KEYWORDS = {"description", "hint", "encoding"}
"""Arguments that are texts for people, or that change nothing where UTF-8 is the default."""
ALWAYS_FATAL = {"len", "isinstance"}
"""Functions that mutmut leaves alone as well: a wrong argument ends the program at once."""
TRIPLE = ('"""', "'''")


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    path: Path
    number: int
    """The place among the mutants of its module, from 1."""
    change: Callable[[], str]
    """Gives the whole text of the changed module, which takes a while."""
    line: int
    """The line that is changed, in the original."""
    lines: range
    """Lines of the original of which one has to be run for the change to have an effect."""
    always: bool
    """Whether they are run when the module is imported."""

    @property
    def name(self) -> str:
        """A name that stays the same as long as the module does."""
        return f"{self.module}:{self.line}#{self.number}"

    @cached_property
    def source(self) -> str:
        """The whole text of the changed module."""
        return self.change()

    def difference(self) -> str:
        """The lines that differ, with - before the old ones and + before the new ones."""
        old, new = self.path.read_text(encoding="utf-8").splitlines(), self.source.splitlines()
        lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[3:]
        return "\n".join(line for line in lines if not line.startswith("@@"))


def mutants_of(module: str, path: Path) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8")))
    changes = Changes()
    wrapper.visit(changes)
    code, mutants, seen = wrapper.module.code_for_node, [], set[tuple[int, str]]()
    for node, changed, line, lines, always in changes.found:
        new = id(node), code(changed)
        if new in seen or new[1] == code(node):
            continue
        seen.add(new)
        change = partial(_source, wrapper.module, node, changed)
        mutants.append(Mutant(module, path, len(mutants) + 1, change, line, lines, always))
    return mutants


def _source(module: cst.Module, node: cst.CSTNode, changed: cst.CSTNode) -> str:
    return module.deep_replace(node, changed).code


class Changes(cst.CSTVisitor):
    """Every change that an operator of mutmut would make, but for these:

    - of texts for people: literals and f-strings of several words, documentation, `hint` and
      `description`;
    - of types: annotations, and the names that modules give to types;
    - of `examples`, which declarations give for the conformance kit to try.
    """

    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, int, range, bool]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._is_left_alone(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for changed in operator(node):
                    if not _only_texts_differ(node, changed):
                        self._add(node, changed)
        return True

    def _add(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        lines, always = self._run_with(node)
        line = self.get_metadata(PositionProvider, node).start.line
        self.found.append((node, changed, line, lines, always))

    def _is_left_alone(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom | cst.Decorator):
            return True
        if isinstance(node, cst.Arg) and node.keyword and node.keyword.value in SILENT_KEYWORDS:
            return True
        if isinstance(node, cst.Call) and m.matches(node.func, m.Name()):
            return node.func.value in ALWAYS_FATAL
        if isinstance(node, cst.AnnAssign) and m.matches(node.target, m.Name("examples")):
            return True
        return _is_text(node) or _is_type(node)

    def _run_with(self, node: cst.CSTNode) -> tuple[range, bool]:
        """The lines of the statement that is changed, and whether an import runs them."""
        statement = node
        while not isinstance(statement, cst.BaseStatement):
            statement = self.get_metadata(ParentNodeProvider, statement)
        place = self.get_metadata(PositionProvider, statement)
        first, last = place.start.line, place.end.line
        body = getattr(statement, "body", None)
        if isinstance(body, cst.BaseSuite) and not isinstance(statement, cst.FunctionDef):
            last = max(first, self.get_metadata(PositionProvider, body).start.line - 1)
        above = statement
        while not isinstance(above, cst.Module | cst.FunctionDef):
            above = self.get_metadata(ParentNodeProvider, above)
        return range(first, last + 1), isinstance(above, cst.Module)


def _is_text(node: cst.CSTNode) -> bool:
    """Whether this is a text for people: it has several words, or three quotation marks."""
    if isinstance(node, cst.ConcatenatedString):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, cst.SimpleString):
        return node.quote in TRIPLE or _several(node.raw_value)
    if isinstance(node, cst.FormattedString):
        parts = [part.value for part in node.parts if isinstance(part, cst.FormattedStringText)]
        return _several("".join(parts))
    return False


def _several(words: str) -> bool:
    return " " in words.strip() and any(map(str.isalpha, words))


def _is_type(node: cst.CSTNode) -> bool:
    """Whether this statement gives a name to a type, such as `Terms = dict[str, Tensor]`."""
    name = m.Name(m.MatchRegex("[A-Z][A-Z0-9]*[a-z].*"))
    alias = m.Subscript() | m.BinaryOperation(operator=m.BitOr()) | m.Call(func=m.Name("TypeVar"))
    return m.matches(node, m.Assign(targets=[m.AssignTarget(name)], value=alias))


def _only_texts_differ(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether a change takes a text for people away, from a call or from a variable."""
    if isinstance(node, cst.Assign | cst.AnnAssign):
        return node.value is not None and _is_text(node.value)
    if isinstance(node, cst.Call) and isinstance(changed, cst.Call):
        left = {id(each) for each in changed.args}
        gone = [each for each in node.args if id(each) not in left]
        return bool(gone) and all(
            _is_text(each.value) or (each.keyword and each.keyword.value in SILENT_KEYWORDS)
            for each in gone
        )
    return False
