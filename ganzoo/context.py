"""What the recipe decides once, handed to everything that a component builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganzoo.protocols import Step
from ganzoo.ramps import Ramp, Ramps, value_at

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class BuildContext:
    """What the recipe decides once, handed to every `build`."""

    sample_shape: tuple[int, ...]
    """`(C, H, W)` for images, `(D,)` for points. A network that sees codes is built for points of
    `latent_dim` values; a discriminator that packs m samples for m times the channels."""
    latent_dim: int
    """Length of a latent vector z."""
    latent_distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of every value of z: standard normal, or uniform on [-1, 1]."""
    num_classes: int | None = None
    """Number of classes of the data, or None where it has no labels."""
    conditional: bool = False
    """Whether the network is called with labels, int64 `(N,)`, beside its input."""
    iterations: int = 1
    """Length of the run, in iterations."""
    training_samples: int = 1
    """Number of training samples."""
    data_root: Path = Path()
    """Folder in which data sets are looked for and downloaded to (`GANZOO_DATA`)."""
    cache_root: Path = Path()
    """Folder in which a component may keep what it computes once (`GANZOO_CACHE`)."""
    requested: frozenset[str] = frozenset()
    """Capabilities that other components of the recipe need from this one."""
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    """The networks that the component said it needs, by name."""
    data: Any = None
    """The built data set, for components that need it; networks get it in `initialize` only."""
    device: Any = None
    """Device of the run, a `torch.device`, for what computes when it is built."""
    loss: Any = None
    """The built loss, for metrics that need it."""
    features: Any = None
    """A `ganzoo.evaluation.Features`: real samples as the extractor sees them, for metrics that
    read features or probabilities."""
    step: Callable[..., Step] | None = None
    """For metrics: `step(x, labels=None)` is a step on samples from outside the training set."""
    moving: Callable[[Ramp | Ramps], Tensor] | None = None
    """How the engine keeps a ramp current; use `value`."""

    def value(self, value: float | Ramp | Ramps) -> Tensor:
        """A number of the declaration as a 0-d float32 tensor, which the engine keeps current."""
        import torch

        if isinstance(value, Ramp | Ramps) and self.moving is not None:
            return self.moving(value)
        return torch.tensor(value_at(value, 0, self.iterations))
