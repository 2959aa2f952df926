"""The commands, one file each."""

from __future__ import annotations

import typer

from ganzoo.cli import (
    check,
    compare,
    components,
    export,
    init,
    measure,
    movies,
    plugin_check,
    plugin_new,
    plugins,
    recipes,
    resume,
    run,
    runs,
    sample,
    schema,
    show,
    sweep,
)
from ganzoo.cli.arguments import PluginOption, name_plugins, taking_plugins

app = typer.Typer(
    name="ganzoo",
    help="Train and sample GANs and their baselines from TOML recipes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(taking_plugins(init.init))
app.command("run")(taking_plugins(run.run))
app.command("resume")(taking_plugins(resume.resume))
app.command("measure")(taking_plugins(measure.measure))
app.command("check")(taking_plugins(check.check))
app.command("show")(taking_plugins(show.show))
app.command("compare")(taking_plugins(compare.compare))
app.command("sweep")(taking_plugins(sweep.sweep))
app.command("sample")(taking_plugins(sample.sample))
app.command("interpolate")(taking_plugins(movies.interpolate))
app.command("timelapse")(taking_plugins(movies.timelapse))
app.command("export")(taking_plugins(export.export))
app.command("recipes")(taking_plugins(recipes.recipes))
app.command("components")(taking_plugins(components.components))
app.command("plugins")(taking_plugins(plugins.plugins))
app.command("schema")(taking_plugins(schema.schema))

plugin = typer.Typer(help="Write a plugin, and find out whether it is right.", no_args_is_help=True)
plugin.command("new")(taking_plugins(plugin_new.new))
plugin.command("check")(taking_plugins(plugin_check.check))
app.add_typer(plugin, name="plugin")

all_runs = typer.Typer(invoke_without_command=True)
all_runs.callback()(taking_plugins(runs.runs))
all_runs.command("diff")(taking_plugins(runs.diff))
all_runs.command("prune")(taking_plugins(runs.prune))
app.add_typer(all_runs, name="runs")


@app.callback(invoke_without_command=True)
def ganzoo(
    context: typer.Context,
    plugin_files: PluginOption = None,
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """Train and sample GANs and their baselines from TOML recipes."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"ganzoo-core {version_of('ganzoo-core')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("Missing command.")
    name_plugins(plugin_files)
