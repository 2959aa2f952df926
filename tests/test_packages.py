"""How the packages are built, and that an editable install is found from everywhere."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT, *sorted(ROOT.glob("plugins/ganzoo-*"))]


def package_of(project: Path) -> Path:
    name = "ganzoo" if project == ROOT else project.name.replace("-", "_")
    return project / name


def included(builder: WheelBuilder | SdistBuilder) -> set[str]:
    return {file.distribution_path for file in builder.recurse_included_files()}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_wheel_holds_the_package_its_recipes_and_nothing_else(project: Path) -> None:
    package = package_of(project)
    sources = {
        path.relative_to(project).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert f"{package.name}/py.typed" in sources
    recipes = {f"ganzoo/recipes/{file.name}" for file in project.glob("recipes/*.toml")}
    assert included(WheelBuilder(str(project))) == sources | recipes
    beside = included(SdistBuilder(str(project))) - sources
    assert all(path.startswith(("tests/test_", "recipes/")) for path in beside)


def install(project: Path, site: Path, wheels: Path) -> None:
    """What `pip install --no-deps --editable` writes."""
    (wheel,) = WheelBuilder(str(project)).build(directory=str(wheels), versions=["editable"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def test_a_script_beside_a_clone_finds_the_package(tmp_path: Path) -> None:
    """A folder called like a package, without an `__init__.py`, hides no editable install."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    for project in (ROOT, ROOT / "plugins" / "ganzoo-mlp"):
        install(project, site, tmp_path / "wheels")
    outer = sysconfig.get_path("purelib")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
    for clone in ("ganzoo", "ganzoo_mlp"):
        (tmp_path / "work" / clone / ".git").mkdir(parents=True)
        (tmp_path / "work" / clone / clone).mkdir()
        (tmp_path / "work" / clone / clone / "__init__.py").write_text("")
    (tmp_path / "work" / "script.py").write_text(
        "import ganzoo, ganzoo_mlp\n"
        "from ganzoo import load_recipe\n"
        "print(ganzoo.__file__, ganzoo_mlp.__file__)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "script.py"],
        cwd=tmp_path / "work",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.stdout.split() == [
        str(ROOT / "ganzoo" / "__init__.py"),
        str(ROOT / "plugins" / "ganzoo-mlp" / "ganzoo_mlp" / "__init__.py"),
    ]
