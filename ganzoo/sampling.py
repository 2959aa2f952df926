"""Draws samples from the generator of a run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.backend import choose_device
from ganzoo.engine.checkpoints import load_prior, load_snapshot, load_weights
from ganzoo.engine.environment import read_description
from ganzoo.engine.memory import check_fits, is_out_of_memory
from ganzoo.engine.networks import generate
from ganzoo.engine.parts import Parts
from ganzoo.engine.random import draw_labels, rows, seeded
from ganzoo.errors import GanzooWarning, UserError
from ganzoo.protocols import Networks, Prior
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder


def _warn(text: str) -> None:
    warnings.warn(text, GanzooWarning, stacklevel=2)


class Sampler:
    """The trained parts of a run, ready to be sampled from; no data set is opened.

    Raises `RunError` if the run has no weights and no checkpoint yet, or broken ones; a checkpoint
    that is passed over is a `GanzooWarning`.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder) -> None:
        self.recipe, self.folder = recipe, folder
        self.device = choose_device(recipe.engine.device)
        self.parts = Parts(recipe, self.device, read_description(folder))
        load_weights(folder, self.parts.networks, _warn)
        for network in self.networks.values():
            network.eval()

    @property
    def networks(self) -> Networks:
        """The networks, in evaluation mode."""
        return self.parts.networks

    @cached_property
    def loss(self) -> Any:
        """The recipe's loss, with its trained weights where it has any."""
        loss = self.parts.loss
        if "loss" in (modules := self.parts.modules):
            load_weights(self.folder, {"loss": modules["loss"]}, _warn)
            modules["loss"].eval()
        return loss

    @cached_property
    def priors(self) -> Mapping[str, Prior]:
        """The priors by type, as they were fitted at the end of the run."""
        for name, prior in self.parts.priors.items():
            if self.recipe.all_priors[name].spec.fitted:
                load_prior(self.folder, name, prior)
        return self.parts.priors

    def load(self, iteration: int) -> None:
        """Take all weights from the snapshot of an iteration. Raises `RunError` as it does."""
        modules = self.parts.modules if "loss" in self.__dict__ else dict(self.networks)
        load_snapshot(self.folder, iteration, modules)

    def draw(self, count: int, *, seed: int = 0, prior: str | None = None) -> Tensor:
        """Latents `(count, latent_dim)` on the CPU; `prior` as for `sample`."""
        name = prior or self.recipe.prior.spec.type
        if name not in self.recipe.all_priors:
            known = ", ".join(self.recipe.all_priors)
            raise UserError(f"{self.folder.path} has no prior '{name}'", hint=f"it has {known}")
        return rows(count, self.priors[name].sample, seed, "samples")

    def labels(self, count: int, *, seed: int = 0, label: int | None = None) -> Tensor | None:
        """Classes `(count,)` on the CPU for a conditional run: `label`, or with the data's shares.

        None for a run that is not conditional. Raises `UserError` for a class that is not there.
        """
        if self.recipe.condition is None:
            if label is not None:
                raise UserError(
                    f"{self.folder.path} was not trained with classes",
                    hint='condition = "class" in a recipe does so',
                )
            return None
        shares = self.parts.description.class_shares or ()
        if label is None:
            return draw_labels(shares, count, seed, "samples")
        if not 0 <= label < len(shares):
            raise UserError(
                f"there is no class {label}", hint=f"classes are 0 to {len(shares) - 1}"
            )
        return torch.full((count,), label)

    def decode(self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """What the generator makes of latents `(N, latent_dim)`, float32 on the device.

        In a conditional run without `labels`, they are drawn as in `sample`. Raises `UserError`
        for latents of another shape, for labels that are no classes `(N,)` of the run, and for any
        of a run that is not conditional.
        """
        self._check_inputs(z, labels)
        if labels is None:
            labels = self.labels(len(z), seed=seed)
        if labels is not None:
            labels = labels.to(self.device)
        with seeded(seed, "samples", "noise", device=self.device):
            return generate(self.networks.generator, z.to(self.device), labels)

    def _check_inputs(self, z: Tensor, labels: Tensor | None) -> None:
        """Raise `UserError` for what the generator cannot decode."""
        if z.dim() != 2 or z.shape[1] != self.recipe.latent.dim:
            shape = f"(N, {self.recipe.latent.dim})"
            raise UserError(f"latents of this run are {shape}, not {tuple(z.shape)}")
        if labels is None:
            return
        if labels.shape != z.shape[:1]:
            raise UserError(f"{len(z)} latents need {len(z)} labels, not {tuple(labels.shape)}")
        for label in labels.unique().tolist():
            self.labels(0, label=label)

    def sample(
        self, count: int, *, seed: int = 0, prior: str | None = None, label: int | None = None
    ) -> Tensor:
        """Samples float32 `(count, *sample_shape)` on the device.

        A seed always gives the same ones, however many are drawn. `prior` is the type of one of
        the recipe's priors, by default the one that it samples from; `label` a class, by default
        all with their shares in the data. Raises `RunError` where the prior was not fitted, and
        `UserError` where there is not enough memory.
        """
        values = math.prod(self.recipe.data.spec.sample_shape) + self.recipe.latent.dim
        what = f"{count} samples" if count < 10**18 else "so many samples"
        check_fits(4 * values * count, what, "draw fewer, some at a time with seeds of their own")
        labels = self.labels(count, seed=seed, label=label)
        try:
            return self.decode(self.draw(count, seed=seed, prior=prior), labels, seed=seed)
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(
                    f"there is not enough memory on {self.device} for {count} samples",
                    hint="draw fewer, some at a time with seeds of their own",
                ) from error
            raise
