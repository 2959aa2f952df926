"""Which names a new plugin may have. A refusal says why, and what would do instead."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganzoo import registry
from ganzoo.declarations import TYPE_NAME
from ganzoo.errors import UserError, one_of
from ganzoo.registry import known_offer, known_offers
from ganzoo.specs import KINDS

OWN = ("ganzoo", "ganzoo-core")
"""Names of ganzoo itself."""
FOLDERS = ("build", "dist", "recipes", "tests")
"""Folders beside the package, in a new plugin or once it is built."""


def package_of(name: str) -> str:
    """The package that a distribution of this name holds."""
    return name.replace("-", "_")


def type_of(name: str) -> str:
    """The type that recipes write for its components."""
    return name.removeprefix("ganzoo-")


def check_kinds(kinds: Iterable[str]) -> Sequence[str]:
    """The kinds in the order of `KINDS`, each once. Raises `UserError` for others, and for none."""
    names = set(kinds)
    for kind in sorted(names - set(KINDS)):
        raise UserError(
            f"no kind of component is called '{kind}'", hint=f"there is {one_of(list(KINDS))}"
        )
    if not names:
        raise UserError(
            "a plugin offers at least one component", hint=f"there is {one_of(list(KINDS))}"
        )
    return [kind for kind in KINDS if kind in names]


def check_name(name: str, kinds: Iterable[str] = (), folder: Path = Path()) -> None:
    """Raise `UserError` unless a plugin made in `folder` may have this name.

    Its components must not have the type of one of the same kind that is installed.
    """
    if problem := _problem(name, kinds, folder):
        better = next((each for each in _others(name) if not _problem(each, kinds, folder)), None)
        raise UserError(
            f"'{name}' cannot be the name of a plugin: {problem}",
            hint=f"'{better}' would do" if better else None,
        )


def _problem(name: str, kinds: Iterable[str], folder: Path) -> str | None:
    """Why a plugin cannot have this name, or None."""
    package = package_of(name)
    if not TYPE_NAME.fullmatch(name):
        return "it is not made of lower-case words joined by hyphens"
    if name[0].isdigit():
        return "it begins with a digit, and a Python package cannot"
    if keyword.iskeyword(package):
        return f"'{package}' is a word of the Python language"
    if name in OWN or name in known_offers():
        return "it is one of ganzoo's own"
    if package in FOLDERS:
        return f"the package would lie in the folder {package}, which is there for something else"
    # Python's own tests are there, and not on its list.
    if package in sys.stdlib_module_names or package == "test":
        return f"the package would hide Python's own module {package}"
    if version := _installed_version(name):
        return f"{name} {version} is installed"
    if _is_installed(package, folder / name):
        return f"the package would hide the installed module {package}"
    return _type_problem(type_of(name), kinds)


def _type_problem(name: str, kinds: Iterable[str]) -> str | None:
    for kind in kinds:
        for entry in registry.installed().declared(kind):
            if entry.spec.type == name:
                return f"{entry.plugin.label} offers a {kind} '{name}' already"
        if known := known_offer(kind, name):
            return f"{known} offers a {kind} '{name}' already"
    return None


def _installed_version(distribution: str) -> str | None:
    """The version of a distribution, or None where none of that name is installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_installed(package: str, target: Path) -> bool:
    """Whether `import package` finds something other than the folder of the plugin itself."""
    if package in sys.modules:
        return True
    spec = importlib.util.find_spec(package)
    if spec is None:
        return False
    # An empty folder in the working directory can be imported, too.
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(place is None or Path(place).resolve() != target.resolve() for place in places)


def _others(name: str) -> Sequence[str]:
    """Names that come near, good ones or not."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", ascii_only).lower()
    near = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return near, f"my-{type_of(near)}", "my-plugin"
