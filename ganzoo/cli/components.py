"""`ganzoo components`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ganzoo.output import in_a_line, say, stdout, table, warn_about_broken_plugins

if TYPE_CHECKING:
    from ganzoo.registry import Entry
    from ganzoo.specs import ComponentSpec


def complete_kind(incomplete: str) -> list[str]:
    """The kinds that a shell offers."""
    from ganzoo.specs import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def complete_type(context: typer.Context, incomplete: str) -> list[str]:
    """The types of the kind before it that a shell offers."""
    from ganzoo import registry

    names = registry.installed().names(context.params.get("kind") or "")
    return [name for name in names if name.startswith(incomplete)]


def components(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="generator, loss, dataset, ...", autocompletion=complete_kind
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", help="One component.", autocompletion=complete_type),
    ] = None,
) -> None:
    """List what recipes can be made of. With KIND and TYPE, every key of one component."""
    from ganzoo import registry
    from ganzoo.errors import UserError, one_of
    from ganzoo.recipe.settings import OPTIMIZERS
    from ganzoo.specs import KINDS
    from ganzoo.synonyms import usual_kind

    warn_about_broken_plugins()
    if kind is not None and kind not in KINDS:
        usual = usual_kind(kind) or kind.removesuffix("s")
        there = f"there is {one_of(list(KINDS))}"
        if kind == "optimizer":
            there = f"[optimizer] takes {one_of(list(OPTIMIZERS))}: its keys are in docs/recipes.md"
        elif usual in KINDS:
            there = f"it is called '{usual}' here: ganzoo components {usual}"
        raise UserError(f"no kind of component is called '{kind}'", hint=there)
    installed = registry.installed()
    if kind is not None and name is not None:
        _describe(installed.find(kind, name), name)
        return
    entries = [
        (each, entry)
        for some_kind in ([kind] if kind else KINDS)
        for each, entry in zip(
            installed.names(some_kind), installed.entries(some_kind), strict=True
        )
    ]
    # Which phases are run decides which schedules go together with a loss.
    columns = ("kind", "type", "from", *(["runs"] if kind == "schedule" else []), "summary")
    rows = [
        {
            "kind": entry.kind,
            "type": each,
            "from": entry.plugin.label,
            "runs": _phases_run(entry.spec) or "as its keys say",
            "summary": entry.spec.summary(),
        }
        for each, entry in entries
    ]
    stdout().print(table(columns, [[row[column] for column in columns] for row in rows]))


def _describe(entry: Entry, name: str) -> None:
    """Help text, needs, keys and a table to paste of the component that `name` means."""
    import inspect

    from ganzoo.recipe.keys import keys
    from ganzoo.specs import RegularizerSpec

    say(f"{entry.kind} {name} ({entry.plugin.label})\n")
    say(inspect.cleandoc(entry.spec.__doc__ or ""))
    for label, words in _facts(entry.spec):
        say(f"\n{label}: {words}")
    if terms := getattr(entry.spec, "terms", {}):
        inside = f"{entry.spec.phase}/{name}/" if issubclass(entry.spec, RegularizerSpec) else ""
        say("")
        meanings = [[inside + key, in_a_line(inside + key), terms[key]] for key in terms]
        stdout().print(table(("statistic", "while training", "meaning"), meanings))
    rows = list(keys(entry.spec))
    if rows:
        say("")
        stdout().print(table(("key", "type", "default", "meaning"), rows))
    say("")
    say(_example(entry.kind, name, rows), end="")


def _facts(spec: type[ComponentSpec]) -> Iterator[tuple[str, str]]:
    """What a declaration says besides its keys."""
    from ganzoo.recipe.checks import article
    from ganzoo.specs import LossSpec

    for label, words in (("needs", spec.needs), ("provides", spec.provides)):
        if words:
            yield label, ", ".join(sorted(words))
    if issubclass(spec, LossSpec):
        yield "phases", ", ".join(spec.phases)
        for name, role in spec.networks.items():
            yield f"[networks.{name}]", f"{article(role.kind)} of {role.sees}"
    if phases := _phases_run(spec):
        yield "runs", phases


def _phases_run(spec: type[ComponentSpec]) -> str:
    """The phases that a schedule runs; nothing where its keys decide, or for other kinds."""
    runs = getattr(spec, "runs", None)
    return ", ".join(sorted(runs)) if isinstance(runs, frozenset) else ""


def _example(kind: str, name: str, rows: Sequence[Sequence[str]]) -> str:
    """A table with every key, the required ones left for the reader to fill in."""
    from ganzoo.recipe.keys import ABSENT, REQUIRED, toml_value
    from ganzoo.recipe.model import ARRAYS, SLOTS

    headers = {held: f"[[{array}]]" for array, held in ARRAYS.items()}
    headers |= {held: f"[{slot}]" for slot, held in SLOTS.items()}
    lines = [headers[kind], f"type = {toml_value(name)}"]
    for key, described, default, _ in rows:
        if default == REQUIRED:
            lines.append(f"# {key} = ...  required: {described}")
        elif default != ABSENT:
            lines.append(f"{key} = {default}")
    return "\n".join(lines) + "\n"
