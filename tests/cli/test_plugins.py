"""`ganzoo plugins`, and plugins that are broken or in each other's way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import pytest

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

TWIN = """
    from typing import ClassVar

    from ganzoo.api import GeneratorSpec, hookimpl


    class Twin(GeneratorSpec):
        "One of two."

        type: ClassVar[str] = "twin"

        def build(self, context):
            raise NotImplementedError


    @hookimpl
    def ganzoo_generators():
        return [Twin]
"""
BROKEN = {
    "raises at import": (
        'raise ImportError("no module named [bold]frobnicate[/bold]")',
        "cannot be imported (faulty): ImportError: no module named [bold]frobnicate[/bold] "
        "(SITE/faulty.py:1)",
    ),
    "leaves at import": ("import sys; sys.exit(3)", "cannot be imported (faulty): SystemExit: 3"),
    "is newer": (
        "GANZOO_API_VERSION = 2",
        "was written for component API 2; this ganzoo-core has 1: upgrade ganzoo-core",
    ),
    "misspells a hook": (
        "from ganzoo.api import hookimpl\n@hookimpl\ndef ganzoo_generator(): return []",
        "did you mean 'ganzoo_generators'?",
    ),
}
"""Modules that are no good plugins, and what is said about each."""


def install(site: Path, distribution: str, source: str, *more: str) -> None:
    """Put a distribution with one plugin into `site`: a module and its .dist-info folder.

    `more` are names of further entry points of the same module.
    """
    module = distribution.removeprefix("ganzoo-")
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(dedent(source))
    info = site / f"ganzoo_{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    names = "".join(f"{name} = {module}\n" for name in (module, *more))
    (info / "entry_points.txt").write_text(f"[ganzoo]\n{names}")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of fake distributions, for PYTHONPATH."""
    return tmp_path / "site"


def test_table_of_plugins(command: Command) -> None:
    result = command("plugins")
    assert (result.returncode, result.stderr) == (0, "")
    header, *lines = result.stdout.splitlines()
    assert re.split("  +", header.strip()) == [
        *("plugin", "version", "load", "imports torch", "offers")
    ]
    rows = {line.split()[0]: line for line in lines}
    assert "loss minimax, non-saturating" in rows["ganzoo-core:builtin-losses"]
    assert "lifecycle hooks" in rows["ganzoo-core:builtin-tensorboard"]
    assert "generator mlp; discriminator mlp; encoder mlp" in rows["ganzoo-mlp:mlp"]
    # Other tests have imported torch into this process, perhaps.
    assert re.search(rf" {version('ganzoo-mlp')} +\d+ ms +(no|\?) +", rows["ganzoo-mlp:mlp"])


