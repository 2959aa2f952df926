"""`ganzoo components`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganzoo.cli.output import stdout, table, warn_about_broken_plugins

if TYPE_CHECKING:
    from ganzoo.registry import Entry


def components(
    kind: Annotated[str | None, typer.Argument(help="generator, loss, dataset, ...")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="One component.")] = None,
) -> None:
    """List what recipes can be made of; with KIND and TYPE every key of one component."""
    from ganzoo import registry
    from ganzoo.errors import UserError, one_of
    from ganzoo.specs import KINDS

    warn_about_broken_plugins()
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"no kind of component is called '{kind}'", hint=f"there is {one_of(list(KINDS))}"
        )
    found = registry.installed()
    if kind is not None and name is not None:
        _describe(found.find(kind, name))
        return
    rows = [
        (entry.kind, each, entry.plugin.label, entry.spec.summary())
        for some_kind in ([kind] if kind else KINDS)
        for each, entry in zip(found.names(some_kind), found.entries(some_kind), strict=True)
    ]
    stdout().print(table(("kind", "type", "from", "summary"), rows))


def _describe(entry: Entry) -> None:
    """Help text, needs, keys and a table to paste."""
    import inspect

    console = stdout()
    console.print(f"{entry.kind} {entry.spec.type} ({entry.plugin.label})\n")
    console.print(inspect.cleandoc(entry.spec.__doc__ or ""))
    for label, words in (("needs", entry.spec.needs), ("provides", entry.spec.provides)):
        if words:
            console.print(f"\n{label}: {', '.join(sorted(words))}")
    schema = entry.spec.model_json_schema()
    rows = [
        (key, _type(field, schema), _default(entry, key), _meaning(entry, key))
        for key, field in schema.get("properties", {}).items()
    ]
    if rows:
        console.print()
        console.print(table(("key", "type", "default", "meaning"), rows))
    console.print()
    console.print(_example(entry), end="")


def _meaning(entry: Entry, key: str) -> str:
    return entry.spec.model_fields[key].description or ""


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON-Schema type in a few words."""
    if "$ref" in field:
        return _type(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    if "anyOf" in field:
        return " | ".join(_type(choice, schema) for choice in field["anyOf"])
    name = str(field.get("type", "any"))
    if name == "array":
        items: dict[str, Any] = field.get("items") or next(iter(field.get("prefixItems", [])), {})
        return f"array of {_type(items, schema)}"
    bounds = {
        "exclusiveMinimum": "> ",
        "minimum": ">= ",
        "exclusiveMaximum": "< ",
        "maximum": "<= ",
    }
    limits = [f"{sign}{field[word]:g}" for word, sign in bounds.items() if word in field]
    names = {"object": "table", "null": "absent", "number": "float"}
    return " ".join([names.get(name, name), ", ".join(limits)]).strip()


def _default(entry: Entry, key: str) -> str:
    import tomli_w

    field = entry.spec.model_fields[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "absent"
    if hasattr(value, "model_dump"):
        return "its own defaults"
    text = tomli_w.dumps({"value": list(value) if isinstance(value, tuple) else value})
    return " ".join(text.partition(" = ")[2].split())


def _example(entry: Entry) -> str:
    """A table with every key, the required ones left for the reader to fill in."""
    slot = {"dataset": "data", "regularizer": "regularizers", "metric": "metrics"}.get(
        entry.kind, entry.kind
    )
    header = f"[[{slot}]]" if slot in ("regularizers", "metrics") else f"[{slot}]"
    rows = [header, f'type = "{entry.spec.type}"']
    for key in entry.spec.model_fields:
        default = _default(entry, key)
        if default == "required":
            rows.append(f"{key} =  # required")
        elif default not in ("absent", "its own defaults"):
            rows.append(f"{key} = {default}")
    return "\n".join(rows) + "\n"
