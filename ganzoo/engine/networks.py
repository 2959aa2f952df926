"""Builds the networks of a recipe, freezes what a phase does not train, averages the generator."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.engine.context import context_for
from ganzoo.engine.data import Data
from ganzoo.engine.random import seeded
from ganzoo.errors import RunError
from ganzoo.protocols import Augmentation, Networks
from ganzoo.recipe import Recipe
from ganzoo.specs import NETWORKS, BuildContext


def build_networks(
    recipe: Recipe, context: BuildContext, data: Data | None
) -> dict[str, nn.Module]:
    """The recipe's networks by slot, on the CPU.

    Each is initialised from a random stream of its own: the same generator starts from the same
    weights whatever discriminator or encoder it is trained with.
    """
    needs = {
        slot: {need.partition(".")[0] for need in component.spec.needs} & set(recipe.networks)
        for slot, component in recipe.networks.items()
    }
    networks: dict[str, nn.Module] = {}
    for slot in TopologicalSorter(needs).static_order():
        spec = recipe.networks[slot].spec
        told = context_for(spec, context, data=data, networks=networks, asked=recipe.asked(slot))
        with seeded(recipe.train.seed, "initialisation", slot, device=torch.device("cpu")):
            networks[slot] = spec.build(told)
    return {slot: networks[slot] for slot in NETWORKS if slot in networks}


def bundle(networks: Mapping[str, nn.Module]) -> Networks:
    """The networks as losses see them: each returns float32, also under autocast.

    A discriminator that gives something else than logits `(N,)` raises `RunError` when called.
    """
    for slot, network in networks.items():
        network.register_forward_hook(_to_float32)
        if slot == "discriminator":
            network.register_forward_hook(_logits)
    return Networks(**{slot: networks.get(slot) for slot in NETWORKS})  # type: ignore[arg-type]


def augmented(
    networks: Networks, augmentations: Sequence[Augmentation], iteration: Tensor
) -> Networks:
    """The networks with a discriminator that sees everything through the augmentations."""
    if not augmentations:
        return networks
    return replace(
        networks, discriminator=_Augmented(networks.discriminator, augmentations, iteration)
    )


class _Augmented(nn.Module):
    def __init__(
        self, network: nn.Module, augmentations: Sequence[Augmentation], iteration: Tensor
    ) -> None:
        super().__init__()
        self.network, self.augmentations, self.iteration = network, augmentations, iteration

    def forward(self, x: Tensor) -> Any:
        for augmentation in self.augmentations:
            x = augmentation(x, self.iteration)
        return self.network(x)


def _logits(module: nn.Module, inputs: Any, output: Any) -> None:
    """Logits `(N, 1)` against others `(N,)` would make `(N, N)` of a difference, silently."""
    if not (isinstance(output, Tensor) and output.dim() == 1):
        shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise RunError(
            f"the discriminator gives {shown} for a batch of {len(inputs[0])}",
            hint="it should give logits (N,): `.squeeze(1)` takes a last dimension of 1 away",
        )


def _to_float32(module: nn.Module, inputs: Any, output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(part.float() for part in output)
    return output.float()


class Freezer:
    """Lets gradients flow into the modules that a phase trains, and into no other."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        # A module may have weights that it never wants trained.
        self.trainable = {
            slot: [weight for weight in module.parameters() if weight.requires_grad]
            for slot, module in modules.items()
        }

    def thaw_only(self, slots: frozenset[str]) -> None:
        """Freeze every module but those in `slots`.

        With the generator frozen, the fakes of a discriminator phase carry no graph of it.
        """
        for slot, weights in self.trainable.items():
            for weight in weights:
                weight.requires_grad_(slot in slots)


class MovingAverage:
    """Exponential moving average of a network's weights; other state is copied.

    The decay rises from 0.1 to its full value over the first iterations, as (1 + n) / (10 + n),
    so that the random initial weights are forgotten at once.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay
        self._averages: list[Tensor] = list(self.network.parameters())
        self._weights: list[Tensor] = list(network.parameters())
        self._copies = list(self.network.buffers())
        self._buffers = list(network.buffers())

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move the average towards the weights, after iteration number `iteration` (from 0)."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        if self._copies:
            torch._foreach_copy_(self._copies, self._buffers)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Have a network in evaluation mode, and every part of it back in its own mode afterwards.

    Dropout is off and the power iteration of spectral normalisation stands still meanwhile.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor, *, chunk: int = 500) -> Tensor:
    """Samples `(N, *sample_shape)` for latents `(N, latent_dim)`, in evaluation mode, float32.

    Every call continues torch's default random streams only if the generator itself is random.
    """
    with evaluating(generator):
        return torch.cat([generator(part) for part in z.split(chunk)])


def clean_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights and buffers under their own names, on the CPU."""
    return {
        name.replace("_orig_mod.", ""): value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
