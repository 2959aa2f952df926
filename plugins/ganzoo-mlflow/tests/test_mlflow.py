"""Runs in MLflow's own database, read back with MLflow's client."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ganzoo_mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

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
MLFLOW = '\n[[listeners]]\ntype = "mlflow"\n'


@pytest.fixture(autouse=True, scope="module")
def _settings() -> Iterator[None]:
    """What the tester's own MLflow is set to has no say."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, _settings: None) -> Path:
    """A database without runs, which takes a second to make."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").get_experiment_by_name("none")
    return file


@pytest.fixture
def client(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the database of a test."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # pictures go to ./mlruns
    return MlflowClient(uri)


Load = Callable[[str], Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(more: str) -> Recipe:
        file = tmp_path / "ring.toml"
        file.write_text(RECIPE + more)
        return load_recipe(file)

    return load


def the_run(client: MlflowClient, experiment: str = "ganzoo") -> MlflowRun:
    """The only run of an experiment."""
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return run


def rows(client: MlflowClient, name: str, experiment: str = "ganzoo") -> list[tuple[int, float]]:
    run = the_run(client, experiment)
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]


def steps_of_pictures(client: MlflowClient) -> list[int]:
    found = client.list_artifacts(the_run(client).info.run_id, "images")
    names = [Path(each.path).name for each in found if each.path.endswith(".png")]
    return sorted(int(name.replace("%", "+").split("+")[2]) for name in names)


class Stop(Listener):
    """Stops the run after an iteration, as Ctrl-C does."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def logged(self, session: Any, statistics: Mapping[str, float]) -> None:
        if session.iteration == self.iteration:
            raise KeyboardInterrupt


def test_a_run_from_its_start_to_its_metrics(
    load: Load, client: MlflowClient, tmp_path: Path
) -> None:
    keys = 'experiment = "rings"\ntags = { team = "small" }\n'
    run = ganzoo.train(load(METRIC + MLFLOW + keys), runs=tmp_path / "runs")
    found = the_run(client, "rings")
    assert found.info.run_id == (run.path / "mlflow" / "run-id").read_text().strip()
    assert (found.info.run_name, found.info.status) == (f"ring/{run.path.name}", "FINISHED")

    for row in run.statistics:
        for name, value in row["statistics"].items():
            own = name.replace("(", "_").replace(")", "")
            assert (row["iteration"], value) in rows(client, own, "rings"), name
    assert rows(client, "images", "rings") == [(n, n * 8) for n in (4, 8, 12)]

    for name, value in run.evaluation["values"].items():
        assert rows(client, name, "rings") == [(12, value)]
    params = found.data.params
    assert params["generator.hidden"] == "[8]"
    assert params["metrics.0.type"] == "wasserstein"
    assert params["optimizer.generator.lr"] == "0.001"
    assert not any(key.startswith("listeners") for key in params)
    tags = found.data.tags
    assert tags["team"] == "small"
    assert tags["folder"] == str(run.path.absolute())
    assert tags["environment.plugins.ganzoo-mlp"] == "0.1.0"
    assert "environment.torch" in tags


def test_a_run_that_is_stopped_resumed_made_longer_and_measured_is_one(
    load: Load, client: MlflowClient, tmp_path: Path
) -> None:
    with pytest.raises(InterruptedRun):
        ganzoo.train(load(MLFLOW), runs=tmp_path / "runs", progress=Stop(8))
    assert the_run(client).info.status == "KILLED"
    assert [n for n, _ in rows(client, "images")] == [4, 8]
    (folder,) = tmp_path.glob("runs/ring/*")

    ganzoo.resume(folder)  # from iteration 4, the last with a checkpoint
    assert the_run(client).info.status == "FINISHED"
    assert [n for n, _ in rows(client, "images")] == [4, 8, 12]

    ganzoo.resume(folder, "train.iterations=16")
    run = ganzoo.measure(folder, ["wasserstein"])
    found = the_run(client)
    assert [n for n, _ in rows(client, "images")] == [4, 8, 12, 16]
    assert steps_of_pictures(client) == [0, 4, 8, 12, 16]
    assert found.data.params["train.iterations"] == "12"
    assert found.data.tags["resumed.train.iterations"] == "16"
    for name, value in run.evaluation["values"].items():
        assert rows(client, name) == [(16, value)]
    assert found.info.status == "FINISHED"


def test_a_run_that_fails(load: Load, client: MlflowClient, tmp_path: Path) -> None:
    class Break(Listener):
        def logged(self, session: Any, statistics: Mapping[str, float]) -> None:
            raise RuntimeError("broken")

    with pytest.raises(ganzoo.RunError):
        ganzoo.train(load(MLFLOW), runs=tmp_path / "runs", progress=Break())
    assert the_run(client).info.status == "FAILED"


