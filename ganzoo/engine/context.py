"""What each component is told when it is built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
from torch import nn

from ganzoo.engine.data import Data
from ganzoo.recipe import Recipe
from ganzoo.specs import BuildContext, ComponentSpec


def data_root() -> Path:
    """Where data sets are looked for: `GANZOO_DATA`, or a folder in the user's cache."""
    folder = os.environ.get("GANZOO_DATA")
    return Path(folder).expanduser() if folder else Path(platformdirs.user_cache_dir("ganzoo"))


def build_context(recipe: Recipe) -> BuildContext:
    """What every component of the recipe is told."""
    return BuildContext(
        sample_shape=recipe.data.spec.sample_shape,
        latent_dim=recipe.latent.dim,
        latent_distribution=recipe.latent.distribution,
        num_classes=recipe.data.spec.num_classes,
        iterations=recipe.train.iterations,
        data_root=data_root(),
    )


def context_for(
    spec: ComponentSpec,
    context: BuildContext,
    *,
    data: Data | None,
    networks: Mapping[str, nn.Module],
    asked: frozenset[str] = frozenset(),
    loss: Any = None,
    features: Any = None,
) -> BuildContext:
    """`context` with the networks, the data and the loss that a component said it needs."""
    slots = {need.partition(".")[0] for need in spec.needs}
    return replace(
        context,
        asked=asked,
        networks={slot: networks[slot] for slot in sorted(slots & networks.keys())},
        data=data if "data" in slots else None,
        loss=loss if "loss" in slots else None,
        features=features,
    )
