"""The files of a new plugin, and how they come to lie in a folder."""

from __future__ import annotations

import datetime
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tomli_w

from ganzoo.distributions import CORE
from ganzoo.hookspecs import COMPONENT_HOOKS
from ganzoo.recipe.model import ARRAYS, SLOTS
from ganzoo.registry import known_offer
from ganzoo.scaffold.folder import check_place, write_folder
from ganzoo.scaffold.imports import import_block
from ganzoo.scaffold.names import check_kinds, check_name, package_of, type_of
from ganzoo.specs import API_VERSION, KINDS
from ganzoo.templates import templates

GAME = frozenset({"discriminator", "loss", "regularizer", "augmentation", "schedule"})
"""Kinds whose examples take part in a game of generator and discriminator."""

AUTOENCODER = frozenset({"encoder", "prior"})
"""Kinds whose examples take part in an autoencoder."""


@dataclass(frozen=True)
class Recipe:
    """A recipe of a new plugin."""

    name: str
    kinds: Sequence[str]
    """Of the plugin's components, those that it uses."""
    game: bool
    """Whether it is a game of generator and discriminator, or else an autoencoder."""

    @property
    def points(self) -> bool:
        """Whether the data are points in the plane, or else small images."""
        return self.game and "extractor" not in self.kinds

    @property
    def setting(self) -> str:
        """What the components are shown in."""
        return "a game of two small networks" if self.game else "a variational autoencoder"


@dataclass(frozen=True)
class Package:
    """A new plugin, as its templates see it."""

    name: str
    kinds: Sequence[str]
    author: str

    @property
    def package(self) -> str:
        """Name of the Python package."""
        return package_of(self.name)

    @property
    def type(self) -> str:
        """Type of all its components."""
        return type_of(self.name)

    @property
    def classes(self) -> Mapping[str, str]:
        """Name of the class that declares the component of each kind."""
        return {kind: class_name(self.type, kind) for kind in self.kinds}

    @property
    def headline(self) -> str:
        """What it is, in a few words."""
        words = self.listing(self.kinds)
        return f"{words[:1].upper()}{words[1:]} for ganzoo"

    @property
    def core_bounds(self) -> str:
        """Versions of the core that it goes together with."""
        return bounds(importlib.metadata.version(CORE))

    @property
    def recipes(self) -> Sequence[Recipe]:
        """One recipe that uses all components, or two where no recipe can.

        Only an autoencoder has what `AUTOENCODER` names, only a game what `GAME` names.
        """
        game = [kind for kind in self.kinds if kind not in AUTOENCODER]
        if not AUTOENCODER.intersection(self.kinds):
            return [Recipe(self.name, game, game=True)]
        autoencoder = [kind for kind in self.kinds if kind not in GAME]
        if not GAME.intersection(self.kinds):
            return [Recipe(self.name, autoencoder, game=False)]
        return [
            Recipe(self.name, game, game=True),
            Recipe(f"{self.name}-autoencoder", autoencoder, game=False),
        ]

    @cached_property
    def recipe_texts(self) -> Mapping[str, str]:
        """The recipes as TOML, by name."""
        return {each.name: self._text("recipe.toml.j2", recipe=each) for each in self.recipes}

    @property
    def recipes_need(self) -> Sequence[str]:
        """Distributions whose components the recipes use, besides the core and the plugin."""
        used = set()
        for table in map(tomllib.loads, self.recipe_texts.values()):
            used |= {(SLOTS[slot], table[slot]["type"]) for slot in SLOTS if slot in table}
            used |= {(ARRAYS[name], row["type"]) for name in ARRAYS for row in table.get(name, ())}
        return sorted(filter(None, {known_offer(*each) for each in used}))

    def label(self, kind: str) -> str:
        """A kind as English writes it."""
        return "data set" if kind == "dataset" else kind

    def listing(self, kinds: Sequence[str]) -> str:
        """`generator, loss and metric`; `components` where that would be long."""
        if len(kinds) > 4:
            return "components"
        *others, last = map(self.label, kinds)
        return f"{', '.join(others)} and {last}" if others else last

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The text of every file, by its path in the plugin's folder."""
        package = self.package
        return {
            "pyproject.toml": self._text("pyproject.toml.j2"),
            "README.md": self._text("README.md.j2"),
            "LICENSE": self._text("LICENSE.j2", year=datetime.date.today().year),
            ".gitignore": self._text("gitignore.j2"),
            ".github/workflows/test.yml": self._text("workflow.yml.j2"),
            f"{package}/__init__.py": self._declarations(),
            **{f"{package}/{kind}.py": self._text(f"parts/{kind}.py.j2") for kind in self.kinds},
            f"{package}/py.typed": "",
            **{f"recipes/{name}.toml": text for name, text in self.recipe_texts.items()},
            "tests/test_conformance.py": self._text("test_conformance.py.j2"),
            "tests/test_recipes.py": self._text("test_recipes.py.j2"),
        }

    def _declarations(self) -> str:
        """`__init__.py`: a class and a hook for each kind, and the imports that they use."""
        classes = [self._text(f"declarations/{kind}.py.j2") for kind in self.kinds]
        hooks = [
            self._text(
                "hook.py.j2",
                hook=COMPONENT_HOOKS[kind],
                base=KINDS[kind].__name__,
                label=self.label(kind),
                name=self.classes[kind],
            )
            for kind in self.kinds
        ]
        body = "\n\n\n".join(part.strip("\n") for part in (*classes, *hooks))
        return self._text(
            "package.py.j2", imports=import_block(body), api_version=API_VERSION, body=body
        )

    def _text(self, template: str, **values: object) -> str:
        return ENVIRONMENT.get_template(template).render(plugin=self, **values)


