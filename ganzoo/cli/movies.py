"""`ganzoo interpolate` and `ganzoo timelapse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganzoo.cli.arguments import RunArgument, SnapshotArgument
from ganzoo.output import print_place, warn_about_broken_plugins, writing

OutOption = Annotated[Path, typer.Option(help="A .gif or an .mp4.")]


def interpolate(
    run: SnapshotArgument,
    out: OutOption,
    num: Annotated[int, typer.Option(min=1, max=400, help="Walks, side by side.")] = 16,
    stops: Annotated[int, typer.Option(min=2, help="Random latents on the way.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Frames from one to the next.")] = 16,
    rate: Annotated[int, typer.Option(min=1, max=60, help="Frames a second.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same walks.")] = 0,
    prior: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="One of the recipe's priors; by default its [prior]."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="The name of a class, or its number from 0."),
    ] = None,
) -> None:
    """Make a movie of closed walks through latents. Prints its path."""
    from ganzoo.movies import check_movie, check_pictures, save_movie, walk_frames
    from ganzoo.run import open_run

    warn_about_broken_plugins()
    check_movie(out)
    opened = open_run(run)
    check_pictures(opened.recipe.data.spec.sample_shape)
    walks = opened.interpolate(stops, steps, count=num, seed=seed, prior=prior, label=label)
    with writing(out):
        save_movie(walk_frames(walks), out, rate=rate)
    print_place(out)


def timelapse(
    run: RunArgument,
    out: OutOption,
    rate: Annotated[int, typer.Option(min=1, max=60, help="Pictures a second.")] = 8,
) -> None:
    """Make a movie of the samples that a run drew while it trained. Prints its path."""
    from ganzoo.movies import check_movie, save_movie, training_frames
    from ganzoo.references import find_run

    check_movie(out)
    frames = training_frames(find_run(run).whole())
    with writing(out):
        save_movie(frames, out, rate=rate)
    print_place(out)
