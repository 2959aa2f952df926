"""Whatever comes from outside commands no terminal: control characters are written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ganzoo.display import LineProgress
from ganzoo.errors import visible
from ganzoo.output import table, tell

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

ESCAPE = "\x1b[2J\x9b31m\x07"
"""Clears a terminal, changes its colour, rings."""
SHOWN = "\\u001b[2J\\u009b31m\\u0007"
TOML = "\\u001b[2J\\u009b31m\\u0007"
"""The same as a TOML text writes it."""


def harmless(result: CompletedProcess[str]) -> str:
    """All output of a command, which holds no control character."""
    output = result.stdout + result.stderr
    assert visible(output) == output
    return output


@pytest.mark.parametrize(
    "changes",
    [
        {"": f'name = "{TOML}"\nlatent = {{ dim = 4 }}'},
        {"": f'"{TOML}" = 1\nlatent = {{ dim = 4 }}'},
        {"train": f'iterations = 6\n"{TOML}" = 3'},
        {"train": f'iterations = "{TOML}"'},
        {"generator": f'type = "{TOML}"'},
        {"generator": f'type = "mlp"\nactivation = "{TOML}"'},
        {"optimizer": f'type = "{TOML}"'},
        {f'networks."{TOML}"': 'type = "mlp"'},
        {f'optimizer."{TOML}"': "lr = 1e-3"},
    ],
    ids=range(9),
)
@pytest.mark.parametrize("terminal", [False, True])
def test_names_values_and_keys_in_problems(
    changes: dict[str, str], terminal: bool, command: Command, write_recipe: WriteRecipe
) -> None:
    for name in ("check", "run", "show"):
        result = command(name, write_recipe(changes), terminal=terminal)
        assert result.returncode == 2
        assert SHOWN in harmless(result)


@pytest.mark.parametrize("start", ["extends = ", "x = \x1b[2J", "# \x1b[2J\nextends = 3"])
def test_a_source_line(start: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(f'{start}"{ESCAPE}"')
    result = command("check", "bad.toml")
    assert result.returncode == 2
    harmless(result)


def test_an_override(command: Command, recipe: Path) -> None:
    for override in (f"generator.{ESCAPE}=1", f"loss.type='{ESCAPE}'", f"loss.type='{TOML}'"):
        result = command("check", recipe, override)
        assert result.returncode == 2
        assert SHOWN.replace("\\", "") in harmless(result).replace("\\", "")


def test_names_of_files_and_folders(command: Command, write_recipe: WriteRecipe) -> None:
    file = write_recipe(name=f"a{ESCAPE}.toml")
    for arguments in (["check", file], ["recipes", "."], ["check", f"b{ESCAPE}"]):
        assert SHOWN in harmless(command(*arguments))
    for name in ("resume", "sample", "run", "compare", "recipes"):
        more = ["--out", f"x{ESCAPE}.png"] if name == "sample" else []
        result = command(name, f"b{ESCAPE}", *more)
        assert result.returncode != 0
        assert SHOWN in harmless(result)


def test_a_summary(command: Command, write_recipe: WriteRecipe) -> None:
    head = f'name = "tiny"\nsummary = "{TOML}"\nlatent = {{ dim = 4 }}'
    write_recipe({"": head})
    assert SHOWN in harmless(command("recipes", "."))
    assert SHOWN in harmless(command("show", "tiny.toml"))


@pytest.mark.parametrize("name", ["plugins", "components"])
@pytest.mark.usefixtures("fresh_plugins")
def test_a_plugin_file(command: Command, tmp_path: Path, name: str) -> None:
    plugin = tmp_path / f"p{ESCAPE}.py"
    plugin.write_text(f"raise ValueError({ESCAPE!r})")
    assert SHOWN in harmless(command(name, "--plugin", plugin))


def test_tables_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    from ganzoo.output import stdout

    stdout().print(table([ESCAPE], [[ESCAPE]]))
    LineProgress().warned(ESCAPE)
    tell(ESCAPE)
    output = capsys.readouterr()
    assert (output.out + output.err).count(SHOWN) == 4
    assert visible(output.out + output.err) == output.out + output.err
