"""Which plugins a command sees: all that are good, those that are allowed, files that are named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import pytest
import typer
from sites import forget_modules

from ganzoo import plugins, registry
from ganzoo.cli.app import app
from ganzoo.local import LocalPlugin

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

MINE = '''
from typing import ClassVar

from pydantic import PositiveInt, Field

from ganzoo.api import BuildContext, GeneratorSpec, hookimpl


class Mine(GeneratorSpec):
    """One layer."""

    type: ClassVar[str] = "one-layer"

    width: PositiveInt = Field(8, description="of nothing")

    def build(self, context: BuildContext):
        import math

        from torch import nn

        return nn.Sequential(
            nn.Linear(context.latent_dim, math.prod(context.sample_shape)),
            nn.Tanh(),
            nn.Unflatten(1, context.sample_shape),
        )


@hookimpl
def ganzoo_generators():
    return [Mine]
'''

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

BROKEN = {
    "ganzoo-at-import": "raise ImportError('no such thing')\n",
    "ganzoo-at-registration": """
        from ganzoo.api import hookimpl

        @hookimpl
        def ganzoo_generators():
            raise ValueError("no such thing")
    """,
    "ganzoo-in-a-hook": """
        from ganzoo.api import hookimpl

        @hookimpl
        def ganzoo_statistics_logged(iteration):
            raise RuntimeError("no such thing")
    """,
    "ganzoo-of-tomorrow": "GANZOO_API_VERSION = 99\n",
}
"""The four ways in which a plugin can be broken."""

ALWAYS_NAMED = set(BROKEN) - {"ganzoo-in-a-hook"}
COMMANDS = [
    *("run", "resume", "check", "show", "compare", "sample", "recipes", "components", "plugins"),
    *("init", "export", "measure", "interpolate", "timelapse", "runs diff", "runs prune"),
    *("schema", "plugin new", "plugin check"),
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with all four, for PYTHONPATH."""
    folder = tmp_path / "site"
    for distribution, source in BROKEN.items():
        module = distribution.replace("-", "_")
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(f"[ganzoo]\nmain = {module}\n")
        (folder / f"{module}.py").write_text(dedent(source))
    return folder


@pytest.fixture
def anew(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_plugins: None
) -> Iterator[Command]:
    """A command in this process, which looks for plugins as if it were a new one.

    It finds those of `pythonpath` too.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def anew(*arguments: object, pythonpath: Path | None = None) -> CompletedProcess[str]:
        plugins.installed.cache_clear()
        registry.installed.cache_clear()
        forget_modules(tmp_path)
        with monkeypatch.context() as patch:
            if pythonpath is not None:
                patch.syspath_prepend(pythonpath)
            return command(*arguments)

    yield anew
    forget_modules(tmp_path)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A plugin file that offers a generator."""
    (tmp_path / "mine.py").write_text(MINE)
    return Path("mine.py")


@pytest.fixture
def one_layer(write_recipe: WriteRecipe) -> Path:
    """A recipe that needs the plugin file."""
    return write_recipe({"generator": 'type = "one-layer"'}, "one-layer.toml")


def named(result: CompletedProcess[str]) -> dict[str, int]:
    """How often stderr names each of the broken plugins, of those that it names."""
    counts = {name: result.stderr.count(f"plugin {name}:main") for name in BROKEN}
    return {name: count for name, count in counts.items() if count}