def _toml(text: str) -> str:
    """A text as TOML writes it."""
    return tomli_w.dumps({"value": text}).partition(" = ")[2].strip()


ENVIRONMENT = templates("ganzoo.scaffold", keep_trailing_newline=True)
ENVIRONMENT.filters["toml"] = _toml


def class_name(component_type: str, kind: str) -> str:
    """`ResidualGenerator` for the generators `residual` and `residual-generator`."""
    words = "".join(word.capitalize() for word in component_type.split("-"))
    if words[0].isdigit():
        words = f"Ganzoo{words}"
    ending = kind.capitalize()
    return words if words.endswith(ending) and words != ending else words + ending


def bounds(version: str) -> str:
    """Versions that keep the interface of this one: `>=0.1,<0.2`, and from 1.0 on `>=1.4,<2`."""
    public = version.partition("+")[0]
    release = re.match(r"(\d+)\.(\d+)", public)
    assert release is not None, version
    major, minor = int(release[1]), int(release[2])
    # 0.2 comes after 0.2.dev1, which therefore has to be named itself.
    lowest = f"{major}.{minor}" if re.fullmatch(r"[\d.]+", public) else public
    return f">={lowest},<{major + 1}" if major else f">={lowest},<0.{minor + 1}"


def new_plugin(
    name: str,
    kinds: Iterable[str],
    folder: str | Path = ".",
    *,
    author: str | None = None,
) -> Path:
    """Write a package called `name` that offers a component of each kind, into `folder / name`.

    Everything is there or nothing. Raises `UserError` for kinds that there are not, for names
    that would clash with something, and where there is something already.

    >>> import ganzoo.scaffold
    >>> folder = ganzoo.scaffold.new_plugin("ganzoo-wave", ["loss"], tmp, author="Ada")
    >>> sorted(file.name for file in (folder / "ganzoo_wave").iterdir())
    ['__init__.py', 'loss.py', 'py.typed']
    """
    kinds, folder = check_kinds(kinds), Path(folder)
    check_name(name, kinds, folder)
    target = folder / name
    check_place(target)
    author = " ".join((author or "").split()) or f"The authors of {name}"
    write_folder(Package(name, kinds, author).files, target)
    return target
