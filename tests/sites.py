"""Plugins installed for a test: real `.dist-info` folders on the path."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Collection
from pathlib import Path

from ganzoo import plugins
from ganzoo.plugins import Plugin, Plugins

OFFER = '''
from typing import ClassVar

from ganzoo.api import (
    EncoderSpec, GeneratorSpec, LossSpec, Phase, RegularizerSpec, Role, ScheduleSpec, hookimpl
)


class Offered(GeneratorSpec):
    """Offered by a plugin."""

    type: ClassVar[str] = "offered"

    def build(self, context): ...


@hookimpl
def ganzoo_generators():
    return [Offered]
'''


class Site:
    """A folder like `site-packages`, in which a test installs its plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        source: str | None = OFFER,
        *,
        version: str = "1.0",
        entry_points: str | None = None,
        folder: str = "",
    ) -> Path:
        """Write a distribution with one module (none if `source` is None); gives its file."""
        module = distribution.replace("-", "_")
        root = self.folder / folder
        file = root / f"{module}.py"
        metadata = root / f"{module}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        if entry_points is None:
            entry_points = f"[console_scripts]\nother = other:main\n\n[ganzoo]\nparts = {module}\n"
        (metadata / "entry_points.txt").write_text(entry_points)
        if source is not None:
            file.write_text(source)
        return file

    def load(self, *folders: str, allowed: Collection[str] | None = None) -> Plugins:
        """What the loader makes of the distributions, found as the interpreter finds them."""
        path = [str(self.folder / folder) for folder in folders or ("",)]
        return plugins.load(importlib.metadata.distributions(path=path), allowed=allowed)

    def load_one(self) -> Plugin:
        (only,) = self.load().all
        return only


def forget_modules(folder: Path) -> None:
    """Undo the imports of modules that stand in a folder."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
