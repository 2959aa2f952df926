"""Helpers for networks: evaluation mode, freezing, sampling in chunks, weights to be saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

CHUNK = 500
"""Latents that go through a generator at once when it is sampled."""


class Freezer:
    """Lets gradients flow into the modules that a phase trains, and into no other."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        # A module may have weights that it never wants trained.
        self.trainable = {
            name: [weight for weight in module.parameters() if weight.requires_grad]
            for name, module in modules.items()
        }

    def thaw_only(self, names: frozenset[str]) -> None:
        """Freeze every module but those in `names`.

        With the generator frozen, the fakes of a discriminator phase carry no graph of it.
        """
        for name, weights in self.trainable.items():
            for weight in weights:
                weight.requires_grad_(name in names)


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode, and every part of them back into its own mode afterwards.

    Dropout is off and the power iteration of spectral normalisation stands still meanwhile.
    """
    modes = [(part, part.training) for network in networks for part in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """Samples `(N, *sample_shape)` for latents `(N, latent_dim)`, in evaluation mode, float32.

    `labels` `(N,)` are for a conditional generator. Every call continues torch's default random
    streams only if the generator itself is random.
    """
    chunks = [each.split(CHUNK) for each in (z, labels) if each is not None]
    with evaluating(generator):
        return torch.cat([generator(*each) for each in zip(*chunks, strict=True)])


def clean_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights and buffers under their own names, on the CPU."""
    return {
        name.replace("_orig_mod.", ""): value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }


def misfit(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Why a state is not one of a module: another name, shape or type; empty where it is one."""
    own = module.state_dict()
    for name in [*own, *state]:
        if name not in state or name not in own:
            return f"'{name}' is " + ("missing" if name in own else "unknown")
        here, there = own[name], state[name]
        if here.shape != there.shape:
            return f"'{name}' has the shape {tuple(there.shape)}, not {tuple(here.shape)}"
        if here.dtype != there.dtype:
            return f"'{name}' is {there.dtype}, not {here.dtype}"
    return ""
