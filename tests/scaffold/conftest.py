"""Makes plugins, and takes them into use without installing them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sites import forget_modules

from ganzoo import plugins, registry
from ganzoo.scaffold import new_plugin, package_of

Use = Callable[..., Path]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """`use("ganzoo-wave", "loss")` makes that plugin and puts it beside the installed ones.

    In this process and in those that it starts. Gives the plugin's folder.
    """

    def use(name: str, *kinds: str) -> Path:
        made = new_plugin(name, kinds, tmp_path, author="Ada")
        project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
        info = made / f"{package_of(name)}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        entry_points = project["entry-points"]["ganzoo"].items()
        lines = "".join(f"{key} = {module}\n" for key, module in entry_points)
        (info / "entry_points.txt").write_text(f"[ganzoo]\n{lines}")
        monkeypatch.syspath_prepend(made)
        monkeypatch.setenv("PYTHONPATH", str(made))
        scan_again()
        return made

    yield use
    forget_modules(tmp_path)
    scan_again()


def scan_again() -> None:
    """Have the plugins looked for anew."""
    plugins.installed.cache_clear()
    registry.installed.cache_clear()
