"""A tiny recipe on the 8x8 digits, a loss that knows codes, and a run without the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from ganzoo import plugins
from ganzoo.api import BuildContext, LossSpec, Phase, Step
from ganzoo.engine.events import Listener
from ganzoo.engine.training import train_recipe
from ganzoo.recipe import Recipe
from ganzoo.records import write_text
from ganzoo.runs import RunFolder, create_run_folder

KEYS: Mapping[str, str] = {
    "name": '"tiny"',
    "latent": "{ dim = 4 }",
    "data": '{ type = "digits" }',
    "generator": '{ type = "mlp", hidden = [16] }',
    "discriminator": '{ type = "mlp", hidden = [16] }',
    "loss": '{ type = "non-saturating" }',
    "schedule": '{ type = "alternating" }',
    "optimizer": '{ type = "adam", lr = 1e-3, betas = [0.5, 0.999] }',
    "train": "{ iterations = 20, batch_size = 8 }",
    "log": "{ every = 5, samples = 4 }",
    "checkpoint": "{ every = 10 }",
}


def tiny(**changes: str | None) -> str:
    """The tiny GAN with some keys replaced, added or (None) left out."""
    keys = {**KEYS, **changes}
    return "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)


AUTOENCODER: Mapping[str, str | None] = {
    "discriminator": None,
    "encoder": '{ type = "mlp", hidden = [16] }',
    "loss": '{ type = "test-coding" }',
    "schedule": '{ type = "joint" }',
}
"""Changes that make it an autoencoder, with `CodingLoss`."""


class CodingLoss(LossSpec):
    """Squared error of the decoded code, in one phase."""

    type: ClassVar[str] = "test-coding"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    provides: ClassVar[frozenset[str]] = frozenset({"codes"})
    phases: ClassVar[Mapping[str, Phase]] = {
        "joint": Phase(trains=frozenset({"generator", "encoder"}))
    }

    def build(self, context: BuildContext) -> CodingLoss:
        return self

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        return {"error": (step.generate(step.code) - step.x).square().mean()}

    def codes(self, step: Step) -> Tensor:
        code: Tensor = step.code
        return code


def train(
    recipe: Recipe, path: Path, listener: Listener | None = None, *, resume: bool = False
) -> RunFolder:
    """Train in the folder `path/name/run`, or resume the run in the folder `path`."""
    folder = RunFolder(path) if resume else create_run_folder(path, recipe.name, "run")
    if not resume:
        write_text(folder.recipe, recipe.to_toml())
    train_recipe(recipe, folder, plugins.installed(), listener or Listener(), resume=resume)
    return folder
