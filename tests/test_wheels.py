"""What people get from a package index: wheels, and no clone in reach."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(ROOT.glob("plugins/ganzoo-*"))
APART = ("ganzoo-mlflow", "ganzoo-wandb")
"""Plugins with an extra each, named as their library, which is large; all others are in `zoo`."""

Ganzoo = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("train.iterations=4", "log.every=2", "evaluate.samples=50", "train.batch_size=16")


def project(folder: Path) -> dict[str, object]:
    """The table `project` of a package."""
    table: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def install(projects: list[Path], folder: Path) -> Path:
    """An environment with the wheels of some projects, and with everything that they depend on;
    what this clone has installed is out of reach."""
    venv.create(folder, with_pip=False, symlinks=True)
    wheels = [
        next(WheelBuilder(str(each)).build(directory=str(folder / "wheels"), versions=["standard"]))
        for each in projects
    ]
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    options = ["install", "--quiet", "--no-deps", "--no-index", *wheels]
    subprocess.run([*pip, *options], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("ganzoo") and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    return folder / "bin" / "ganzoo"


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[[Path], Ganzoo]:
    """`run_in(program)("run", ...)` runs it in an empty folder."""
    here = tmp_path / "empty"
    here.mkdir()
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANZOO_P"))}
    plain["OMP_NUM_THREADS"] = "1"

    def ganzoo(program: Path) -> Ganzoo:
        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [program, *arguments],
                cwd=here,
                env=plain,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )

        return run

    return ganzoo


def test_a_project_with_nothing_but_the_wheels(
    tmp_path: Path, run_in: Callable[[Path], Ganzoo]
) -> None:
    ganzoo = run_in(install([ROOT, *PLUGINS], tmp_path / "venv"))

    def succeeds(*arguments: str) -> str:
        result = ganzoo(*arguments)
        assert result.returncode == 0, result.stderr
        assert str(ROOT) not in result.stdout + result.stderr
        return result.stdout

    assert "digits-dcgan" in succeeds("recipes")
    (tmp_path / "empty" / "mine.toml").write_text('extends = "ring-mlp-gan"\nname = "mine"\n')
    run = succeeds("run", "mine.toml", *QUICK).strip()
    assert run.startswith("runs/mine/")
    succeeds("sample", run, "--out", "samples.png", "--num", "4")
    succeeds("compare", "ring-mlp-gan", run, *QUICK)
    files = {path.name for path in (tmp_path / "empty").iterdir()}
    assert files == {"mine.toml", "runs", "samples.png", "comparison"}


def test_the_core_alone_says_what_to_install(
    tmp_path: Path, run_in: Callable[[Path], Ganzoo]
) -> None:
    result = run_in(install([ROOT], tmp_path / "venv"))("run", "digits-dcgan")
    assert (result.returncode, result.stdout) == (2, "")
    assert 'pip install "ganzoo-core[zoo]" brings it and all the others' in result.stderr


def test_the_extras_bring_every_plugin_of_this_repository() -> None:
    optional = project(ROOT)["optional-dependencies"]
    assert isinstance(optional, dict)
    apart = [(name, optional[name.removeprefix("ganzoo-")]) for name in APART]
    brought = [("zoo", line) for line in optional["zoo"]]
    brought += [(name, line) for name, lines in apart for line in lines]
    asked = {(each := Requirement(line)).name: (extra, each) for extra, line in brought}
    assert sorted(asked) == [folder.name for folder in PLUGINS]
    for folder in PLUGINS:
        extra, requirement = asked[folder.name]
        assert extra == (folder.name if folder.name in APART else "zoo")
        assert requirement.specifier.contains(str(project(folder)["version"]))


def test_all_packages_are_released_together() -> None:
    versions = {str(project(folder)["version"]) for folder in (ROOT, *PLUGINS)}
    assert len(versions) == 1
    (version,) = versions
    for folder in PLUGINS:
        dependencies = project(folder)["dependencies"]
        assert isinstance(dependencies, list)
        (core,) = [each for each in map(Requirement, dependencies) if each.name == "ganzoo-core"]
        assert core.specifier.contains(version)
