"""`ganzoo sample`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import EngineOverrides, SnapshotArgument
from ganzoo.errors import UserError
from ganzoo.output import print_place, warn_about_broken_plugins, writing


def sample(
    run: SnapshotArgument,
    out: Annotated[
        Path,
        typer.Option(help="A .png, .jpg or .webp (grid), a .npy (array), a folder (a PNG each)."),
    ],
    overrides: EngineOverrides = None,
    num: Annotated[int, typer.Option(min=1, help="How many samples.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="FIRST-LAST", help="One sample of each of these seeds: 0-35."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="One of the recipe's priors; by default its [prior]."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="A name or a number from 0; by default all, with their shares in the data.",
        ),
    ] = None,
) -> None:
    """Draw samples from the generator of a run. Prints the path of what it wrote."""
    from ganzoo.pictures import write_samples
    from ganzoo.run import open_run

    warn_about_broken_plugins()
    opened = open_run(run, *(overrides or ()))
    names = None
    if seeds is None:
        samples = opened.sample(num, seed=seed, prior=prior, label=label)
    else:
        each = seed_range(seeds)
        samples = opened.sample_each(each, prior=prior, label=label)
        names = [f"seed{number:06d}" for number in each]
    with writing(out):
        write_samples(samples, out, names)
    print_place(out)


def seed_range(text: str) -> range:
    """`0-35`, both of which are meant, or one number. Raises `UserError` for anything else."""
    match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if last < first:
        raise UserError(f"'{text}' are no seeds", hint="write --seeds 0-35")
    return range(first, last + 1)
