"""Runs that wandb itself has kept offline, read back from its files."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ganzoo_wandb
import pytest
import wandb
from ganzoo_wandb.follower import run_id
from wandb.proto import wandb_internal_pb2

import ganzoo
from ganzoo import load_recipe
from ganzoo.api import BuildContext, RunInfo, UserError
from ganzoo.engine.events import Listener
from ganzoo.errors import InterruptedRun
from ganzoo.recipe import Recipe, RecipeError

RECIPE = """
name = "ring"
latent = { dim = 2 }
data = { type = "ring", samples = 100 }
generator = { type = "mlp", hidden = [8] }
discriminator = { type = "mlp", hidden = [8] }
loss = { type = "non-saturating" }
schedule = { type = "alternating" }
optimizer = { type = "adam", lr = 1e-3 }
train = { iterations = 12, batch_size = 8 }
log = { every = 4, samples = 4 }
checkpoint = { every = 4, keep = 3 }
evaluate = { samples = 50, snapshots = 1 }
"""
METRIC = '\n[[metrics]]\ntype = "wasserstein"\n'
OFFLINE = '\n[[listeners]]\ntype = "wandb"\nmode = "offline"\n'


@pytest.fixture(autouse=True, scope="module")
def _nobody_is_logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tester's own wandb is set to has no say, and the network none either."""
    home = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
            patch.setenv(name, home)
        patch.setenv("NETRC", f"{home}/netrc")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        wandb.teardown()  # settings that it has read before
        yield
        wandb.teardown()