def test_plugins_as_json(process: Command) -> None:
    result = process("plugins", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    row = rows["ganzoo-mlp:mlp"]
    assert row.pop("load_ms") >= 0
    assert row == {
        "name": "ganzoo-mlp:mlp",
        "distribution": "ganzoo-mlp",
        "version": version("ganzoo-mlp"),
        "file": None,
        "allowed": True,
        "imports_torch": False,
        "offers": {"generator": ["mlp"], "discriminator": ["mlp"], "encoder": ["mlp"]},
        "error": None,
        "notice": None,
    }


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_costs_only_itself(
    process: Command, site: Path, recipe: Path, fault: str
) -> None:
    source, message = BROKEN[fault]
    install(site, "ganzoo-faulty", source)
    message = message.replace("SITE", str(site))

    checked = process("check", recipe, pythonpath=site)
    assert (checked.returncode, checked.stdout) == (0, "tiny.toml: valid\n")
    (line,) = checked.stderr.splitlines()
    assert line.startswith("warning: plugin ganzoo-faulty:faulty (1.2) ")
    assert message in line

    listed = process("components", pythonpath=site)
    assert listed.returncode == 0
    assert "mlp" in listed.stdout
    assert listed.stderr == checked.stderr

    plugins = process("plugins", pythonpath=site)
    assert plugins.returncode == 1
    assert re.search(r"^ganzoo-faulty:faulty +1\.2 +\d+ ms +no +broken", plugins.stdout, re.M)
    assert plugins.stderr == checked.stderr


def test_a_broken_plugin_in_json(process: Command, site: Path) -> None:
    install(site, "ganzoo-faulty", BROKEN["is newer"][0])
    result = process("plugins", "--json", pythonpath=site)
    assert (result.returncode, result.stderr) == (1, "")
    (row,) = [row for row in json.loads(result.stdout) if row["error"]]
    assert (row["name"], row["offers"]) == ("ganzoo-faulty:faulty", {})
    assert row["error"] == BROKEN["is newer"][1]


def test_a_recipe_that_needs_a_broken_plugin_is_told_why(
    process: Command, site: Path, write_recipe: WriteRecipe
) -> None:
    install(site, "ganzoo-faulty", BROKEN["is newer"][0])
    recipe = write_recipe({"generator": 'type = "faulty"'})
    result = process("check", recipe, pythonpath=site)
    assert result.returncode == 2
    assert "generator.type: no generator is called 'faulty'\n" in result.stderr
    assert f"= plugin ganzoo-faulty:faulty (1.2) {BROKEN['is newer'][1]}\n" in result.stderr


@pytest.mark.usefixtures("fresh_plugins")
def test_a_run_that_does_not_need_the_broken_plugin(
    command: Command, site: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "ganzoo-faulty", BROKEN["is newer"][0])
    monkeypatch.syspath_prepend(site)
    result = command("run", recipe, "train.iterations=1", "--id", "one")
    assert (result.returncode, result.stdout) == (0, "runs/tiny/one\n")
    assert result.stderr.count("ganzoo-faulty") == 1
    assert result.stderr.startswith("warning: plugin ganzoo-faulty:faulty (1.2) was written for")


@pytest.mark.usefixtures("fresh_plugins")
def test_a_hook_that_raises_is_named_once_and_the_run_goes_on(
    command: Command, site: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        from ganzoo.api import hookimpl

        @hookimpl
        def ganzoo_statistics_logged(iteration):
            raise RuntimeError(f"[red]no[/red] at {iteration}")
    """
    install(site, "ganzoo-observer", source)
    monkeypatch.syspath_prepend(site)
    result = command("run", recipe, "--id", "one")
    assert (result.returncode, result.stdout) == (0, "runs/tiny/one\n")
    (line,) = [line for line in result.stderr.splitlines() if "observer" in line]
    assert line == (
        "warning: plugin ganzoo-observer:observer failed in ganzoo_statistics_logged and is not "
        f"called there again: RuntimeError: [red]no[/red] at 2 ({site}/observer.py:6)"
    )


@pytest.fixture
def twins(site: Path) -> Path:
    """Two distributions that offer a generator of the same type."""
    for distribution in ("ganzoo-castor", "ganzoo-pollux"):
        install(site, distribution, TWIN)
    return site


def test_two_plugins_with_one_type_are_both_good(
    process: Command, twins: Path, recipe: Path
) -> None:
    checked = process("check", recipe, pythonpath=twins)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "tiny.toml: valid\n", "")
    plugins = process("plugins", pythonpath=twins)
    assert (plugins.returncode, plugins.stderr) == (0, "")
    listed = process("components", "generator", pythonpath=twins).stdout
    names = [line.split()[1] for line in listed.splitlines()[1:]]
    assert {"mlp", "ganzoo-castor:twin", "ganzoo-pollux:twin"} <= set(names)
    assert "twin" not in names


def test_only_the_bare_name_of_two_plugins_is_refused(
    process: Command, twins: Path, write_recipe: WriteRecipe
) -> None:
    bare = write_recipe({"generator": 'type = "twin"'}, "bare.toml")
    full = write_recipe({"generator": 'type = "ganzoo-pollux:twin"'}, "full.toml")
    result = process("check", bare, full, pythonpath=twins)
    assert (result.returncode, result.stdout) == (2, "full.toml: valid\n")
    assert result.stderr == (
        "bare.toml:9: generator.type: generator 'twin' is offered by ganzoo-castor 1.2 and "
        "ganzoo-pollux 1.2\n"
        '    9 | type = "twin"\n'
        "      = write 'ganzoo-castor:twin' or 'ganzoo-pollux:twin'\n"
        "1 problem; nothing was run\n"
    )


def test_one_distribution_with_one_type_twice(process: Command, site: Path, recipe: Path) -> None:
    install(site, "ganzoo-castor", TWIN, "second")
    result = process("check", recipe, pythonpath=site)
    assert (result.returncode, result.stdout) == (0, "tiny.toml: valid\n")
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: plugin ganzoo-castor:second (1.2) ")
