"""What a run was made with, for `environment.json`."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
import torch

from ganzoo.data import DataDescription
from ganzoo.engine.backend import Backend
from ganzoo.errors import RunError
from ganzoo.plans import written_tables
from ganzoo.plugins import CORE, Plugin
from ganzoo.recipe import Recipe
from ganzoo.recipe.model import OBSERVING, deciding
from ganzoo.records import read_json
from ganzoo.runs import Environment, RunFolder

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


def provenance(recipe: Recipe, folder: RunFolder, fingerprint: str) -> dict[str, str]:
    """What a file of weights says of how it was made, as texts.

    `recipe` is what of the run's recipe.toml decides the weights, as TOML, and `versions` those of
    torch, the core and the plugins that made them, as JSON: files of equal runs are equal, however
    these were logged, drawn and measured. Raises `RunError` where recipe.toml is damaged.
    """
    deciders = [
        component.plugin
        for place, component in recipe.components()
        if place.partition(".")[0] not in OBSERVING
    ]
    used = {"torch": torch.__version__, CORE: version(CORE), **versions(deciders)}
    return {
        "fingerprint": fingerprint,
        # Not `recipe` itself: a resumed run may be computed otherwise, and is the same run.
        "recipe": tomli_w.dumps(deciding(written_tables(folder))),
        "versions": json.dumps(used, sort_keys=True),
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


def read_description(folder: RunFolder) -> DataDescription:
    """What a run's folder says of the data, so that they need not be opened to draw samples.

    Raises `RunError` for a run that has not begun.
    """
    environment: Environment = read_json(folder.environment, Environment)
    if not environment:
        raise RunError(
            f"{folder.path} has no weights yet", hint=f"`ganzoo resume {folder.path}` trains it"
        )
    return DataDescription(**environment["data"])


def check_same_data(folder: RunFolder, now: DataDescription) -> None:
    """Raise `RunError` where a run was begun with other data than those of its recipe now."""
    if folder.environment.exists() and (text := other_data(read_description(folder), now)):
        raise RunError(
            f"{folder.path} cannot be resumed: {text}",
            hint=f"put the data back as they were, or begin anew: `ganzoo run {folder.recipe}`",
        )


def other_data(then: DataDescription, now: DataDescription) -> str | None:
    """How the data of a run differ from those there are now, in words; None where they do not."""
    if then.digest == now.digest:
        return None
    old, new = (
        f"{each.training_samples} samples and {each.held_out_samples} held out"
        + (f" from {each.source}" if each.source else "")
        for each in (then, now)
    )
    change = f"they were {old}, and are {new}" if old != new else f"{new} of other content"
    return f"the data are no longer those that it was trained on ({change})"


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