class TestFourBrokenPlugins:
    """Every command works; a plugin that is broken is named once by each that looks at plugins."""

    ONCE = dict.fromkeys(sorted(ALWAYS_NAMED), 1)
    IN_A_RUN = dict.fromkeys(BROKEN, 1)

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("check tiny.toml", 0),
            ("show tiny.toml", 0),
            ("recipes .", 0),
            ("components", 0),
            ("components generator mlp", 0),
            ("schema", 0),
            ("plugins", 1),
        ],
    )
    @pytest.mark.usefixtures("recipe")
    def test_commands_that_only_look(
        self, process: Command, site: Path, arguments: str, code: int
    ) -> None:
        result = process(*arguments.split(), pythonpath=site)
        assert (result.returncode, named(result)) == (code, self.ONCE)
        assert len(result.stderr.splitlines()) == 3
        assert result.stdout

    @pytest.mark.parametrize(
        "arguments", ["--help", "--version", *(f"{command} --help" for command in COMMANDS)]
    )
    def test_help_looks_at_no_plugin(self, command: Command, arguments: str) -> None:
        result = command(*arguments.split())
        assert (result.returncode, result.stderr) == (0, "")

    def test_the_table_names_all_four(self, process: Command, site: Path) -> None:
        lines = process("plugins", pythonpath=site).stdout.splitlines()
        rows = {line.split()[0]: line.rstrip() for line in lines}
        for name in ALWAYS_NAMED:
            assert rows[f"{name}:main"].endswith(" broken")
        assert rows["ganzoo-in-a-hook:main"].endswith(" lifecycle hooks")

    def test_a_run_and_what_is_done_with_it(self, anew: Command, site: Path, recipe: Path) -> None:
        made = anew("run", recipe, "--id", "one", pythonpath=site)
        assert (made.returncode, named(made)) == (0, self.IN_A_RUN)
        folder = Path(made.stdout.strip())

        sampled = anew("sample", folder, "--out", "samples.png", pythonpath=site)
        assert (sampled.returncode, named(sampled)) == (0, self.ONCE)

        # As it was before its last iterations.
        (folder / "checkpoints" / "000006.pt").unlink()
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
        resumed = anew("resume", folder, pythonpath=site)
        assert (resumed.returncode, named(resumed)) == (0, self.IN_A_RUN)
        assert "resumes from iteration 4" in resumed.stderr

        again = anew("resume", folder, pythonpath=site)
        assert (again.returncode, named(again)) == (2, self.ONCE)

    def test_a_plugin_is_written_and_checked_beside_them(
        self, anew: Command, site: Path, mine: Path
    ) -> None:
        made = anew("plugin", "new", "ganzoo-wave", "--kind", "loss", pythonpath=site)
        # It has no need to look at what is installed.
        assert (made.returncode, named(made)) == (0, {})
        checked = anew("plugin", "check", mine, "--plugin", mine, pythonpath=site)
        assert (checked.returncode, named(checked)) == (0, self.ONCE)

    def test_a_comparison_of_several_runs(
        self, process: Command, site: Path, mine: Path, write_recipe: WriteRecipe
    ) -> None:
        """Each run has a process of its own, in which the plugin file is there too."""
        points = {
            "data": 'type = "ring"\nsamples = 200',
            "generator": 'type = "mine.py:one-layer"',
            "evaluate": "samples = 50\nsnapshots = 1",
        }
        recipe = write_recipe(points, "points.toml")
        result = process("compare", recipe, "--seeds", 2, "--plugin", mine, pythonpath=site)
        assert (result.returncode, named(result)) == (0, self.IN_A_RUN)
        assert result.stdout == "comparison/report.html\n"
        compared = json.loads(Path("comparison/comparison.json").read_text())
        assert compared["command"].endswith(
            f" --plugin {mine.absolute()} --runs runs --out comparison"
        )
        assert compared["versions"]["mine.py"] == LocalPlugin(mine.absolute()).version
        assert [run["state"] for run in compared["models"][0]["runs"]] == ["done", "done"]

    @pytest.mark.parametrize(
        "arguments",
        [
            *("check tiny.toml", "show tiny.toml", "recipes .", "components", "schema"),
            *("run tiny.toml", "resume run", "sample run --out x.png", "compare tiny.toml"),
        ],
    )
    @pytest.mark.usefixtures("recipe")
    def test_where_they_are_errors(
        self,
        anew: Command,
        site: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: str,
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        result = anew(*arguments.split(), pythonpath=site)
        assert (result.returncode, result.stdout, named(result)) == (2, "", self.ONCE)
        assert result.stderr.endswith(
            "  = GANZOO_STRICT_PLUGINS is set: mend or uninstall what is broken, or unset it\n"
        )
        assert not Path("runs").exists()

    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_where_they_are_errors_they_are_listed_first(
        self, process: Command, site: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        result = process("plugins", *form, pythonpath=site)
        assert (result.returncode, named(result)) == (2, self.ONCE)
        for name in BROKEN:
            assert result.stdout.count(f"{name}:main") == 1

    def test_a_hook_that_fails_is_an_error_of_the_run(
        self, anew: Command, site: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANZOO_STRICT_PLUGINS", "1")
        monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo-mlp,ganzoo-data,ganzoo-in-a-hook")
        result = anew("run", recipe, "--id", "one", pythonpath=site)
        assert (result.returncode, result.stdout) == (1, "")
        assert (
            "plugin ganzoo-in-a-hook:main failed in ganzoo_statistics_logged: "
            "RuntimeError: no such thing"
        ) in result.stderr
        status = json.loads(Path("runs/tiny/one/status.json").read_text())
        assert status["state"] == "failed"


class TestAllowList:
    @pytest.fixture(autouse=True)
    def _allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo-mlp,ganzoo-dta")

    WARNING = (
        "warning: GANZOO_PLUGINS names 'ganzoo-dta', and no such plugin is installed; "
        "did you mean 'ganzoo-data' or 'ganzoo-dcgan'?\n"
    )

    def test_what_is_left_out_is_listed(self, process: Command, site: Path) -> None:
        result = process("plugins", pythonpath=site)
        assert (result.returncode, result.stderr) == (0, self.WARNING)
        rows = {line.split()[0]: line.split()[2:] for line in result.stdout.splitlines()}
        for name in [*(f"{each}:main" for each in BROKEN), "ganzoo-dcgan:dcgan"]:
            assert " ".join(rows[name]) == "- - not allowed by GANZOO_PLUGINS"
        assert rows["ganzoo-mlp:mlp"][-1] == "mlp"
        assert rows["ganzoo-core:builtin-tensorboard"][-2:] == ["lifecycle", "hooks"]

    def test_and_in_json(self, process: Command) -> None:
        result = process("plugins", "--json")
        assert (result.returncode, result.stderr) == (0, self.WARNING)
        rows = {row["name"]: row for row in json.loads(result.stdout)}
        assert rows["ganzoo-mlp:mlp"]["allowed"] is True
        left_out = rows["ganzoo-dcgan:dcgan"]
        assert left_out["version"]
        assert {key: left_out[key] for key in ("allowed", "load_ms", "offers", "error")} == {
            **{"allowed": False, "load_ms": None, "offers": {}, "error": None}
        }

    def test_a_recipe_that_needs_what_is_left_out_is_told(
        self, process: Command, recipe: Path
    ) -> None:
        result = process("check", recipe)
        assert result.returncode == 2
        assert result.stderr.startswith(self.WARNING)
        assert ("      = dataset 'digits' is offered by plugin ganzoo-data:data ") in result.stderr
        assert ("which is not allowed by GANZOO_PLUGINS: add ganzoo-data to it\n") in result.stderr


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
