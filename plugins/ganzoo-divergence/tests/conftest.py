"""The line on which most tests are done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ganzoo_divergence.line import Line

# With --import-mode=importlib no test folder is importable, but `known_gaussians` has to be.
sys.path.insert(0, str(Path(__file__).parent))

from known_gaussians import Gaussians


@pytest.fixture(scope="session")
def line() -> Line:
    return Line.over(Gaussians().data())
