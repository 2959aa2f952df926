"""Draws samples from the generator of a run."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.engine.backend import choose_device
from ganzoo.engine.checkpoints import load_prior, load_snapshot, load_weights
from ganzoo.engine.environment import read_description
from ganzoo.engine.memory import check_fits, is_out_of_memory
from ganzoo.engine.networks import CHUNK, generate
from ganzoo.engine.parts import Parts
from ganzoo.engine.random import draw_labels, rows, seeded
from ganzoo.errors import GanzooWarning, UserError, shortened
from ganzoo.protocols import Networks, Prior
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder

Label = int | str
"""A class by its number, or by its name; a text of digits may be either, and is a name first."""


def number_of(label: Label, classes: int, names: Sequence[str]) -> int:
    """The number of a class. Raises `UserError` for a class that is not there."""
    if isinstance(label, str) and label in names:
        return names.index(label)
    digits = isinstance(label, str) and label.isascii() and label.isdigit() and len(label) < 10
    number = int(label) if digits or isinstance(label, int) else -1
    if not 0 <= number < classes:
        called = f", called {shortened(', '.join(names), 200)}" if names else ""
        what = shortened(str(label), 60)
        raise UserError(f"there is no class {what}", hint=f"classes are 0 to {classes - 1}{called}")
    return number


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
        self._snapshot: int | None = None
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
            own = {"loss": modules["loss"]}
            if self._snapshot is None:
                load_weights(self.folder, own, _warn)
            else:
                load_snapshot(self.folder, self._snapshot, own)
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
        self._snapshot = iteration

    def draw(self, count: int, *, seed: int = 0, prior: str | None = None) -> Tensor:
        """Latents `(count, latent_dim)` on the CPU; `prior` as for `sample`."""
        name = prior or self.recipe.prior.spec.type
        if name not in self.recipe.all_priors:
            known = ", ".join(self.recipe.all_priors)
            raise UserError(f"{self.folder.path} has no prior '{name}'", hint=f"it has {known}")
        return rows(count, self.priors[name].sample, seed, "samples")

    def labels(self, count: int, *, seed: int = 0, label: Label | None = None) -> Tensor | None:
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
        return torch.full((count,), number_of(label, len(shares), self.class_names))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers, where the data have any."""
        return tuple(self.parts.description.class_names)

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

    def sample_each(
        self, seeds: Sequence[int], *, prior: str | None = None, label: Label | None = None
    ) -> Tensor:
        """One sample of each seed, as `sample` draws it: `(len(seeds), *sample_shape)`."""
        self._check_room(len(seeds), "give fewer seeds")
        return torch.cat([self.sample(1, seed=seed, prior=prior, label=label) for seed in seeds])

    def _check_room(self, count: int, hint: str) -> None:
        """Raise `UserError` where so many samples, with their latents, do not fit into memory."""
        values = math.prod(self.recipe.data.spec.sample_shape) + self.recipe.latent.dim
        what = f"{count} samples" if count < 10**18 else "so many samples"
        check_fits(4 * values * count, what, hint)

    @torch.no_grad()
    def encode(self, x: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Codes `(N, latent_dim)` of samples `(N, *sample_shape)`, on the device.

        Raises `UserError` where the loss knows none, or only those of what it was trained on, and
        for samples of another shape.
        """
        if "codes" not in self.recipe.loss.spec.capabilities or self.recipe.encoder is None:
            raise UserError(
                f"{self.folder.path} has no encoder: it knows no codes of samples",
                hint="an autoencoder or a VAE does",
            )
        if x.shape[1:] != (shape := self.recipe.data.spec.sample_shape):
            raise UserError(f"samples of this run are (N, {shape}), not {tuple(x.shape)}")
        if (labels is None) != (self.recipe.condition is None):
            how = "with" if labels is None else "without"
            raise UserError(f"{self.folder.path} was trained {how} classes")
        codes = []
        with seeded(seed, "codes", device=self.device):
            for part in torch.arange(len(x)).split(CHUNK):
                classes = None if labels is None else labels[part].to(self.device)
                step = self.parts.step(x[part].to(self.device), classes)
                codes.append(self.loss.codes(step))
        return torch.cat(codes)

    def walk(
        self,
        count: int,
        stops: int,
        steps: int,
        *,
        seed: int = 0,
        prior: str | None = None,
        label: Label | None = None,
    ) -> Tensor:
        """Samples along closed walks through random latents: see `Run.interpolate`."""
        self._check_room(count * stops * steps, "ask for fewer or shorter walks")
        z = self.draw(count * stops, seed=seed, prior=prior).unflatten(0, (count, stops))
        ends = z.roll(-1, 1).flatten(0, 1)
        share = torch.arange(steps) / steps
        drawn_from = prior or self.recipe.prior.spec.type
        normal = drawn_from == "normal" or (
            drawn_from == "latent" and self.recipe.latent.distribution == "normal"
        )
        path = (great_circles if normal else lines)(z.flatten(0, 1), ends, share).flatten(0, 1)
        labels = self.labels(count, seed=seed, label=label)
        given = None if labels is None else labels.repeat_interleave(stops * steps)
        samples = self.decode(path, given, seed=seed)
        return samples.reshape(count, stops * steps, *samples.shape[1:])

    def plain_generator(self) -> nn.Module:
        """A copy of the generator without what the engine hangs on it."""
        generator: nn.Module = copy.deepcopy(self.networks.generator)
        generator._forward_hooks.clear()  # they check and cast outputs
        return generator.requires_grad_(False)

    def sample(
        self, count: int, *, seed: int = 0, prior: str | None = None, label: Label | None = None
    ) -> Tensor:
        """Samples float32 `(count, *sample_shape)` on the device.

        A seed always gives the same ones, however many are drawn. `prior` is the type of one of
        the recipe's priors, by default the one that it samples from; `label` a class, by default
        all with their shares in the data. Raises `RunError` where the prior was not fitted, and
        `UserError` where there is not enough memory.
        """
        self._check_room(count, "draw fewer, some at a time with seeds of their own")
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


def lines(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Points `(N, S, D)` at shares `(S,)` of the way from points `(N, D)` to others."""
    return torch.lerp(start[:, None], end[:, None], share[:, None])


def great_circles(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """The same on great circles, so that the lengths of high-dimensional normal latents stay.

    White 2016 (arXiv:1609.04468), section 2.1.
    """
    unit = [each / each.norm(dim=1, keepdim=True) for each in (start, end)]
    angle = (unit[0] * unit[1]).sum(1).clamp(-1, 1).acos()[:, None]
    back, forth = ((each * angle).sin()[:, :, None] for each in (1 - share, share))
    points = (back * start[:, None] + forth * end[:, None]) / angle.sin()[:, :, None]
    # Latents of one direction, or of opposite ones, have no one circle.
    return torch.where(angle.sin()[:, :, None] > 1e-6, points, lines(start, end, share))