def test_rows_that_could_not_be_logged_are_logged_at_the_end(
    load: Load,
    client: MlflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_batch, broken = MlflowClient.log_batch, [8]

    def sometimes(self: MlflowClient, run_id: str, metrics: Any = (), **keys: Any) -> Any:
        if [each.step for each in metrics[:1]] == broken:
            broken.clear()
            raise MlflowException("the server is away")
        return log_batch(self, run_id, metrics=metrics, **keys)

    monkeypatch.setattr(MlflowClient, "log_batch", sometimes)
    run = ganzoo.train(load(MLFLOW), runs=tmp_path / "runs")
    assert run.status["state"] == "done"
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "warning: " in each]
    assert "(listener 'mlflow') failed in ganzoo_statistics_logged and is not called" in line
    assert "the server is away" in line
    assert [n for n, _ in rows(client, "images")] == [4, 8, 12]


def test_a_store_that_does_not_know_the_run_gets_all_of_it(
    load: Load,
    client: MlflowClient,
    empty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InterruptedRun):
        ganzoo.train(load(MLFLOW), runs=tmp_path / "runs", progress=Stop(8))
    assert [n for n, _ in rows(client, "images")] == [4, 8]
    shutil.copy(empty, tmp_path / "other.db")
    uri = f"sqlite:///{tmp_path}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ganzoo.resume(next(tmp_path.glob("runs/ring/*")))
    assert [n for n, _ in rows(MlflowClient(uri), "images")] == [4, 8, 12]


def test_a_store_that_cannot_be_reached_is_said_once_and_ends_nothing(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f'tracking_uri = "sqlite:///{tmp_path}/missing/mlflow.db"\n'
    (tmp_path / "missing").write_text("no folder")
    run = ganzoo.train(load(METRIC + MLFLOW + uri), runs=tmp_path / "runs")
    assert run.status["state"] == "done"
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "warning: " in each]
    assert "(listener 'mlflow') failed in ganzoo_run_started and is not called there" in line


def test_an_experiment_that_was_deleted(
    load: Load, client: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = client.create_experiment("ganzoo")
    client.delete_experiment(number)
    ganzoo.train(load(MLFLOW), runs=tmp_path / "runs")
    error = capsys.readouterr().err
    assert "UserError: the experiment 'ganzoo' was deleted in MLflow" in error
    assert f"`mlflow experiments restore -x {number}`, or name another one" in error


@pytest.mark.parametrize("damage", ["", "../x", "0" * 32])
def test_a_run_whose_id_is_lost_begins_another(
    client: MlflowClient, tmp_path: Path, damage: str
) -> None:
    run = RunInfo(tmp_path / "run", "ring", {}, 0)
    (run.folder / "mlflow").mkdir(parents=True)
    (run.folder / "mlflow" / "run-id").write_text(damage)
    follower().ganzoo_run_started(run)
    assert (run.folder / "mlflow" / "run-id").read_text().strip() == the_run(client).info.run_id


def test_a_run_that_was_deleted_in_mlflow_begins_another(
    client: MlflowClient, tmp_path: Path
) -> None:
    run = RunInfo(tmp_path / "run", "ring", {}, 0)
    run.folder.mkdir()
    follower().ganzoo_run_started(run)
    first = the_run(client).info.run_id
    client.delete_run(first)
    follower().ganzoo_run_started(run)
    assert the_run(client).info.run_id != first


def test_hooks_of_a_run_that_never_began(client: MlflowClient, tmp_path: Path) -> None:
    """A run that fails before it begins is finished all the same."""
    follower().ganzoo_run_finished(RunInfo(tmp_path, "ring", {}, 0), "failed")
    assert client.get_experiment_by_name("ganzoo") is None


def follower() -> Any:
    return ganzoo_mlflow.MlflowListener().build(BuildContext(sample_shape=(2,), latent_dim=2))


def test_it_changes_nothing_in_the_run(load: Load, client: MlflowClient, tmp_path: Path) -> None:
    plain = ganzoo.train(load(""), runs=tmp_path / "plain")
    followed = ganzoo.train(load(MLFLOW), runs=tmp_path / "followed")
    for name in ("generator.safetensors", "statistics.jsonl"):
        assert (plain.path / name).read_bytes() == (followed.path / name).read_bytes()


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs MLflow") as caught:
        follower()
    assert caught.value.hint == "pip install mlflow-skinny"


def test_a_recipe_is_checked_without_mlflow(load: Load, tmp_path: Path) -> None:
    load(MLFLOW)
    code = (
        "import sys, ganzoo; recipe = ganzoo.load_recipe('ring.toml'); assert recipe.listeners; "
        "assert not {'mlflow', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('experiment = ""', "experiment: should have at least 1 character"),
        ("tags = { a = 1 }", "tags.a: should be a valid string"),
        ('uri = "x"', "uri: unknown key"),
    ],
)
def test_keys_that_are_wrong(load: Load, key: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(f"{MLFLOW}{key}\n")
    (problem,) = caught.value.problems
    assert message in f"{problem.key}: {problem.message}"
