"""Holds the layering of the code: imports point one way, and heavy ones stay inside functions.

A new module has to be added to the table of layers, at the height where it belongs.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from ganzoo import hookspecs

ROOT = Path(__file__).parent.parent
CORE = ROOT / "ganzoo"

HEAVY = {
    *("torch", "torchvision", "numpy", "matplotlib", "PIL", "safetensors", "tensorboard"),
    *("sklearn", "scipy"),
}
"""Packages that a light file imports inside functions only."""


@dataclass(frozen=True)
class Layer:
    """What files may import; `*` stands for the modules of one package."""

    imports: tuple[str, ...]
    heavy: bool = False
    """Whether torch and its like may be imported when the module is."""


DECLARATIONS = Layer(("api", "builtin.*"))
COMPARISON = Layer(
    (
        *("errors", "interruption", "streams", "output", "specs", "local", "plugins", "registry"),
        *(
            "recipe",
            "recipe.*",
            "records",
            "runs",
            "status",
            "folders",
            "data",
            "engine.*",
            "sampling",
        ),
        *("references", "run", "plans", "display", "evaluation.*", "zoo", "comparison.*"),
    )
)

SWEEPS = Layer(
    (
        *(
            "errors",
            "specs",
            "recipe",
            "recipe.*",
            "records",
            "runs",
            "status",
            "templates",
            "pictures",
        ),
        *("engine.*", "evaluation.*", "comparison.*", "sweeps.*"),
    )
)

LAYERS: Mapping[str, Layer] = {
    "errors": Layer(()),
    "interruption": Layer(()),
    "streams": Layer(("errors",)),
    "protocols": Layer(()),
    "ramps": Layer(()),
    "synonyms": Layer(()),
    "templates": Layer(()),
    "phases": Layer(()),
    "remarks": Layer(()),
    "context": Layer(("protocols", "ramps")),
    "specs": Layer(("context", "phases", "protocols", "ramps", "remarks")),
    "api": Layer(("errors", "protocols", "ramps", "remarks", "specs")),
    "hookspecs": Layer(("protocols", "specs")),
    "declarations": Layer(("specs",)),
    "offers": Layer(("hookspecs", "declarations", "specs")),
    "files": Layer(()),
    "local": Layer(("errors", "files")),
    "folders": Layer(("errors",)),
    "distributions": Layer(("hookspecs",)),
    "plugins": Layer(
        ("errors", "streams", "local", "distributions", "hookspecs", "offers", "specs")
    ),
    "registry": Layer(("errors", "plugins", "specs", "synonyms")),
    "inline": Layer(("errors", "declarations", "plugins", "registry", "specs")),
    "recipe": Layer(("files", "local", "registry", "recipe.*")),
    "recipe.*": Layer(
        (
            *("errors", "files", "folders", "plugins", "ramps", "registry", "remarks", "specs"),
            *("synonyms", "recipe.*"),
        )
    ),
    "output": Layer(("errors", "streams", "recipe", "plugins")),
    "unfinished": Layer(("errors",)),
    "records": Layer(("errors", "files", "unfinished")),
    "runs": Layer(("errors", "records", "unfinished")),
    "plans": Layer(("errors", "files", "recipe.*", "records", "runs")),
    "status": Layer(("records", "runs", "unfinished")),
    "references": Layer(("errors", "records", "runs")),
    "conditioning": Layer((), heavy=True),
    "builtin": Layer(()),
    "builtin.adversarial": Layer(("protocols",), heavy=True),
    "builtin.latents": Layer((), heavy=True),
    "builtin.losses": DECLARATIONS,
    "builtin.priors": DECLARATIONS,
    "builtin.schedules": DECLARATIONS,
    "builtin.tensorboard": DECLARATIONS,
    "digests": Layer(("errors", "files", "unfinished"), heavy=True),
    "data": Layer(("errors", "protocols", "recipe"), heavy=True),
    "pictures": Layer(("errors", "files", "data", "unfinished"), heavy=True),
    "movies": Layer(("errors", "pictures", "records", "runs", "unfinished"), heavy=True),
    "engine": Layer(("recipe.*", "folders", "data", "engine.*"), heavy=True),
    "engine.*": Layer(
        (
            *("errors", "interruption", "streams", "protocols", "ramps", "specs", "plugins"),
            *("recipe", "recipe.*", "files", "unfinished", "records", "runs", "status", "folders"),
            *("digests", "data", "pictures", "plans", "engine.*"),
        ),
        heavy=True,
    ),
    "sampling": Layer(("errors", "protocols", "recipe", "records", "runs", "engine.*"), heavy=True),
    "evaluation": Layer(("evaluation.*",), heavy=True),
    "evaluation.document": Layer(()),
    "evaluation.*": Layer(
        (
            *(
                "errors",
                "protocols",
                "specs",
                "plugins",
                "registry",
                "recipe",
                "recipe.*",
                "records",
                "runs",
            ),
            *("folders", "digests", "data", "pictures", "templates", "engine.*", "sampling"),
            *("unfinished", "evaluation.*"),
        ),
        heavy=True,
    ),
    # Only the functions of this file reach that far: the declarations in it are light.
    "builtin.extractors": replace(DECLARATIONS, imports=(*DECLARATIONS.imports, "evaluation.*")),
    "builtin.features": Layer(("errors", "data", "engine.*", "builtin.*"), heavy=True),
    "testing": Layer(("testing.*",), heavy=True),
    "testing.*": Layer(
        (
            *("errors", "protocols", "ramps", "specs", "hookspecs", "plugins", "registry"),
            *(
                "recipe",
                "recipe.*",
                "builtin.priors",
                "builtin.schedules",
                "folders",
                "data",
                "engine.*",
            ),
            *("evaluation.*", "testing.*"),
        ),
        heavy=True,
    ),
    "run": Layer(
        (
            *("errors", "recipe", "records", "runs", "plans", "status", "references", "sampling"),
            *("evaluation.document", "pictures"),
        )
    ),
    "display": Layer(
        ("errors", "output", "records", "runs", "references", "engine.*", "run"), heavy=True
    ),
    "exporting": Layer(("errors", "run", "exporting.*")),
    "exporting.*": Layer(
        (
            *("errors", "recipe", "recipe.*", "unfinished", "records", "runs", "plans", "pictures"),
            *("templates", "engine.*", "evaluation.*", "run", "exporting.*"),
        ),
        heavy=True,
    ),
    "overview": Layer(
        (
            *(
                "errors",
                "recipe",
                "recipe.*",
                "records",
                "runs",
                "plans",
                "status",
                "references",
                "run",
            ),
            "evaluation.document",
        )
    ),
    "pruning": Layer(("errors", "records", "runs", "status", "unfinished", "digests")),
    "measuring": Layer(
        (
            *(
                "errors",
                "interruption",
                "protocols",
                "plugins",
                "registry",
                "recipe",
                "records",
                "runs",
            ),
            *("references", "run", "display", "engine.*", "evaluation.*"),
        )
    ),
    "zoo": Layer(
        (
            *("errors", "interruption", "api", "specs", "hookspecs", "plugins", "registry"),
            *(
                "measuring",
                "plans",
                "display",
                "recipe",
                "records",
                "runs",
                "references",
                "run",
                "folders",
                "digests",
                "engine.*",
            ),
        )
    ),
    "comparison": Layer(("comparison.*",)),
    **dict.fromkeys(
        (
            *("comparison.budget", "comparison.jobs", "comparison.launchers"),
            *("comparison.machine", "comparison.workers", "comparison.screen", "comparison.drawn"),
            *("comparison.entrants", "comparison.comparing", "comparison.request"),
        ),
        COMPARISON,
    ),
    "comparison.*": replace(COMPARISON, heavy=True),
    "sweeps": Layer(("sweeps.*",)),
    **dict.fromkeys(
        (
            *("sweeps.space", "sweeps.points", "sweeps.headline", "sweeps.document"),
            *("sweeps.best", "sweeps.search", "sweeps.sweeping"),
        ),
        SWEEPS,
    ),
    "sweeps.*": replace(SWEEPS, heavy=True),
    "": Layer(
        (
            *("comparison", "errors", "exporting", "inline", "measuring", "recipe", "run"),
            *("sweeps", "zoo"),
        )
    ),
    "scaffold": Layer(("scaffold.*",)),
    "scaffold.*": Layer(
        (
            *("api", "errors", "specs", "hookspecs", "declarations", "distributions"),
            *("registry", "recipe.*", "templates"),
            "scaffold.*",
        )
    ),
    "cli": Layer(("errors", "interruption", "streams", "output", "cli.*")),
    "cli.plugin_check": Layer(("errors", "testing.*", "output", "cli.*")),
    **dict.fromkeys(
        (
            *("cli.app", "cli.arguments"),
            *("cli.check", "cli.components", "cli.plugins", "cli.recipes", "cli.resume"),
            *("cli.export", "cli.init", "cli.measure", "cli.movies", "cli.runs"),
            *("cli.run", "cli.sample", "cli.schema", "cli.show", "cli.compare", "cli.plugin_new"),
            "cli.sweep",
        ),
        Layer(
            (
                *("errors", "interruption", "streams", "specs", "local", "plugins", "registry"),
                *("output", "display", "synonyms", "recipe", "recipe.*", "folders", "pictures"),
                *("evaluation.document", "measuring"),
                *(
                    "records",
                    "runs",
                    "references",
                    "run",
                    "overview",
                    "pruning",
                    "unfinished",
                    "movies",
                ),
                *("zoo", "exporting", "comparison", "sweeps", "sweeps.*", "scaffold"),
                *("cli", "cli.*"),
            )
        ),
    ),
    "__main__": Layer(("cli",)),
}
"""The modules of `ganzoo` from the bottom up; the empty name is the package itself.

