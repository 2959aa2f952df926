"""Draws samples from the generator of a run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor, nn

from ganzoo.engine.backend import choose_device
from ganzoo.engine.checkpoints import load_snapshot, load_weights
from ganzoo.engine.codes import draw_from_mixture, load_mixture
from ganzoo.engine.context import build_context, context_for
from ganzoo.engine.data import Data
from ganzoo.engine.networks import build_networks, generate
from ganzoo.engine.random import generator_for, seeded
from ganzoo.engine.session import draw_latents
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder


class Sampler:
    """The trained networks of a run, ready to be sampled from.

    Raises `RunError` if the run has no weights and no checkpoint yet.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, *, data: Data | None = None) -> None:
        """`data` spares building the recipe's data where some network needs them."""
        self.recipe, self.folder = recipe, folder
        self.device = choose_device(recipe.engine.device)
        self.context = build_context(recipe)
        needs_data = any(
            need.partition(".")[0] == "data"
            for component in recipe.networks.values()
            for need in component.spec.needs
        )
        if data is None and needs_data:
            data = recipe.data.spec.build(self.context)
        self.data = data
        self.networks = build_networks(recipe, self.context, data)
        load_weights(folder, self.networks)
        for network in self.networks.values():
            network.to(self.device).eval()

    @cached_property
    def loss(self) -> Any:
        """The recipe's loss, with its trained weights where it has any."""
        spec = self.recipe.loss.spec
        told = context_for(spec, self.context, data=self.data, networks=self.networks)
        loss = spec.build(told)
        if isinstance(loss, nn.Module):
            load_weights(self.folder, {"loss": loss})
            loss.to(self.device).eval()
        return loss

    def _modules(self) -> dict[str, nn.Module]:
        """The networks, and the loss if it has been built and has weights."""
        loss = self.__dict__.get("loss")
        return {**self.networks, **({"loss": loss} if isinstance(loss, nn.Module) else {})}

    def load(self, iteration: int) -> None:
        """Take all weights from the snapshot of an iteration, if there is one."""
        if self.folder.snapshot(iteration).exists():
            load_snapshot(self.folder, iteration, self._modules())

    def draw(self, count: int, *, seed: int = 0, prior: str | None = None) -> Tensor:
        """Latents `(count, latent_dim)` on the CPU; `prior` as for `sample`."""
        stream = generator_for(seed, "samples")
        if (prior or self.recipe.prior.distribution) == "mixture":
            return draw_from_mixture(load_mixture(self.folder), count, stream)
        return draw_latents(self.recipe.latent, count, stream)

    def decode(self, z: Tensor, *, seed: int = 0) -> Tensor:
        """What the generator makes of latents `(N, latent_dim)`, float32 on the device."""
        with seeded(seed, "samples", "noise", device=self.device):
            return generate(self.networks["generator"], z.to(self.device))

    def sample(self, count: int, *, seed: int = 0, prior: str | None = None) -> Tensor:
        """Samples float32 `(count, *sample_shape)` on the device; a seed gives the same ones.

        `prior` is `"latent"` or `"mixture"`, by default what the recipe says. Raises `RunError`
        where the run has no fitted mixture.
        """
        return self.decode(self.draw(count, seed=seed, prior=prior), seed=seed)
