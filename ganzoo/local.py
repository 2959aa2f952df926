"""Plugins that are files and no distributions: for one-offs, loaded only where they are named.

`--plugin PATH` names a `.py` file, a package (a folder with an `__init__.py`) or a folder of `.py`
files. `GANZOO_PLUGIN_FILES` holds what was named, so that the processes begun from this one know
it too: workers that train or read data, other ranks. Each plugin is imported as `ganzoo.local.`
and its name, which can hide no other module, and which finds it in every such process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from ganzoo.errors import UserError
from ganzoo.files import read_regular

VARIABLE = "GANZOO_PLUGIN_FILES"
"""Environment variable with the absolute paths, joined as those of PATH are."""

__path__: list[str] = []  # something can be imported from below this module


@dataclass(frozen=True)
class LocalPlugin:
    """One plugin file, or one package."""

    path: Path
    """Absolute."""

    @property
    def name(self) -> str:
        """`mine.py`, or `mine/` for a package: what stands where others have a distribution."""
        return f"{self.path.name}/" if self.path.is_dir() else self.path.name

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        return f"{__name__}.{re.sub(r'[^A-Za-z0-9_]', '_', self.path.stem)}"

    @property
    def version(self) -> str:
        """Hash of the source, of a package's sources, in 8 hexadecimal digits."""
        digest = hashlib.sha256()
        try:
            for file in sorted(self.path.rglob("*.py")) if self.path.is_dir() else [self.path]:
                content = read_regular(file)
                name = file.relative_to(self.path.parent).as_posix()
                digest.update(f"{name} {len(content)}\n".encode() + content)
        except OSError:
            return "unknown"
        return digest.hexdigest()[:8]

    def spec(self) -> ModuleSpec | None:
        """What the import system asks for."""
        package = self.path.is_dir()
        file = str(self.path / "__init__.py" if package else self.path)
        return importlib.util.spec_from_file_location(
            self.module,
            file,
            loader=_Loader(self.module, file),
            submodule_search_locations=[str(self.path)] if package else None,
        )


def add(paths: Iterable[Path]) -> None:
    """Name more plugins, for this process and for those that it begins.

    Raises `UserError` for a path that is no plugin.
    """
    known = os.environ.get(VARIABLE, "").split(os.pathsep)
    for path in map(os.path.abspath, paths):
        if os.pathsep in path:
            raise UserError(
                f"the path of a plugin file cannot hold '{os.pathsep}': {path}",
                hint="rename it, or copy the file elsewhere",
            )
        known.append(path)
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(filter(None, known)))
    named()


def named() -> tuple[LocalPlugin, ...]:
    """The plugins that were named, in that order.

    Raises `UserError` for a path that is no plugin, and for two that have the same name.
    """
    found: dict[str, LocalPlugin] = {}
    for text in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        for path in _plugins_at(Path(os.path.abspath(text))):
            plugin = LocalPlugin(path)
            other = found.setdefault(plugin.module, plugin)
            if other.path != path:
                raise UserError(
                    f"two plugin files have the same name: {other.path} and {path}",
                    hint="rename one of them",
                )
    return tuple(found.values())


def _plugins_at(path: Path) -> Sequence[Path]:
    hint = "--plugin takes a .py file, a package, or a folder of .py files"
    if os.path.isdir(path):
        if os.path.isfile(path / "__init__.py"):
            return [path]
        files = [
            file
            for file in sorted(path.glob("*.py"))
            if file.name[0] not in "._" and file.is_file()
        ]
        if not files:
            raise UserError(f"the folder {path} holds no plugin file", hint=hint)
        return files
    if path.suffix != ".py" or not os.path.isfile(path):
        wrong = "is no .py file" if os.path.exists(path) else "does not exist"
        raise UserError(f"the plugin file {path} {wrong}", hint=hint)
    return [path.parent if path.name == "__init__.py" else path]


class _Loader(SourceFileLoader):
    """Reads the source each time and keeps no bytecode: what runs is what is there now."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError

    def get_data(self, path: str) -> bytes:
        return read_regular(path)


class _Finder:
    """Finds the modules below this one, in this process and in workers that unpickle."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.rpartition(".")[0] != __name__:
            return None
        return next((plugin.spec() for plugin in named() if plugin.module == name), None)


sys.meta_path.append(_Finder)
