"""`--plugin`: plugins that are files or folders, and not installed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import typer

from ganzoo.cli.app import app
from ganzoo.local import LocalPlugin

from .conftest import COMMANDS, MINE

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]


EXTRACTOR = """
from typing import ClassVar

from ganzoo.api import BuildContext, ExtractorSpec, hookimpl


class Mine(ExtractorSpec):
    '''Means of the rows of images.'''

    type: ClassVar[str] = "mine"

    def build(self, context: BuildContext):
        import torch
        from torch import nn

        class RowMeans(nn.Module):
            note = "the means of rows"

            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.ones(1))

            def forward(self, x):
                return self.scale * x.mean(3).flatten(1), None

        return RowMeans()


@hookimpl
def ganzoo_extractors():
    return [Mine]
"""


class TestPluginFiles:
    def test_every_command_has_the_option(self, command: Command) -> None:
        groups = {group.name: group.typer_instance for group in app.registered_groups}
        known = [info.name for info in app.registered_commands] + [
            f"{name} {info.name}"
            for name, group in groups.items()
            if isinstance(group, typer.Typer)
            for info in group.registered_commands
        ]
        assert sorted(known) == sorted(COMMANDS)
        for name in ["", "runs", *COMMANDS]:
            shown = command(*name.split(), "--help").stdout
            assert re.search(r"--plugin PATH +Load a plugin that is not installed", shown), name

    @pytest.mark.parametrize(
        "arguments",
        [
            "--plugin mine.py check one-layer.toml",
            "check one-layer.toml --plugin mine.py",
            "check --plugin=mine.py one-layer.toml",
            "--plugin other.py check one-layer.toml --plugin mine.py",
            "check one-layer.toml --plugin other.py --plugin mine.py",
            "check one-layer.toml --plugin several",
        ],
    )
    @pytest.mark.usefixtures("one_layer", "mine")
    def test_before_and_after_the_command(self, anew: Command, arguments: str) -> None:
        Path("other.py").write_text(MINE.replace("one-layer", "two-layers"))
        Path("several").mkdir()
        Path("several/mine.py").write_text(MINE)
        result = anew(*arguments.split())
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == "one-layer.toml: valid\n"

    def test_it_is_listed_with_the_hash_of_its_content(self, process: Command, mine: Path) -> None:
        version = LocalPlugin(mine.absolute()).version
        listed = process("plugins", "--plugin", mine)
        assert (listed.returncode, listed.stderr) == (0, "")
        last = listed.stdout.splitlines()[-1]
        assert re.fullmatch(rf"mine\.py +{version} +\d+ ms +no +generator one-layer *", last)
        (row,) = [
            row
            for row in json.loads(process("plugins", "--json", "--plugin", mine).stdout)
            if row["file"]
        ]
        assert row.pop("load_ms") > 0
        assert row == {
            "name": "mine.py",
            "distribution": "mine.py",
            "version": version,
            "file": str(mine.absolute()),
            "allowed": True,
            "imports_torch": False,
            "offers": {"generator": ["one-layer"]},
            "error": None,
            "notice": None,
        }

    @pytest.mark.usefixtures("one_layer")
    def test_without_it_nothing_is_loaded(self, process: Command, mine: Path) -> None:
        result = process("check", "one-layer.toml")
        assert result.returncode == 2
        assert "no generator is called 'one-layer'" in result.stderr

    def test_the_whole_life_of_a_run(self, anew: Command, mine: Path, one_layer: Path) -> None:
        made = anew("run", one_layer, "--id", "one", "--plugin", mine)
        assert made.returncode == 0, made.stderr
        folder = Path("runs/tiny/one")
        environment = json.loads((folder / "environment.json").read_text())
        file = mine.absolute()
        assert environment["plugins"]["mine.py"] == LocalPlugin(file).version
        assert environment["plugin_files"] == {"mine.py": str(file)}

        hint = f"  = the run was made with the plugin file mine.py: add --plugin {file}\n"
        for arguments in (("resume", folder), ("sample", folder, "--out", "x.png")):
            refused = anew(*arguments)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "generator.type: no generator is called 'one-layer'\n" in refused.stderr
            assert refused.stderr.endswith(f"1 problem; nothing was run\n{hint}")

        sampled = anew("sample", folder, "--out", "x.png", "--plugin", mine)
        assert (sampled.returncode, sampled.stdout) == (0, "x.png\n")

    def test_an_extractor_of_ones_own(
        self, anew: Command, tmp_path: Path, write_recipe: WriteRecipe
    ) -> None:
        (tmp_path / "mine.py").write_text(EXTRACTOR)
        tables = {
            "extractor": 'type = "mine"',
            "evaluate": "samples = 50\nsnapshots = 1",
            "[metrics]": 'type = "fid"',
        }
        recipe = write_recipe(tables)
        result = anew("run", recipe, "--id", "one", "--plugin", "mine.py")
        assert result.returncode == 0, result.stderr
        evaluation = json.loads(Path("runs/tiny/one/evaluation.json").read_text())
        extractor = evaluation["extractor"]
        assert (extractor["type"], extractor["note"]) == ("mine", "the means of rows")
        assert extractor["name"] == f"mine@{extractor['digest'][:4]}"
        fid = f"fid[{extractor['name']}]"
        assert f"{fid} {evaluation['values'][fid]:.4g}\n" in result.stderr
        # A comparison measures the run with it too, in whatever recipe it is named.
        command = ("compare", "runs/tiny/one", "extractor.type=mine.py:mine")
        compared = anew(*command, "--plugin", "mine.py")
        assert compared.returncode == 0, compared.stderr
        document = json.loads(Path("comparison/comparison.json").read_text())
        assert document["extractor"]["name"] == extractor["name"]
        assert document["extractor"]["table"] == {"type": "mine.py:mine"}
        (run,) = document["models"][0]["runs"]
        assert run["values"][fid] == evaluation["values"][fid]

    @pytest.mark.parametrize("arguments", ["check tiny.toml", "plugins", "components", "schema"])
    @pytest.mark.usefixtures("recipe")
    def test_one_that_is_broken_is_an_error(
        self, process: Command, tmp_path: Path, arguments: str
    ) -> None:
        file = tmp_path / "wrong.py"
        file.write_text("1 / 0\n")
        result = process(*arguments.split(), "--plugin", "wrong.py")
        assert result.returncode == 2
        assert result.stderr == (
            f"plugin wrong.py ({LocalPlugin(file).version}) cannot be imported ({file}): "
            f"ZeroDivisionError: division by zero ({file}:1)\n"
            f"  = mend {file}, or leave it out of --plugin\n"
        )
        assert bool(result.stdout) == (arguments == "plugins")

    @pytest.mark.parametrize("arguments", ["--plugin x.py plugins", "plugins --plugin x.py"])
    def test_one_that_is_not_there(self, command: Command, tmp_path: Path, arguments: str) -> None:
        result = command(*arguments.split())
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"the plugin file {tmp_path / 'x.py'} does not exist\n"
            "  = --plugin takes a .py file, a package, or a folder of .py files\n"
        )

    def test_an_option_alone_is_no_command(self, command: Command, mine: Path) -> None:
        result = command("--plugin", mine)
        assert result.returncode == 2
        assert result.stderr.endswith("Error: Missing command.\n")
