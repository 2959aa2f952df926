"""The commands, one file each."""

from __future__ import annotations

import typer

from ganzoo.cli import (
    check,
    compare,
    components,
    plugins,
    recipes,
    resume,
    run,
    sample,
    schema,
    show,
)

app = typer.Typer(
    name="ganzoo",
    help="Train and sample GANs and their baselines from TOML recipes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("resume")(resume.resume)
app.command("check")(check.check)
app.command("show")(show.show)
app.command("compare")(compare.compare)
app.command("sample")(sample.sample)
app.command("recipes")(recipes.recipes)
app.command("components")(components.components)
app.command("plugins")(plugins.plugins)
app.command("schema")(schema.schema)


@app.callback(invoke_without_command=True)
def ganzoo(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """Train and sample GANs and their baselines from TOML recipes."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"ganzoo-core {version_of('ganzoo-core')}")
        raise typer.Exit
