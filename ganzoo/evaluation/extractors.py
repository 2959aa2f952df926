"""Features of samples by the extractor of a recipe; see `ganzoo.specs.ExtractorSpec`.

The name of each value that is computed from features names the extractor: `fid[classifier@3f2a]`
is computed in the features of a classifier whose weights have a hash that starts with 3f2a.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganzoo.errors import UserError
from ganzoo.recipe import Component, Recipe
from ganzoo.registry import Entry, installed
from ganzoo.specs import BuildContext, ExtractorSpec

CHUNK = 500
"""Samples that go through an extractor at once."""


class Extraction(NamedTuple):
    """Features and probabilities of N samples, float32 on the CPU."""

    features: Tensor
    """`(N, F)`."""
    probabilities: Tensor | None
    """Probabilities of the extractor's classes, `(N, K)`, or None where it has no classes."""


@dataclass(frozen=True)
class Extractor:
    """A network that turns samples into features."""

    type: str
    """Type of the component."""
    network: nn.Module
    """x `(N, *sample_shape)`, images in [-1, 1], to features `(N, F)` and, where the network
    has classes, logits `(N, K)`, else None."""
    note: str
    """What a reader of the values has to know of it."""

    @cached_property
    def digest(self) -> str:
        """Hash of the weights, hexadecimal; empty where there are none."""
        state = self.network.state_dict()
        if not state:
            return ""
        digest = hashlib.sha256()
        for key in sorted(state):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """The type and the first four digits of the hash, as in the names of values."""
        return f"{self.type}@{self.digest[:4]}" if self.digest else self.type

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Extraction:
        """Features and probabilities of samples `(N, *sample_shape)`, on the extractor's device."""
        device = next((weight.device for weight in self.network.parameters()), x.device)
        features, logits = [], []
        for part in x.split(CHUNK):
            part_features, part_logits = self.network(part.to(device))
            features.append(part_features.float().cpu())
            if part_logits is not None:
                logits.append(part_logits.float().cpu())
        probabilities = torch.cat(logits).softmax(1) if logits else None
        return Extraction(torch.cat(features), probabilities)


def chosen_extractor(recipe: Recipe) -> Component[ExtractorSpec]:
    """The recipe's extractor, or of all installed ones the one that prefers its data most.

    Raises `UserError` where no extractor suits the data.
    """
    if recipe.extractor is not None:
        return recipe.extractor
    spec = recipe.data.spec

    def preference(entry: Entry) -> float:
        extractor: Any = entry.spec
        return float(extractor.preference(spec.sample_shape, spec.num_classes))

    best = max(installed().entries("extractor"), key=preference)
    if preference(best) <= 0:
        raise UserError(
            f"no feature extractor suits dataset '{recipe.data.name}'",
            hint="name one in a table [extractor]",
        )
    return Component(best.qualified, best.spec(), best.plugin)  # type: ignore[arg-type]


def build_extractor(component: Component[ExtractorSpec], context: BuildContext) -> Extractor:
    """Build an extractor on the context's device; torch's random streams stay as they are.

    Raises `UserError` where the extractor does not suit the data or its weights are missing.
    """
    # Layers are filled with random numbers before they are given their weights.
    with torch.random.fork_rng([]):
        network = component.spec.build(context)
    network = network.eval().requires_grad_(False).to(context.device)
    return Extractor(component.spec.type, network, str(getattr(network, "note", "")))
