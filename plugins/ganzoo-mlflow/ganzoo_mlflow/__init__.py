"""Runs of ganzoo in MLflow.

Only the declaration stands here; `build` imports the file that does the work, and that one imports
mlflow when a run starts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from ganzoo.api import BuildContext, ListenerSpec, UserError, hookimpl

GANZOO_API_VERSION = 1


class MlflowListener(ListenerSpec):
    """Follows a run in MLflow: statistics, pictures, recipe, versions, metrics.

    Statistics are metrics by iteration, and so are the values at the end; MLflow admits no other
    characters in a name than letters, digits and `_-. :/`: `D(x)` is `D_x` there. The recipe's
    keys are params (`optimizer.generator.lr`), versions and the run's folder are tags, samples are
    images. A run that is resumed, made longer or measured later continues the same MLflow run: its
    id is kept in the file `mlflow/run-id` of the run's folder. Raises `UserError` where mlflow is
    not installed.
    """

    type: ClassVar[str] = "mlflow"

    tracking_uri: str | None = Field(
        None,
        description='server or database, such as "http://localhost:5000" or '
        '"sqlite:////home/me/mlflow.db"; by default MLFLOW_TRACKING_URI, else MLflow\'s own '
        "default, mlflow.db in the current folder",
    )
    experiment: str = Field(
        "ganzoo", min_length=1, description="experiment of the run, made where there is none"
    )
    tags: Mapping[str, str] = Field({}, description="tags of the run")

    def build(self, context: BuildContext) -> object:
        """The listener."""
        if importlib.util.find_spec("mlflow") is None:
            raise UserError("listener 'mlflow' needs MLflow", hint="pip install mlflow-skinny")
        from .follower import Follower

        return Follower(**self.arguments())


@hookimpl
def ganzoo_listeners() -> Sequence[type[ListenerSpec]]:
    """The listener."""
    return [MlflowListener]
