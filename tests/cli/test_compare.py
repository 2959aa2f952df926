"""`ganzoo compare`: its messages, its output for programs, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from here import in_this_process
from rich.console import Console

from ganzoo.cli.compare import cell, show
from ganzoo.comparison.models import mean_cost
from ganzoo.comparison.statistics import summary
from ganzoo.evaluation.document import (
    FORMAT,
    ColumnEntry,
    ComparisonDocument,
    Direction,
    ModelEntry,
    RunEntry,
    Summary,
)

Command = Callable[..., CompletedProcess[str]]
WriteRecipe = Callable[..., Path]

VAE = {
    "": 'name = "tiny-vae"\nlatent = { dim = 4 }',
    "encoder": 'type = "mlp"\nhidden = [16]',
    "discriminator": None,
    "loss": 'type = "elbo"',
    "schedule": 'type = "joint"',
}
MEASURING = {"evaluate": "samples = 60\nsnapshots = 2", "extractor": 'type = "random"'}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are trained in this process, and no report is written."""
    in_this_process(monkeypatch)
    monkeypatch.setattr("ganzoo.evaluation.report.write_report", lambda data, out: None)


@pytest.fixture
def gan(write_recipe: WriteRecipe) -> Path:
    return write_recipe(MEASURING)


@pytest.fixture
def vae(write_recipe: WriteRecipe) -> Path:
    return write_recipe({**VAE, **MEASURING}, "vae.toml")


def test_two_recipes_are_trained_measured_and_shown(command: Command, gan: Path, vae: Path) -> None:
    """With all installed metrics, a report, and each run in a process of its own."""
    result = command("compare", gan, vae, "--seeds", 1, "--out", "out", "extractor.type=classifier")
    assert (result.returncode, result.stdout) == (0, "out/report.html\n")
    lines = result.stderr.splitlines()
    measured = [number for number, line in enumerate(lines) if line.endswith(": measured")]
    names = {lines[number].partition("  ")[2].partition(",")[0] for number in measured}
    assert names == {"tiny", "tiny-vae"}
    data = json.loads(Path("out/comparison.json").read_text())
    assert re.split(r"  +", lines[measured[-1] + 2].strip()) == ["tiny", "latent)", "mixture)"]
    labels = ["tiny", "tiny-vae (prior latent)", "tiny-vae (prior mixture)"]
    assert [model["label"] for model in data["models"]] == labels
    (fid,) = (line for line in lines if line.startswith("fid (-)"))
    mean = data["models"][0]["summaries"][f"fid[{data['extractor']['name']}]"]["mean"]
    assert f"  {mean:.4g}  " in fid
    assert any(
        re.fullmatch(
            r"features: classifier@[0-9a-f]{4}, a classifier trained on the labels of the data, "
            r"9\d\.\d\d% accurate on held-out samples",
            line,
        )
        for line in lines
    )
    assert lines[-1].startswith("One seed shows no difference: FID ")
    assert len(list(Path("runs/tiny-vae").iterdir())) == 1
    assert {file.name for file in Path("out").iterdir()} == {
        *("report.html", "comparison.json", "comparison.md"),
    }


@pytest.mark.usefixtures("quick")
def test_overrides_and_a_budget(command: Command, gan: Path, vae: Path) -> None:
    result = command(
        *("compare", gan, "train.batch_size=8", vae, "--budget", "images=80", "log.every=5"),
        *("--runs", "elsewhere"),
    )
    assert (result.returncode, result.stdout) == (0, "comparison/report.html\n")
    data = json.loads(Path("comparison/comparison.json").read_text())
    assert data["budget"] == {"kind": "images", "amount": 80, "text": "80 images each"}
    for model in data["models"]:
        assert model["recipe"]["train"] == {"iterations": 10, "batch_size": 8, "accumulate": 1}
        assert model["recipe"]["log"]["every"] == 5
    assert data["command"] == (
        "ganzoo compare tiny.toml vae.toml train.batch_size=8 log.every=5 "
        "--budget images=80 --runs elsewhere --out comparison"
    )
    # One seed has no interval.
    assert "±" not in result.stderr


@pytest.mark.usefixtures("quick")
def test_tables_and_plots_are_exported_without_measuring_again(command: Command, gan: Path) -> None:
    assert command("compare", gan).returncode == 0
    assert not Path("comparison/exports").exists()
    measured = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("measures/*")}
    assert measured
    assert command("compare", gan, "--export", "tex, csv,svg").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("measures/*")} == measured
    exported = {path.name for path in Path("comparison/exports").iterdir()}
    assert {"table.tex", "values.csv", "fid.svg"} <= exported
    assert not any(name.endswith(".pdf") for name in exported)


@pytest.mark.usefixtures("quick")
def test_another_comparison_is_not_replaced_in_silence(
    command: Command, gan: Path, vae: Path
) -> None:
    assert command("compare", gan).returncode == 0
    refused = command("compare", vae)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "comparison holds another comparison: "
        "ganzoo compare tiny.toml --runs runs --out comparison\n"
        "  = --out names another folder; --replace gives up the one that is there\n"
    )
    assert command("compare", vae, "--replace").returncode == 0
    assert json.loads(Path("comparison/comparison.json").read_text())["title"] == "tiny-vae"


