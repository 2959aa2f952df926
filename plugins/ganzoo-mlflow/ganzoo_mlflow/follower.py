"""The listener: a run of ganzoo as one run of MLflow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganzoo.api import RunInfo, UserError, hookimpl

from .names import admitted, flat

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

STATES: Mapping[str, str] = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
"""MLflow's words for how a run ended."""

IMAGES = "images"
"""Metric that every row of statistics has: real samples seen so far."""

AT_ONCE = 100
"""MLflow's limit of params, and of tags, in one request."""

T = TypeVar("T")


class Follower:
    """Follows one run.

    MLflow has each row of statistics.jsonl once: a resumed run logs those that it lacks, and none
    a second time. Nothing is logged of a run that could not be started in MLflow.
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        experiment: str,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.tracking_uri, self.experiment, self.tags = tracking_uri, experiment, dict(tags or {})
        self._tried = False
        self._store: Store | None = None

    @hookimpl
    def ganzoo_run_started(self, run: RunInfo) -> None:
        """Begin the MLflow run, or continue it."""
        self._open(run).catch_up(run)

    @hookimpl
    def ganzoo_statistics_logged(
        self, iteration: int, images: int, statistics: Mapping[str, float]
    ) -> None:
        """All statistics as metrics."""
        if self._store is not None:
            self._store.log_row(iteration, images, statistics)

    @hookimpl
    def ganzoo_samples_drawn(self, iteration: int, picture: Path) -> None:
        """The picture."""
        if self._store is not None:
            self._store.log_picture(iteration, picture)

    @hookimpl
    def ganzoo_run_finished(self, run: RunInfo, state: str) -> None:
        """Say how the run ended; what could not be logged on the way is logged now."""
        if self._store is not None:
            self._store.catch_up(run)
            self._store.end(state)

    @hookimpl
    def ganzoo_evaluated(self, run: RunInfo, iteration: int, values: Mapping[str, float]) -> None:
        """Log the values of the metrics; also of a run that is measured later."""
        if not self._tried:
            self._open(run)
        if self._store is not None:
            self._store.log(iteration, values)
            self._store.end("done")

    def _open(self, run: RunInfo) -> Store:
        from mlflow import MlflowClient

        self._tried = True
        client = MlflowClient(self.tracking_uri)
        self._store = Store(client, _continued(client, run) or self._begun(client, run))
        self._store.describe(run)
        return self._store

    def _begun(self, client: MlflowClient, run: RunInfo) -> Run:
        """A new MLflow run, its id kept in the run's folder."""
        own = {"mlflow.source.name": "ganzoo", "folder": str(run.folder.absolute())}
        begun = client.create_run(
            _experiment(client, self.experiment),
            tags={**own, **self.tags},
            run_name=f"{run.name}/{run.folder.name}",
        )
        kept = _kept(run)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(f"{begun.info.run_id}\n", encoding="utf-8")
        return begun


def _kept(run: RunInfo) -> Path:
    """The file with the id of the run's MLflow run."""
    return run.folder / "mlflow" / "run-id"


def _continued(client: MlflowClient, run: RunInfo) -> Run | None:
    """The MLflow run that was begun for a run before; None where this store has none."""
    from mlflow.exceptions import MlflowException

    file = _kept(run)
    if not file.is_file():
        return None
    try:
        found = client.get_run(file.read_text("utf-8").strip())
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if found.info.lifecycle_stage != "active":
        return None
    client.update_run(found.info.run_id, status="RUNNING")
    return found


def _experiment(client: MlflowClient, name: str) -> str:
    """The id of an experiment, which is made where there is none.

    Raises `UserError` for one that was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            # Another run may have made it meanwhile.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise UserError(
            f"the experiment '{name}' was deleted in MLflow",
            hint=f"`mlflow experiments restore -x {found.experiment_id}`, or name another one",
        )
    return str(found.experiment_id)


class Store:
    """One run in MLflow's store."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client, self.id = client, str(run.info.run_id)
        self._params = dict(run.data.params)
        history = client.get_metric_history(self.id, IMAGES) if IMAGES in run.data.metrics else []
        self._there = self._last = max((int(each.step) for each in history), default=-1)
        """Iterations of the last row when the run was opened, and now."""

    def describe(self, run: RunInfo) -> None:
        """Log what the run is made with, as far as it is not there yet.

        MLflow's params cannot change. What a resumed run has set otherwise, such as its length,
        becomes a tag: `resumed.train.iterations`.
        """
        from mlflow.entities import Param, RunTag

        recipe = {name: table for name, table in run.recipe.items() if name != "listeners"}
        file = run.folder / "environment.json"
        environment = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        params = _named(dict(flat(recipe)))
        changed = {key: text for key, text in params.items() if self._params.get(key, text) != text}
        tags = {
            **_named(dict(flat({"environment": environment}))),
            **{f"resumed.{key}": text for key, text in changed.items()},
        }
        new = [Param(key, text) for key, text in params.items() if key not in self._params]
        for batch in _batches(new):
            self.client.log_batch(self.id, params=batch)
        for some in _batches([RunTag(key, text) for key, text in tags.items()]):
            self.client.log_batch(self.id, tags=some)

    def catch_up(self, run: RunInfo) -> None:
        """Log the rows of statistics.jsonl that are not there."""
        file = run.folder / "statistics.jsonl"
        for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
            row = json.loads(line)
            self.log_row(row["iteration"], row["images"], row["statistics"])

    def log_row(self, iteration: int, images: int, statistics: Mapping[str, float]) -> None:
        """Log a row of statistics, unless it is there already."""
        if iteration > self._last:
            self.log(iteration, {**statistics, IMAGES: images})
            self._last = iteration

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        """Log values as metrics, in one request."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, iteration) for name, value in _named(values).items()]
        self.client.log_batch(self.id, metrics=metrics)

    def log_picture(self, iteration: int, picture: Path) -> None:
        """Log a picture, unless it was drawn before the run was resumed."""
        if iteration > self._there:
            from PIL import Image

            with Image.open(picture) as image:
                self.client.log_image(self.id, image.convert("RGB"), key="samples", step=iteration)

    def end(self, state: str) -> None:
        """Say how the run ended: `done`, `failed` or `interrupted`."""
        self.client.set_terminated(self.id, STATES[state])


def _named(values: Mapping[str, T]) -> dict[str, T]:
    """The values under names that MLflow admits."""
    names = admitted(values)
    return {names[name]: value for name, value in values.items()}


def _batches(values: list[T]) -> Iterator[list[T]]:
    """Lists that are short enough for a request each."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
