"""`ganzoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import EngineOverrides, SnapshotArgument
from ganzoo.exporting import Format
from ganzoo.output import print_place, warn_about_broken_plugins, writing


def export(
    run: SnapshotArgument,
    format: Annotated[
        Format,
        typer.Option(
            help="onnx and pt2 (torch.export): a file of the generator alone, which takes latents "
            "and classes; no prior, no other network. hub: a folder with all networks, priors, "
            "the recipe and a model card, ready for huggingface_hub.upload_folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .onnx, a .pt2, or a new or empty folder.")],
    overrides: EngineOverrides = None,
    license: Annotated[
        str, typer.Option(help="The license that the model card names (hub).")
    ] = "mit",
    comparison: Annotated[
        Path | None,
        typer.Option(
            help="A comparison.json of the run's recipe: the card then has means and intervals "
            "over seeds (hub)."
        ),
    ] = None,
) -> None:
    """Write the generator of a run for other programs. Prints the path of what it wrote."""
    from ganzoo.exporting import export as write
    from ganzoo.run import open_run

    warn_about_broken_plugins()
    opened = open_run(run, *(overrides or ()))
    with writing(out):
        write(opened, out, format, license=license, comparison=comparison)
    print_place(out)
