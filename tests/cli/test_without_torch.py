"""Commands that build nothing import nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "numpy", "matplotlib", "sklearn", "scipy", "PIL", "tensorboard")

PROGRAM = """
import sys
from ganzoo.cli import main

try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(set(sys.argv[0].split()) & set(sys.modules)), file=sys.stderr)
"""
"""Runs the command line with what follows, then says which of the modules it has imported."""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "run --help",
        "compare --help",
        "--version",
        "check tiny.toml",
        "show tiny.toml",
        "recipes .",
        "components",
        "components generator mlp",
        "plugins",
        "plugin check --help",
        "schema",
    ],
)
@pytest.mark.usefixtures("recipe")
def test_nothing_heavy_is_imported(arguments: str, tmp_path: Path) -> None:
    program = PROGRAM.replace("sys.argv[0]", repr(" ".join(HEAVY)))
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "[]\n")


@pytest.mark.parametrize("module", ["ganzoo", "ganzoo.comparison", "ganzoo.comparison.comparing"])
def test_the_python_package_is_light_too(module: str) -> None:
    program = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[]\n"
