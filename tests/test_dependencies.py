"""Holds that the oldest versions that are declared are the ones that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def declared(file: Path) -> list[Requirement]:
    """What a pyproject.toml asks for, save our own packages, which are installed from here."""
    settings = tomllib.loads(file.read_text())
    optional = settings["project"].get("optional-dependencies", {})
    tools = settings.get("dependency-groups", {}).get("test", [])
    lists = [settings["project"]["dependencies"], *optional.values(), tools]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return [each for each in requirements if not each.name.startswith("ganzoo-")]


def pinned() -> dict[str, Version]:
    """The version of every package in the constraints."""
    lines = (ROOT / "constraints" / "oldest.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {}
    for pin in pins:
        (specifier,) = pin.specifier
        assert specifier.operator == "==", pin
        assert canonicalize_name(pin.name) not in versions, f"{pin.name} stands there twice"
        versions[canonicalize_name(pin.name)] = Version(specifier.version)
    return versions


@pytest.mark.parametrize("file", PROJECTS, ids=lambda file: file.parent.name)
def test_lower_bounds_are_the_versions_tested(file: Path) -> None:
    versions = pinned()
    for requirement in declared(file):
        lowest = [each.version for each in requirement.specifier if each.operator == ">="]
        assert len(lowest) == 1, f"{requirement} needs one lower bound"
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints/oldest.txt lacks {requirement.name}"
        assert Version(lowest[0]) == version, f"{requirement}, but {version} is tested"


def test_nothing_else_is_pinned() -> None:
    names = {canonicalize_name(each.name) for file in PROJECTS for each in declared(file)}
    assert pinned().keys() == names


def test_the_oldest_python_is_tested() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (python,) = re.findall(r"^OLDEST_PYTHON \?= python(\S+)$", makefile, re.MULTILINE)
    for file in PROJECTS:
        assert tomllib.loads(file.read_text())["project"]["requires-python"] == f">={python}", file
