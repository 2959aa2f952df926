"""`ganzoo components`: what recipes can be made of, and how to write it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from sites import forget_modules

from ganzoo import registry
from ganzoo.errors import one_of
from ganzoo.recipe import RecipeError, load_recipe
from ganzoo.recipe.model import ARRAYS
from ganzoo.registry import Entry
from ganzoo.specs import KINDS

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

ENTRIES = [
    pytest.param(entry, name, id=f"{kind} {name}")
    for kind in KINDS
    for name, entry in zip(
        registry.installed().names(kind), registry.installed().entries(kind), strict=True
    )
]
VALUES = {
    **{"string": '"somewhere"', "integer": "8", "float": "0.5", "boolean": "true"},
    "array": '[["discriminator"], ["generator"]]',
}
"""What a reader may fill in for a required key, by the first word of its type."""

CRITICISM = '''
from typing import ClassVar

from ganzoo.api import LossSpec, Phase, Role, hookimpl


class Criticism(LossSpec):
    """A loss with a critic."""

    type: ClassVar[str] = "criticism"
    networks = {"critic": Role(kind="discriminator", sees="codes")}
    phases = {"coding": Phase(trains={"encoder"}), "judging": Phase(trains={"critic"})}

    def build(self, context): ...


@hookimpl
def ganzoo_losses():
    return [Criticism]
'''


def test_there_are_components_to_test() -> None:
    assert len(ENTRIES) >= 17


def test_all_components_are_listed(command: Command) -> None:
    result = command("components")
    assert (result.returncode, result.stderr) == (0, "")
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["kind", "type", "from", "summary"]
    assert len(lines) == len(ENTRIES)
    for line, param in zip(lines, ENTRIES, strict=True):
        entry, name = param.values
        assert re.split(r"  +", line.strip()) == [
            entry.kind,
            name,
            entry.plugin.label,
            entry.spec.summary(),
        ]


def test_the_components_of_one_kind(command: Command) -> None:
    result = command("components", "loss")
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["kind", "type", "from", "summary"]
    assert {line.split()[0] for line in lines} == {"loss"}


def test_schedules_are_listed_with_what_they_run(command: Command) -> None:
    header, *lines = command("components", "schedule").stdout.splitlines()
    assert header.split() == ["kind", "type", "from", "runs", "summary"]
    cells = [re.split(r"  +", line.strip()) for line in lines]
    runs = {row[1]: row[3] for row in cells}
    assert runs["joint"] == "joint"
    assert runs["alternating"] == "discriminator, generator"
    assert runs["sequence"] == "as its keys say"


def keys(model: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key that the class takes, dotted, and its description."""
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description


@pytest.mark.parametrize(("entry", "name"), ENTRIES)
def test_every_key_has_type_default_and_meaning(command: Command, entry: Entry, name: str) -> None:
    result = command("components", entry.kind, name)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{entry.kind} {name} ({entry.plugin.label})\n")
    assert entry.spec.summary() in result.stdout
    for key, meaning in keys(entry.spec):
        (row,) = re.findall(rf"^{re.escape(key)}  .*", result.stdout, re.MULTILINE)
        cells = re.split(r"  +", row.strip())
        assert len(cells) == 4, f"{entry.spec.__name__}.{key} has no description"
        assert cells[3] == meaning
    for words in (entry.spec.needs, entry.spec.provides):
        assert ", ".join(sorted(words)) in result.stdout


def pasted(stdout: str) -> str:
    """The table to paste, which is the last block."""
    return stdout[stdout.rindex("\n\n[") + 2 :]


def filled_in(table: str) -> str:
    """The table with a value for each key that the reader has to give."""

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]} = {VALUES[match[2]]}"

    return re.sub(r"^# (\S+) = \.\.\.  required: (\w+).*$", fill, table, flags=re.MULTILINE)


@pytest.mark.parametrize(("entry", "name"), ENTRIES)
def test_the_table_can_be_pasted(
    command: Command, write_recipe: WriteRecipe, entry: Entry, name: str
) -> None:
    table = filled_in(pasted(command("components", entry.kind, name).stdout))
    header, _, body = table.partition("\n")
    slot = header.strip("[]")
    recipe = write_recipe({f"[{slot}]" if slot in ARRAYS else slot: body})
    try:
        load_recipe(recipe)
    except RecipeError as error:
        # The rest of the recipe need not fit the component, but its own table is right.
        wrong = [f"{slot}.0.type", f"{slot}.type", slot, "schedule.type", "discriminator"]
        for problem in error.problems:
            assert problem.key in wrong
            assert re.search(
                "needs|runs the phase|does not use|is fitted to codes", problem.message
            )
    else:
        tables = load_recipe(recipe).tables()[slot]
        # Every key stands in the table, with the value that it has where nobody writes it.
        written = tomllib.loads(table)[slot]
        one, own = (tables[0], written[0]) if slot in ARRAYS else (tables, written)
        assert one.keys() == own.keys()
        required = [name for name, field in entry.spec.model_fields.items() if field.is_required()]
        lines = [line for line in body.splitlines() if line.split()[0] in ("type", *required)]
        shortest = write_recipe({f"[{slot}]" if slot in ARRAYS else slot: "\n".join(lines)})
        assert load_recipe(shortest).tables()[slot] == tables