Each may import what its row names: rows above its own, or modules of its own package.
"""

PLUGIN_FILES_IMPORT = ("ganzoo.api", "ganzoo.engine", "ganzoo.engine.random", "ganzoo.conditioning")
"""What files of plugins may import of the core; declarations at once only the first."""


@dataclass(frozen=True)
class Import:
    """One module that a file imports."""

    name: str
    line: int
    at_once: bool
    """Whether it is imported when the file is, not in a function or for types only."""


def imports(file: Path, package: str) -> Iterator[Import]:
    """Every import of a file of `package`, wherever it stands, with full names."""

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, at_once)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parent = package.split(".")[: 1 - child.level or None]
                    base = ".".join([*parent, *([base] if base else [])])
                for alias in child.names:
                    name = f"{base}.{alias.name}"
                    yield Import(name if _is_module(name) else base, child.lineno, at_once)
            else:
                lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                types_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(
                    child.test
                )
                yield from walk(child, at_once and not lazy and not types_only)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), True)


def _is_module(name: str) -> bool:
    """Whether a name below `ganzoo` is a module, and not something in one."""
    path = ROOT.joinpath(*name.split("."))
    return name.startswith("ganzoo.") and (path.with_suffix(".py").exists() or path.is_dir())


def module_name(file: Path) -> str:
    """Name of a file of the core, without `ganzoo.`."""
    parts = file.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def row_of(module: str) -> str | None:
    """The row of the table that a module belongs to."""
    if module in LAYERS:
        return module
    package = module.rpartition(".")[0]
    return f"{package}.*" if package and f"{package}.*" in LAYERS else None


def package_of(file: Path) -> str:
    """The package from which a file's relative imports start."""
    return ".".join(file.parent.relative_to(ROOT).parts)


