"""Draws samples from the generator of a run."""

from __future__ import annotations

from torch import Tensor

from ganzoo.engine.backend import choose_device
from ganzoo.engine.checkpoints import load_weights
from ganzoo.engine.codes import draw_from_mixture, load_mixture
from ganzoo.engine.context import build_context
from ganzoo.engine.networks import build_networks, generate
from ganzoo.engine.random import generator_for, seeded
from ganzoo.engine.session import draw_latents
from ganzoo.recipe import Recipe
from ganzoo.runs import RunFolder


class Sampler:
    """The trained networks of a run, ready to be sampled from.

    Raises `RunError` if the run has no weights and no checkpoint yet.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder) -> None:
        self.recipe, self.folder = recipe, folder
        self.device = choose_device(recipe.engine.device)
        context = build_context(recipe)
        needs_data = any(
            need.partition(".")[0] == "data"
            for component in recipe.networks.values()
            for need in component.spec.needs
        )
        data = recipe.data.spec.build(context) if needs_data else None
        self.networks = build_networks(recipe, context, data)
        load_weights(folder, self.networks)
        for network in self.networks.values():
            network.to(self.device).eval()

    def sample(self, count: int, *, seed: int = 0, prior: str | None = None) -> Tensor:
        """Samples float32 `(count, *sample_shape)` on the device; a seed gives the same ones.

        `prior` is `"latent"` or `"mixture"`, by default what the recipe says. Raises `RunError`
        where the run has no fitted mixture.
        """
        stream = generator_for(seed, "samples")
        if (prior or self.recipe.prior.distribution) == "mixture":
            z = draw_from_mixture(load_mixture(self.folder), count, stream)
        else:
            z = draw_latents(self.recipe.latent, count, stream)
        with seeded(seed, "samples", "noise", device=self.device):
            return generate(self.networks["generator"], z.to(self.device))