@pytest.mark.usefixtures("quick")
def test_notes_of_recipes_are_shown_once_before_training(
    command: Command, write_recipe: WriteRecipe
) -> None:
    lazy = {"[regularizers]": 'type = "r1"\nevery = 8', **MEASURING}
    note = "note: lazy.toml:{}: regularizers.0.every: regularizer 'r1' is due every 8 iterations"
    arguments = ("compare", write_recipe(lazy, "lazy.toml"), "--seeds", 2)
    lines = command(*arguments).stderr.splitlines()
    (line,) = (number for number, text in enumerate(lines) if text.startswith("note: "))
    where = Path("lazy.toml").read_text().splitlines().index("every = 8") + 1
    assert lines[line].startswith(note.format(where))
    assert lines[line].endswith(": once in a run of 6")
    assert line < lines.index("1/2  tiny, seed 0: measured")
    # It is the run with the budget that has to be wise, and a finished run is past advice.
    assert "note: " not in command(*arguments, "--budget", "iterations=16").stderr
    assert "note: " not in command("compare", next(Path("runs/tiny").iterdir())).stderr


def test_the_progress_of_runs_is_shown(
    command: Command, gan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.evaluation.report.write_report", lambda data, out: None)
    result = command("compare", gan, "--jobs", 1)
    assert result.returncode == 0
    first, *lines = result.stderr.splitlines()
    start = r"tiny, seed 0: 6 iterations of batch 16 on .*; runs/tiny/seed-0-[0-9a-f]{8}"
    assert re.match(start, first)
    shown = [line.removeprefix("tiny, seed 0: ").split()[0] for line in lines[:4]]
    assert shown == ["2/6", "4/6", "6/6", "1/1"]


@pytest.mark.usefixtures("quick")
def test_the_run_of_a_folder(command: Command, gan: Path) -> None:
    folder = command("run", gan).stdout.strip()
    result = command("compare", folder, "--out", "out")
    assert (result.returncode, result.stdout) == (0, "out/report.html\n")
    assert "iterations of batch" not in result.stderr
    data = json.loads(Path("out/comparison.json").read_text())
    assert [run["path"] for run in data["models"][0]["runs"]] == [folder]


@pytest.mark.usefixtures("quick")
def test_a_file_with_an_equals_sign_is_a_target(
    command: Command, write_recipe: WriteRecipe
) -> None:
    file = write_recipe(MEASURING, "lr=3.toml")
    assert command("compare", file, "train.iterations=2").returncode == 0
    data = json.loads(Path("comparison/comparison.json").read_text())
    assert data["command"].startswith("ganzoo compare lr=3.toml train.iterations=2 ")


@pytest.mark.usefixtures("quick")
def test_a_run_that_fails_costs_only_itself(
    command: Command, gan: Path, write_recipe: WriteRecipe
) -> None:
    bad = write_recipe(
        {**MEASURING, "": 'name = "bad"\nlatent = { dim = 5 }', "engine": 'device = "cuda:99"'},
        "bad.toml",
    )
    result = command("compare", bad, gan)
    assert (result.returncode, result.stdout) == (0, "comparison/report.html\n")
    assert "1/2  bad, seed 0: failed: engine.device = 'cuda:99' needs" in result.stderr
    assert "2/2  tiny, seed 0: measured" in result.stderr

    result = command("compare", bad, "--out", "other")
    assert (result.returncode, result.stdout) == (1, "")
    assert "every run failed: engine.device = 'cuda:99' needs" in result.stderr
    assert not Path("other/comparison.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.iterations=5"], "nothing to compare\n  = give two recipes, or folders of runs\n"),
        (["tiny.toml", "--budget", "an hour"], "'an hour' is no budget\n  = iterations=2000, "),
        (["tiny.toml", "--launcher", "slurm"], "no launcher is called 'slurm'\n  = local, ray\n"),
        (
            ["tiny.toml", "--export", "tex,png"],
            "a comparison is not exported as 'png'\n  = --export tex,csv,svg,pdf\n",
        ),
        (["tiny.toml", "nothing"], "there is no recipe and no run nothing\n"),
        (["tiny.toml", "tiny.toml"], "tiny.toml trains the same model as a recipe before it\n"),
        (["tiny.toml", "points.toml"], "'points' and 'tiny' have different data: data."),
        (["tiny.toml", "--out", "tiny.toml"], "no report can be written to tiny.toml: "),
        (["tiny.toml", "--seeds", "0"], "Invalid value for '--seeds': "),
        ([], "Missing argument 'TARGET"),
    ],
)
def test_what_is_refused(
    command: Command, gan: Path, points: Path, arguments: list[str], message: str
) -> None:
    points.write_text(points.read_text().replace('"tiny"', '"points"'))
    result = command("compare", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert not Path("runs").exists()


def test_ctrl_c(command: Command, gan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganzoo.comparison.launchers.Worker", stop)
    result = command("compare", gan)
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == (
        "the comparison was stopped\n"
        "  = `ganzoo compare tiny.toml --runs runs --out comparison` "
        "resumes it from the runs' checkpoints\n"
    )


# The table.


def seeds(mean: float, low: float | None = None, high: float | None = None) -> Summary:
    return {**summary([mean]), "low": low, "high": high}


def model(label: str, summaries: dict[str, Summary], collapse: Sequence[str] = ()) -> ModelEntry:
    run: RunEntry = {
        "path": "runs/one",
        "seed": 3,
        "state": "done",
        "message": None,
        "iterations": 1,
        "values": {},
        "history": [],
        "best": {},
        "collapse": list(collapse),
        "left_out": {},
        "warnings": [{"iteration": 250, "name": "one", "text": "D always wins"}] * bool(collapse),
        "cost": None,
        "statistics": [],
    }
    return {
        "name": label,
        "label": label,
        "prior": "latent",
        "summary": "",
        "recipe": {},
        "parameters": {},
        "runs": [run],
        "summaries": summaries,
        "cost": mean_cost([]),
    }


def document(columns: Mapping[str, Direction | None], *models: ModelEntry) -> ComparisonDocument:
    entries: list[ColumnEntry] = [
        {"name": name, "better": better, "meaning": "", "headline": better is not None}
        for name, better in columns.items()
    ]
    return {
        "format": FORMAT,
        "title": "",
        "created": "",
        "command": "",
        "ganzoo": "",
        "device": "cpu",
        "versions": {},
        "budget": None,
        "seeds": [3],
        "data": {
            "name": "digits",
            "sample_shape": [1, 8, 8],
            "num_classes": None,
            "train": 1,
            "held_out": 1,
        },
        "extractor": {
            "name": "random@1234",
            "type": "random",
            "digest": "1234",
            "note": "weak",
            "table": {},
        },
        "generated": 1,
        "real": 1,
        "real_from": "train",
        "columns": entries,
        "models": list(models),
        "differences": [],
        "winners": {},
    }


@pytest.mark.parametrize(
    ("value", "wins", "text"),
    [
        (None, False, "-"),
        (seeds(12.3456), False, "12.35"),
        (seeds(12.3456, 11.0, 14.0), False, "12.35\n11 to 14"),
        (seeds(12.3456, 11.0, 14.0), True, "12.35 *\n11 to 14"),
        (seeds(float("nan")), False, "nan"),
    ],
)
def test_a_cell(value: Summary | None, wins: bool, text: str) -> None:
    assert cell(value, wins) == text


@pytest.mark.parametrize(("width", "tables"), [(60, 2), (80, 1)])
def test_a_narrow_terminal_has_several_tables(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    tables: int,
) -> None:
    monkeypatch.setattr(
        "ganzoo.cli.compare.stderr",
        lambda: Console(stderr=True, width=width, force_terminal=True, no_color=True),
    )
    labels = ["digits-dcgan", "digits-vae (prior mixture)", "digits-argmax"]
    name = "precision-recall/recall"
    show(document({name: "higher"}, *(model(label, {name: seeds(0.5)}) for label in labels)))
    err = capsys.readouterr().err
    assert err.count("recall (+)") == tables
    for word in ("digits-dcgan", "prior mixture", "argmax"):
        assert word in err


def test_collapses_and_directions_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fid, covered = "fid[random@1234]", "modes/covered"
    show(
        document(
            {fid: "lower", covered: "higher", "other": None},
            model("[b]a[/b]", {fid: seeds(1.5), covered: seeds(9.0)}, ["fid was 1 and is 9"]),
            model("digits-autoencoder", {fid: seeds(2.5), covered: seeds(9.0)}),
        )
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert [re.split(r"  +", line.rstrip()) for line in err.splitlines()] == [
        ["", "digits-"],
        ["", "[b]a[/b]", "autoencoder"],
        ["fid (-)", "1.5", "2.5"],
        ["modes/", "9", "9"],
        ["covered (+)"],
        [
            "mean over seeds and its 95 % interval; (+) higher is better, (-) lower is better; "
            "* interval overlaps no other"
        ],
        ["features: random@1234, weak"],
        ["warning: [b]a[/b], seed 3, at iteration 250: D always wins"],
        ["warning: [b]a[/b], seed 3, may have collapsed: fid was 1 and is 9"],
    ]


def test_the_star_is_the_winners(capsys: pytest.CaptureFixture[str]) -> None:
    models = [model(label, {"fid": seeds(mean)}) for label, mean in (("a", 1.5), ("b", 2.5))]
    show({**document({"fid": "lower"}, *models), "winners": {"fid": "a"}})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines[:2]] == [["a", "b"], ["fid", "(-)", "1.5", "*", "2.5"]]
