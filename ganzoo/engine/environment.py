"""What a run was made with, for `environment.json`."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganzoo.data import DataDescription
from ganzoo.engine.backend import Backend
from ganzoo.plugins import CORE, Plugin
from ganzoo.recipe import Recipe
from ganzoo.runs import Environment, RunFolder, read_json

if TYPE_CHECKING:
    from ganzoo.engine.session import Session


def environment(
    recipe: Recipe, backend: Backend, description: DataDescription, world_size: int
) -> dict[str, Any]:
    """Versions of all that was used, data, plugin files, device, choices of `auto`, fingerprint."""
    used = [component.plugin for _, component in recipe.components()]
    return {
        "fingerprint": recipe.fingerprint,
        "data": asdict(description),
        "ganzoo": version(CORE),
        "plugins": versions(used),
        "plugin_files": {plugin.name: plugin.file for plugin in used if plugin.file},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device_name": _device_name(backend.device),
        "processes": world_size,
        "choices": backend.described(),
        "git_commit": _git_commit(),
    }


def changes(folder: RunFolder, session: Session) -> str:
    """A sentence on what a resumed run is made with and was not before, and on what that means.

    Empty where all is as it was.
    """
    before: Environment = read_json(folder.environment, Environment)
    if not before:
        return ""
    description, size = session.parts.description, session.group.size
    now = environment(session.recipe, session.backend, description, size)
    pairs = {
        "torch": (before["torch"], now["torch"]),
        **{name: (old, now["plugins"].get(name)) for name, old in before["plugins"].items()},
        **{name: (old, now["choices"].get(name)) for name, old in before["choices"].items()},
        "device_name": (before.get("device_name"), now["device_name"]),
    }
    changed = [
        f"{name.replace('_', ' ')} {new} instead of {old}"
        for name, (old, new) in pairs.items()
        if old != new
    ]
    if not changed:
        return ""
    return (
        f"the run continues with {', '.join(changed)}: "
        "its end may not be the same to the byte as without the break"
    )


def versions(plugins: Iterable[Plugin]) -> dict[str, str]:
    """The versions of plugins by their distribution."""
    return dict(sorted((plugin.distribution, plugin.version) for plugin in plugins))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Commit of the working directory, with `-dirty` where files differ, or None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=Path.cwd(), capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