def fits(module: str, patterns: tuple[str, ...]) -> bool:
    """Whether a module is one of those that a row names; `engine.*` means `engine` as well."""
    return any(
        fnmatchcase(module, pattern) or module == pattern.removesuffix(".*") for pattern in patterns
    )


FILES = [
    pytest.param(file, id=module_name(file) or "ganzoo") for file in sorted(CORE.rglob("*.py"))
]
PLUGINS = sorted((ROOT / "plugins").glob("ganzoo-*"))
PLUGIN_FILES = [
    pytest.param(file, id=f"{file.parent.name}.{file.stem}")
    for plugin in PLUGINS
    for file in sorted(plugin.glob("ganzoo_*/**/*.py"))
]


def test_there_are_files_to_test() -> None:
    assert len(FILES) >= 45
    assert len(PLUGINS) >= 2
    assert len(PLUGIN_FILES) >= 4


def test_every_row_has_a_file() -> None:
    used = {row_of(module_name(param.values[0])) for param in FILES}
    assert used == set(LAYERS)


def test_rows_name_only_what_stands_above_them() -> None:
    rows = list(LAYERS)
    for position, (row, layer) in enumerate(LAYERS.items()):
        package = row.removesuffix(".*").partition(".")[0]
        for pattern in layer.imports:
            own = pattern.removesuffix(".*").partition(".")[0] == package
            higher = pattern in rows[:position]
            assert own or higher, f"row '{row}' names '{pattern}', which does not stand above it"


