"""Writes docs/recipes.md: every key of a recipe, from the classes that check it.

    make docs

The components are those of the core and of the plugins of this repository.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganzoo import registry
from ganzoo.recipe.keys import keys
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.recipe.settings import OPTIMIZERS, TABLES
from ganzoo.registry import Entry

FOLDER = Path(__file__).parent
OURS = {"ganzoo-core", *(path.name for path in (FOLDER.parent / "plugins").glob("ganzoo-*"))}

INTRODUCTION = """\
# Recipes: every key

This page is made from the classes that check recipes (`make docs`). `ganzoo components KIND TYPE`
prints the same about one component, with more words, also for plugins that do not stand here;
`ganzoo show RECIPE` writes a recipe with every default filled in; `ganzoo schema` is the same as a
JSON Schema, for completion in editors.

A recipe is a TOML file. These tables must be there: `[data]`, `[generator]`, `[loss]`,
`[schedule]`, `[optimizer]`, `[train]`. Keys outside any table:

| key | type | default | meaning |
|---|---|---|---|
| `name` | string | the file's name | names the folder of the runs: letters, digits, `.`, `_`, `-` |
| `summary` | string | `""` | one line, for `ganzoo recipes` |
| `extends` | string | absent | path of a recipe to start from; what stands here replaces its keys |

- A component is named by its `type`. Where two plugins offer the same type, `distribution:type`
  says which is meant.
- Where a key of a recipe that is extended, or of the command line (`key=value`, the value written
  as in TOML), changes a `type`, the other keys of the old type are dropped.
- A part that `needs` something is refused, before anything is built, where the recipe has no such
  table, or where the component in it does not provide what stands behind the dot.
"""

OPTIMIZER = """\
### `[optimizer]`

One for all networks; `[optimizer.generator]`, `[optimizer.discriminator]`, `[optimizer.encoder]`
and `[optimizer.loss]` (for losses that have weights) override it for one of them. The keys depend
on `type`.
"""


def page() -> str:
    """The text of docs/recipes.md."""
    return "\n".join(paragraphs())


def paragraphs() -> Iterator[str]:
    """The page, part by part; each ends with a line break."""
    yield INTRODUCTION
    yield "## Settings of the engine\n"
    for name, model in TABLES.items():
        yield f"### `[{name}]`\n"
        yield f"{inspect.cleandoc(model.__doc__ or '')}\n"
        yield key_table(list(keys(model)))
    yield OPTIMIZER
    for name, optimizer in OPTIMIZERS.items():
        yield f'`type = "{name}"`: {inspect.cleandoc(optimizer.__doc__ or "")}\n'
        yield key_table(list(keys(optimizer)))
    yield "## Components\n"
    places = {kind: f"[{slot}]" for slot, kind in SLOTS.items()}
    places |= {kind: f"[[{array}]]" for array, kind in ARRAYS.items()}
    for kind, place in places.items():
        entries = [
            entry
            for entry in registry.installed().entries(kind)
            if entry.plugin.distribution in OURS
        ]
        if entries:
            yield f"### `{place}`\n"
        for entry in entries:
            yield from component(entry)


def component(entry: Entry) -> Iterator[str]:
    """What there is to say of one component."""
    yield f"#### {entry.kind} `{entry.spec.type}`\n"
    yield f"{entry.spec.summary()} From `{entry.plugin.distribution}`.\n"
    words = [
        f"{label} {', '.join(f'`{word}`' for word in sorted(found))}"
        for label, found in (("needs", entry.spec.needs), ("provides", entry.spec.provides))
        if found
    ]
    if words:
        yield f"It {' and '.join(words)}.\n"
    yield key_table(list(keys(entry.spec)))


def key_table(rows: Sequence[Sequence[str]]) -> str:
    """Keys as a Markdown table."""
    if not rows:
        return "No keys.\n"
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, described, default, meaning in rows:
        cells = (f"`{key}`", described, default, meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER / "recipes.md").write_text(page(), encoding="utf-8")
