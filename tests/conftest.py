"""Fixtures shared by all tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

# Times mean nothing on a machine that does something else as well.
settings.register_profile("ganzoo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ganzoo")

# With --import-mode=importlib no test folder is importable, but `components` has to be.
sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from components import WriteFile
    from sites import Site


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """A function that writes a text to a file of the test's own folder, by default a recipe."""

    def write(text: str, name: str = "recipe.toml") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        return file

    return write


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder on the path, in which plugins can be installed."""
    from sites import Site, forget_modules

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Site(tmp_path)
    forget_modules(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, for pages."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()
