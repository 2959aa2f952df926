"""`ganzoo sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import EngineOverrides, SnapshotArgument
from ganzoo.cli.output import print_place, warn_about_broken_plugins


def sample(
    run: SnapshotArgument,
    out: Annotated[
        Path, typer.Option(help="A .png (grid), a .npy (array) or a folder (one PNG a sample).")
    ],
    overrides: EngineOverrides = None,
    num: Annotated[int, typer.Option(min=1, help="How many samples.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    prior: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="One of the recipe's priors; by default its [prior]."),
    ] = None,
    label: Annotated[
        int | None,
        typer.Option(
            "--class",
            metavar="INTEGER",
            help="A class, from 0; by default all, with their shares in the data.",
        ),
    ] = None,
) -> None:
    """Draw samples from the generator of a run. Prints the path of what it wrote."""
    from ganzoo.errors import UserError
    from ganzoo.pictures import write_samples
    from ganzoo.run import open_run

    warn_about_broken_plugins()
    opened = open_run(run, *(overrides or ()))
    samples = opened.sample(num, seed=seed, prior=prior, label=label)
    try:
        write_samples(samples, out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from error
    print_place(out)