Load = Callable[[str], Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(more: str) -> Recipe:
        file = tmp_path / "ring.toml"
        file.write_text(RECIPE + more)
        return load_recipe(file)

    return load


@dataclass
class Kept:
    """What wandb has kept of a run, from its start to its end in one process."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def values(self, name: str) -> list[tuple[int, Any]]:
        return [(row["iteration"], row[name]) for row in self.rows if name in row]


def parts_of(folder: Path) -> list[Kept]:
    """What was kept of the run of a folder, in the order in which it was started.

    wandb writes its files in a process of its own, which may be still at it.
    """
    last = time.monotonic() + 30
    while True:
        folders = sorted(folder.glob("wandb/offline-run-*"), key=started)
        files = [file for each in folders for file in each.glob("run-*.wandb")]
        parts = [read(file) for file in files]
        if len(parts) == len(folders) and all(part.exit_code is not None for part in parts):
            return parts
        assert time.monotonic() < last, "wandb has not written all that it was given"
        time.sleep(0.02)


def started(folder: Path) -> tuple[str, int]:
    """When a folder of wandb was begun; those of one second are numbered."""
    _, _, moment, _, *number = folder.name.split("-")
    return moment, int(*number)


def read(file: Path) -> Kept:
    kept = Kept()
    for content in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        match record.WhichOneof("record_type"):
            case "run":
                kept.run = record.run
                kept.config.update(items(record.run.config.update))
            case "config":
                kept.config.update(items(record.config.update))
            case "history":
                kept.rows.append(items(record.history.item))
            case "summary":
                kept.summary.update(items(record.summary.update))
            case "metric":
                kept.metrics.append(record.metric)
            case "exit":
                kept.exit_code = record.exit.exit_code
    return kept


def items(pairs: Any) -> dict[str, Any]:
    return {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in pairs}


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file of wandb: a header of 7 bytes, then a log as LevelDB writes it."""
    block, place, record = 32768, 7, b""
    assert data[:4] in (b":W&B", b"")
    while place + 7 <= len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if place + 7 + length > len(data):
            return
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            yield record
            record = b""


class Stop(Listener):
    """Stops the run after an iteration, as Ctrl-C does."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def logged(self, session: Any, statistics: Mapping[str, float]) -> None:
        if session.iteration == self.iteration:
            raise KeyboardInterrupt


def test_a_run_from_its_start_to_its_metrics(load: Load, tmp_path: Path) -> None:
    keys = 'project = "rings"\nentity = "me"\ngroup = "small"\ntags = ["a", "b"]\n'
    run = ganzoo.train(load(METRIC + OFFLINE + keys), runs=tmp_path)
    (kept,) = parts_of(run.path)
    own = kept.run
    assert (own.project, own.entity, own.run_group, list(own.tags)) == (
        *("rings", "me", "small"),
        ["a", "b"],
    )
    assert own.display_name == f"ring/{run.path.name}"
    assert own.run_id == (run.path / "wandb" / "run-id").read_text().strip()

    for row in run.statistics:
        for name, value in {**row["statistics"], "images": row["images"]}.items():
            assert (row["iteration"], value) in kept.values(name)
    assert [n for n, _ in kept.values("images")] == [4, 8, 12]
    by = {each.glob_name or each.name: each for each in kept.metrics}
    assert by["*"].step_metric == "iteration"

    pictures = dict(kept.values("samples.path"))
    assert [*pictures] == [0, 4, 8, 12]
    (files,) = run.path.glob("wandb/offline-run-*/files")
    for iteration, picture in pictures.items():
        assert (files / picture).read_bytes() == run.folder.samples(iteration).read_bytes()

    assert kept.config["generator"]["hidden"] == [8]
    assert (
        kept.config["environment"]["torch"]
        == json.loads(run.folder.environment.read_text())["torch"]
    )
    assert kept.config["folder"] == str(run.path.absolute())
    assert "listeners" not in kept.config

    assert run.evaluation["values"]
    assert {**run.evaluation["values"], "state": "done"}.items() <= kept.summary.items()
    assert kept.exit_code == 0


def test_a_run_that_is_stopped_resumed_made_longer_and_measured_is_one(
    load: Load, tmp_path: Path
) -> None:
    with pytest.raises(InterruptedRun):
        ganzoo.train(load(OFFLINE), runs=tmp_path, progress=Stop(8))
    (folder,) = tmp_path.glob("ring/*")

    ganzoo.resume(folder)  # from iteration 4, the last with a checkpoint
    ganzoo.resume(folder, "train.iterations=16")
    run = ganzoo.measure(folder, ["wasserstein"])

    parts = parts_of(folder)
    assert len({part.run.run_id for part in parts}) == 1
    assert [[n for n, _ in part.values("images")] for part in parts] == [[4, 8], [8, 12], [16], []]
    name = next(iter(run.statistics[1]["statistics"]))
    assert parts[0].values(name)[1] == parts[1].values(name)[0]
    assert [part.exit_code for part in parts] == [1, 0, 0, 0]
    assert [part.summary["state"] for part in parts] == ["interrupted", "done", "done", "done"]
    assert [part.config["train"]["iterations"] for part in parts] == [12, 12, 16, 16]
    assert run.evaluation["values"].items() <= parts[-1].summary.items()


def test_a_run_that_fails(load: Load, tmp_path: Path) -> None:
    class Break(Listener):
        def logged(self, session: Any, statistics: Mapping[str, float]) -> None:
            raise RuntimeError("broken")

    with pytest.raises(ganzoo.RunError):
        ganzoo.train(load(OFFLINE), runs=tmp_path, progress=Break())
    (kept,) = parts_of(next(tmp_path.glob("ring/*")))
    assert (kept.summary["state"], kept.exit_code) == ("failed", 1)


def test_a_run_that_cannot_be_measured_is_closed(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **keys: object) -> None:
        raise RuntimeError("no samples")

    monkeypatch.setattr("ganzoo.evaluation.measure.measure", broken)
    with pytest.raises(ganzoo.RunError):
        ganzoo.train(load(METRIC + OFFLINE), runs=tmp_path)
    monkeypatch.undo()
    (folder,) = tmp_path.glob("ring/*")
    (kept,) = parts_of(folder)
    assert (kept.summary["state"], kept.exit_code) == ("done", 1)
    run = ganzoo.resume(folder)
    _, kept = parts_of(folder)
    assert run.evaluation["values"].items() <= kept.summary.items()


def test_it_changes_nothing_in_the_run(load: Load, tmp_path: Path) -> None:
    plain, followed = (
        ganzoo.train(load(more), runs=tmp_path / f"{len(more)}") for more in ("", OFFLINE)
    )
    for name in ("generator.safetensors", "statistics.jsonl"):
        assert (plain.path / name).read_bytes() == (followed.path / name).read_bytes()


def test_online_without_an_account_is_said_once_and_ends_nothing(
    load: Load, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    online = OFFLINE.replace("offline", "online")
    run = ganzoo.train(load(METRIC + online), runs=tmp_path)
    assert run.status["state"] == "done"
    lines = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    (line,) = lines
    assert line.startswith(
        "warning: plugin ganzoo-wandb:wandb (listener 'wandb') failed in ganzoo_run_started and is "
        "not called there again: UserError: nobody is logged in to W&B = `wandb login`, or mode ="
    )
    assert not list(run.path.glob("wandb/*run-*/"))


@pytest.mark.parametrize("mode", ['mode = "online"', ""])
def test_a_server_that_cannot_be_reached_leaves_the_run_offline(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    def login(**keys: Any) -> bool:
        """Raises what the true one does after twenty seconds."""
        raise wandb.errors.AuthenticationError("Failed to authenticate")

    monkeypatch.setattr(wandb, "login", login)
    run = ganzoo.train(load(f'\n[[listeners]]\ntype = "wandb"\n{mode}\n'), runs=tmp_path)
    (kept,) = parts_of(run.path)
    assert [n for n, _ in kept.values("images")] == [4, 8, 12]
    assert "The run is kept offline: Failed to authenticate" in capfd.readouterr().err


def test_nothing_is_asked_on_a_terminal(load: Load, tmp_path: Path) -> None:
    load('\n[[listeners]]\ntype = "wandb"\n')
    command = [sys.executable, "-m", "ganzoo", "run", "ring.toml"]
    theirs, ours = pty.openpty()
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=ours, stdout=ours, stderr=ours, start_new_session=True
    )
    os.close(ours)
    output = b""
    try:
        while chunk := _read(theirs):
            output += chunk
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        os.close(theirs)
    assert b"Nobody is logged in (`wandb login`): the run is kept offline." in output
    (kept,) = parts_of(next(tmp_path.glob("runs/ring/*")))
    assert [n for n, _ in kept.values("images")] == [4, 8, 12]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs wandb") as caught:
        ganzoo_wandb.WandbListener().build(BuildContext(sample_shape=(2,), latent_dim=2))
    assert caught.value.hint == "pip install wandb"


def test_a_recipe_is_checked_without_wandb(load: Load, tmp_path: Path) -> None:
    load(OFFLINE)
    code = (
        "import sys, ganzoo; recipe = ganzoo.load_recipe('ring.toml'); assert recipe.listeners; "
        "assert not {'wandb', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('mode = "onlin"', "should be 'online' or 'offline'"),
        ('project = ""', "should have at least 1 character"),
        ('tags = "a"', "tags"),
    ],
)
def test_keys_that_are_wrong(load: Load, key: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(f'\n[[listeners]]\ntype = "wandb"\n{key}\n')
    (problem,) = caught.value.problems
    assert message in f"{problem.key}: {problem.message}"


def test_the_id_is_drawn_once_and_anew_where_its_file_is_damaged(tmp_path: Path) -> None:
    first = run_id(tmp_path)
    assert run_id(tmp_path) == first
    (tmp_path / "wandb" / "run-id").write_text("../x\n")
    assert run_id(tmp_path) not in (first, "../x")


def test_hooks_of_a_run_that_never_began(tmp_path: Path) -> None:
    """A run that fails before it begins is finished all the same."""
    listener: Any = ganzoo_wandb.WandbListener(mode="offline").build(
        BuildContext(sample_shape=(2,), latent_dim=2)
    )
    listener.ganzoo_run_finished(RunInfo(tmp_path, "ring", {}, 0), "failed")
    assert not list(tmp_path.iterdir())
