"""Arguments that several commands share."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.interruption import number_of


def complete_recipe(incomplete: str) -> list[str]:
    """What a shell offers for a recipe: names of ganzoo's own, and files and folders."""
    from ganzoo.recipe.shipped import shipped

    files = [
        f"{path}/" if path.is_dir() else str(path)
        for path in Path(os.path.dirname(incomplete)).glob("*")
        if path.suffix == ".toml" or path.is_dir()
    ]
    return sorted(name for name in (*shipped(), *files) if name.startswith(incomplete))


def complete_run(incomplete: str) -> list[str]:
    """What a shell offers for a run: `latest`, names of recipes that have runs, and folders."""
    from ganzoo.references import RUNS

    names = ["latest", *(path.name for path in RUNS.glob("*") if path.is_dir())]
    folders = [f"{path}/" for path in Path(os.path.dirname(incomplete)).glob("*") if path.is_dir()]
    return sorted(name for name in (*names, *folders) if name.startswith(incomplete))


RecipeArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE",
        help="A file, or a name that `ganzoo recipes` lists.",
        autocompletion=complete_recipe,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, such as train.seed=1."),
]
EngineOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="How the run is computed here, such as engine.device=cpu."
    ),
]
ResumeOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="How the run is computed here, such as engine.device=cpu; train.iterations=N trains "
        "it for longer.",
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A folder, `latest`, or a name, as in `ganzoo runs`.",
        autocompletion=complete_run,
    ),
]
SnapshotArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run, with @4000 or @best after it for one of its snapshots.",
        autocompletion=complete_run,
    ),
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="PATH",
        help="Load a plugin that is not installed: a .py file, or a folder. May be repeated.",
    ),
]

SeedsOption = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="Train with the seeds 0 to SEEDS - 1; by default once."),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(help="The same for each run: iterations=N, images=N or seconds=N."),
]
ReportOption = Annotated[Path, typer.Option(help="Folder of the report.")]
RunsOption = Annotated[Path, typer.Option(help="Folder that holds all runs.")]
LauncherOption = Annotated[str, typer.Option(help="local: on this machine; ray: on a Ray cluster.")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        max=1000,
        help="So many runs at once; by default as many as there are cores for, on a GPU one.",
    ),
]


def name_plugins(paths: list[Path] | None) -> None:
    """Do what `--plugin` asks for. Plugins are looked for when they are first needed."""
    if paths:
        from ganzoo import local

        local.add(paths)


def taking_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the option `--plugin` besides its own."""

    @functools.wraps(command)
    def with_option(*, plugin_files: list[Path] | None = None, **arguments: Any) -> None:
        name_plugins(plugin_files)
        try:
            command(**arguments)
        except KeyboardInterrupt as stop:
            # Typer knows Ctrl-C only.
            raise SystemExit(128 + number_of(stop)) from None

    option = inspect.Parameter(
        "plugin_files", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PluginOption
    )
    signature = inspect.signature(command, eval_str=True)
    # Typer reads both: the signature for the order, the annotations for the types.
    with_option.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option]
    )
    with_option.__annotations__ = {**command.__annotations__, "plugin_files": PluginOption}
    return with_option
