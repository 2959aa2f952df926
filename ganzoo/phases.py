"""The phases of a loss, and the roles of networks that it wants besides the well-known ones."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Phase(BaseModel):
    """One kind of update that a loss offers to the schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trains: frozenset[str]
    """Names of the networks that this phase trains; all others are frozen."""
    reads_data: bool = True
    """Whether the phase uses real samples; one that does not spares the reading of them."""
    differentiates: frozenset[str] = frozenset()
    """What the loss differentiates with respect to in this phase: `x`, `z`, `fake`."""
    stops_gradients: bool = False
    """Whether the gradient of the terms is meant to differ from that of their values, as behind a
    straight-through estimator or a frozen target."""


class Role(BaseModel):
    """What a loss wants of a further network, which the recipe gives it as `[networks.NAME]`.

    Such a network is never called with labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["generator", "discriminator", "encoder"]
    """The kind of component that can play the role."""
    sees: Literal["samples", "codes", "samples and codes"] = "samples"
    """What the network reads; of a generator what it makes. It fixes the shape for which the
    network is built: codes are points of `latent_dim` values, and samples and codes are points of
    all their values one after the other."""