def test_a_key_that_the_reader_has_to_give(command: Command, write_recipe: WriteRecipe) -> None:
    table = pasted(command("components", "dataset", "image-folder").stdout)
    assert "\n# path = ...  required: string\n" in table
    result = command("check", write_recipe({"data": table.partition("\n")[2]}))
    assert result.returncode == 2
    assert "data.path: missing key of dataset 'image-folder'" in result.stderr
    assert "data.size: missing key of dataset 'image-folder'" in result.stderr


def test_types_in_words(command: Command) -> None:
    stdout = command("components", "schedule", "alternating").stdout
    assert re.search(r'^first +discriminator \| generator +"discriminator" +which', stdout, re.M)
    stdout = command("components", "generator", "mlp").stdout
    assert re.search(r"^hidden +array of integer > 0 +\[256, 512, 1024\] +widths", stdout, re.M)
    assert re.search(r"^dropout +float >= 0, < 1 +0\.0 +dropout", stdout, re.M)
    stdout = command("components", "dataset", "celeba").stdout
    assert re.search(r"^limit +integer > 0 \| absent +absent +train", stdout, re.M)
    assert "limit" not in pasted(stdout)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("joint", "\nruns: joint\n"),
        ("alternating", "\nruns: discriminator, generator\n"),
        ("sequence", None),
    ],
)
def test_what_a_schedule_runs(command: Command, name: str, line: str | None) -> None:
    stdout = command("components", "schedule", name).stdout
    if line is None:  # the recipe's groups decide
        assert "runs:" not in stdout
    else:
        assert line in stdout


def test_phases_and_further_networks_of_a_loss(
    command: Command, tmp_path: Path, fresh_plugins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(CRITICISM)
    monkeypatch.setenv("GANZOO_PLUGIN_FILES", str(file))
    stdout = command("components", "loss", "criticism").stdout
    assert "\nphases: coding, judging\n\n[networks.critic]: a discriminator of codes\n" in stdout
    monkeypatch.undo()
    forget_modules(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["gizmos"],
            "no kind of component is called 'gizmos'\n"
            "  = there is 'generator', 'discriminator', 'encoder', 'loss', 'regularizer', "
            "'augmentation', 'schedule', 'dataset', 'prior', 'extractor', 'metric', 'probe' or "
            "'listener'\n",
        ),
        (
            ["generator", "mpl"],
            "no generator is called 'mpl'\n  = did you mean 'mlp'?\n",
        ),
        (
            ["loss", "xyzzy"],
            "no loss is called 'xyzzy'\n"
            f"  = there is {one_of(registry.installed().names('loss'))}\n",
        ),
        (
            ["generator", "ganzoo-core:mlp"],
            "no generator is called 'ganzoo-core:mlp'\n  = ",
        ),
    ],
)
def test_a_kind_or_type_that_is_not_there(
    command: Command, arguments: list[str], text: str
) -> None:
    result = command("components", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(text)


def test_a_type_can_be_named_with_its_distribution(command: Command) -> None:
    stdout = command("components", "generator", "ganzoo-mlp:mlp").stdout
    assert stdout.startswith("generator ganzoo-mlp:mlp (ganzoo-mlp ")
    assert 'type = "ganzoo-mlp:mlp"\n' in pasted(stdout)


@pytest.mark.parametrize(
    ("kind", "name", "row"),
    [
        ("loss", "non-saturating", r"discriminator/real +d/real +-E log D\(x\), in nats"),
        ("loss", "elbo", r"joint/elbo +j/elbo +minus the sum of both: higher is better"),
        ("regularizer", "r1", r"discriminator/r1/penalty +d/r1/penalty +gamma / 2"),
    ],
)
def test_the_terms_of_a_loss_are_explained(
    kind: str, name: str, row: str, command: Command
) -> None:
    assert re.search(row, command("components", kind, name).stdout)


@pytest.mark.parametrize("kind", ["loss", "regularizer"])
def test_every_loss_and_regularizer_explains_its_terms(kind: str) -> None:
    """The conformance kit compares the names with what is computed."""
    for entry in registry.installed().entries(kind):
        assert entry.spec.terms, entry.qualified