@pytest.mark.parametrize("file", FILES)
def test_imports_point_one_way(file: Path) -> None:
    module = module_name(file)
    row = row_of(module)
    assert row is not None, f"ganzoo.{module} is not in the table of layers; say where it belongs"
    layer = LAYERS[row]
    for found in imports(file, package_of(file)):
        top, _, inner = found.name.partition(".")
        place = f"{file.relative_to(ROOT)}:{found.line}"
        if top == "ganzoo":
            assert fits(inner, layer.imports), f"{place} imports ganzoo.{inner}"
            if found.at_once and not layer.heavy:
                below = row_of(inner)
                assert below is not None
                assert not LAYERS[below].heavy, f"{place} imports the heavy ganzoo.{inner}"
        elif found.at_once and not layer.heavy:
            assert top not in HEAVY, f"{place} imports {top} outside a function"


def names_of(plugin: Path) -> set[str]:
    """Names of a plugin's distribution and of its packages."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    packages = {folder.name for folder in plugin.glob("ganzoo_*") if folder.is_dir()}
    return {project["name"], *packages}


def test_the_core_never_mentions_a_plugin() -> None:
    # The package of a plugin may have the name of a hook.
    names = {name for plugin in PLUGINS for name in names_of(plugin)} - set(vars(hookspecs))
    pattern = re.compile(rf"(?<![\w-])({'|'.join(sorted(names))})(?![\w-])")
    for file in CORE.rglob("*"):
        if file.suffix in (".py", ".html", ".toml", ".md", ".jinja"):
            found = pattern.search(file.read_text(encoding="utf-8"))
            assert not found, f"{file.relative_to(ROOT)} mentions {found[1] if found else ''}"


@pytest.mark.parametrize("file", PLUGIN_FILES)
def test_plugins_import_the_published_part_of_the_core(file: Path) -> None:
    declares = file.name == "__init__.py"
    own = file.relative_to(ROOT / "plugins").parts[1]
    for found in imports(file, own):
        top = found.name.partition(".")[0]
        place = f"{file.relative_to(ROOT)}:{found.line}"
        if top == "ganzoo":
            light = declares and found.at_once
            allowed = PLUGIN_FILES_IMPORT[:1] if light else PLUGIN_FILES_IMPORT
            assert found.name in allowed, f"{place} imports {found.name}"
        elif top.startswith("ganzoo_"):
            assert top == own, f"{place} imports another plugin, {top}"
        elif declares and found.at_once:
            assert top not in HEAVY, f"{place} imports {top} outside a function"
