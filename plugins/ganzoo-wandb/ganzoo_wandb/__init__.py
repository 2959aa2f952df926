"""Runs of ganzoo on Weights & Biases.

Only the declaration stands here; `build` imports the file that does the work, and that one imports
wandb when a run starts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ganzoo.api import BuildContext, ListenerSpec, UserError, hookimpl

GANZOO_API_VERSION = 1


class WandbListener(ListenerSpec):
    """Follows a run on Weights & Biases: statistics, pictures, recipe, versions, metrics.

    Statistics and pictures are drawn over `iteration`; values of metrics and the `state` (`done`,
    `failed` or `interrupted`) are in the summary; recipe, environment.json and the run's folder in
    the configuration. A run that is resumed, made longer or measured later continues the same W&B
    run: its id is kept in the file `wandb/run-id` of the run's folder, where wandb's own files are
    as well. Raises `UserError` where wandb is not installed.
    """

    type: ClassVar[str] = "wandb"

    project: str = Field("ganzoo", min_length=1, description="project of the run")
    entity: str | None = Field(None, description="user or team; by default wandb's own choice")
    mode: Literal["online", "offline"] | None = Field(
        None,
        description="whether data are sent, or kept in the run's folder for `wandb sync`; by "
        "default what wandb is set to (WANDB_MODE), and offline where nobody is logged in",
    )
    group: str | None = Field(None, description="group of the run, such as a comparison's name")
    tags: tuple[str, ...] = Field((), description="tags of the run")

    def build(self, context: BuildContext) -> object:
        """The listener."""
        if importlib.util.find_spec("wandb") is None:
            raise UserError("listener 'wandb' needs wandb", hint="pip install wandb")
        from .follower import Follower

        return Follower(**self.arguments())


@hookimpl
def ganzoo_listeners() -> Sequence[type[ListenerSpec]]:
    """The listener."""
    return [WandbListener]
