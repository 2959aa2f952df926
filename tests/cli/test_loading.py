"""Which plugins a command sees: all that are good, those that are allowed, files that are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import pytest

from ganzoo.local import LocalPlugin

from .conftest import COMMANDS

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

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
