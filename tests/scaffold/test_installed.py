"""A new plugin from its first file to its last: made, installed, tested, run, uninstalled.

All kinds in one plugin belong to the ordinary tests; `make test-scaffold` takes each kind alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from ganzoo.specs import KINDS

SETTINGS = ("GANZOO_PLUGIN", "GANZOO_STRICT", "GIT_", "PIP_", "PYTEST", "PYTHON")
"""How variables begin that would change what the commands do."""


class Environment:
    """A fresh environment beside the one of these tests: torch, the core and our plugins, of
    which copies would take minutes, are imported from there; what pip installs stays here."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")
        outer = sysconfig.get_path("purelib")
        # Unlike a line with the path alone, this follows editable installs as well.
        (self.site / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
        self._variables = {
            name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)
        }

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """`python -m ARGUMENTS`, which must succeed; what it says on stdout."""
        ran = subprocess.run(
            [self.python, "-m", *arguments],
            cwd=cwd or self.site,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def plugins(self) -> list[dict[str, Any]]:
        """`ganzoo plugins --json`, but for the times."""
        rows: list[dict[str, Any]] = json.loads(self.run("ganzoo", "plugins", "--json"))
        for row in rows:
            del row["load_ms"]
        return rows

    def state(self) -> tuple[object, ...]:
        """What pip and ganzoo say is installed, and the files that are."""
        files = {
            path.relative_to(self.site).as_posix()
            for path in self.site.rglob("*")
            if "__pycache__" not in path.parts
        }
        pip = self.run("pip", "list", "--format=json", "--disable-pip-version-check")
        return self.plugins(), json.loads(pip), files


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment") / "venv")


def lives(environment: Environment, folder: Path, kinds: list[str]) -> None:
    """Make a plugin in an empty folder, do all that its author is told to do, and remove it."""
    before = environment.state()
    options = [word for kind in kinds for word in ("--kind", kind)]
    name = environment.run("ganzoo", "plugin", "new", "ganzoo-wave", *options, cwd=folder).strip()
    assert [path.name for path in folder.iterdir()] == [name] == ["ganzoo-wave"]
    made = folder / name

    # Everything is there already, and building needs nothing from the network.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    environment.run("pip", "install", "--quiet", *offline, str(made))
    (row,) = [row for row in environment.plugins() if row not in before[0]]  # type: ignore[operator]
    assert (row["distribution"], row["error"]) == ("ganzoo-wave", None)
    assert row["offers"] == {kind: ["wave"] for kind in kinds}
    # Not what stands in the working directory is tested, but what was installed.
    (made / "ganzoo_wave").rename(folder / "moved")

    tested = environment.run("pytest", "-p", "no:cacheprovider", cwd=made)
    assert re.search(r"\d+ passed", tested), tested
    assert "failed" not in tested, tested
    for recipe in (made / "recipes").iterdir():
        run = environment.run("ganzoo", "run", f"recipes/{recipe.name}", cwd=made)
        status = json.loads((made / run.strip() / "status.json").read_text())
        assert (status["state"], status["iteration"]) == ("done", 500)

    environment.run("pip", "uninstall", "--quiet", "--yes", name)
    assert environment.state() == before


def test_a_plugin_of_all_kinds(environment: Environment, tmp_path: Path) -> None:
    lives(environment, tmp_path, list(KINDS))


@pytest.mark.scaffold
@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_of_one_kind(environment: Environment, tmp_path: Path, kind: str) -> None:
    lives(environment, tmp_path, [kind])
