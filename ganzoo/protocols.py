"""What the built components must be able to do, and what the engine hands to them.

Everything here is annotations and plain data, so that importing it does not import torch. A
plugin need not inherit from any of these classes: having the methods is enough.

Shapes: N is the batch size, C, H, W channels, height and width, D the dimension of points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image
    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """One batch, in buffers that stay the same tensors for the whole run.

    The engine refills the buffers in place; a loss must not keep or change them.
    """

    x: Tensor
    """Real samples, float32 `(N, C, H, W)` in [-1, 1] or `(N, D)`."""
    z: Tensor
    """Latents, float32 `(N, latent_dim)`, drawn from the recipe's latent distribution."""
    labels: Tensor | None
    """Class of each real sample, int64 `(N,)` in [0, num_classes), where the data has classes."""
    indices: Tensor
    """Position of each real sample in the training set, int64 `(N,)`."""
    iteration: Tensor
    """Completed iterations, 0-d float32, for what changes in the course of a run."""


@dataclass(frozen=True)
class Networks:
    """The networks of a run. Each returns float32, whatever precision it computes in.

    A component that declares what it `needs` may rely on those networks being there.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module


class Loss(Protocol):
    """What each network is pushed towards.

    It may be a module with weights of its own; its declaration then says `has_weights`.
    """

    def compute(self, phase: str, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """Terms of one phase, each a 0-d tensor under a short name.

        The terms that carry a gradient are summed and minimised by the networks that the phase
        trains; the others are frozen while this runs. A detached term is a statistic: it is
        logged and nothing else. The call must not wait for the device (no `.item()`).
        """
        ...


class CodingLoss(Loss, Protocol):
    """A loss that knows the latent codes of real samples; its declaration provides `"codes"`."""

    def codes(self, networks: Networks, batch: Batch) -> Tensor:
        """Codes `(N, latent_dim)` of the batch's real samples, for the generator to decode."""
        ...


class Augmentation(Protocol):
    """A change to everything that the discriminator sees in training, real or generated."""

    def __call__(self, x: Tensor, iteration: Tensor) -> Tensor:
        """`x` `(N, *sample_shape)` changed, differentiably; `iteration` as in `Batch`."""
        ...


class Regularizer(Protocol):
    """An extra term of one phase, computed in float32 every k-th iteration."""

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """Terms as `Loss.compute` gives them. The engine multiplies by k what is minimised."""
        ...


class Schedule(Protocol):
    """Which phases run in an iteration and how far each may step: pure functions, no tensors."""

    def phases(self, iteration: int, statistics: Mapping[str, float]) -> Sequence[Sequence[str]]:
        """Groups of phase names for `iteration` (from 0), in the order they run.

        Each group sees one batch. All gradients of a group are taken before any of its
        networks moves, so a group of two is a simultaneous update. `statistics` are the means
        of the last `ScheduleSpec.observes` iterations, empty for a schedule that observes none.
        """
        ...

    def lr_factor(self, phase: str, iteration: int) -> float:
        """Factor in [0, 1] on the learning rate of the networks that `phase` trains."""
        ...


class Probe(Protocol):
    """Looks at the networks while they are trained, and leaves them and torch's default random
    streams as they were. It may wait for the device."""

    def before(self, phases: Sequence[str], networks: Networks, batch: Batch) -> None:
        """A group of phases is about to be run in an iteration that the probe looks at."""
        ...

    def after(self, phases: Sequence[str], networks: Networks, batch: Batch) -> None:
        """The group has been run; the batch is the one that it saw."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The figures by name, after the last group of the iteration."""
        ...

    def draw(self) -> Image.Image | None:
        """A picture of what was seen in the iteration, or None."""
        ...


class Metric(Protocol):
    """A figure about samples, in the manner of torchmetrics."""

    def update(self, samples: Tensor, *, real: bool) -> None:
        """Take in a batch of what `MetricSpec.reads` says, float32 on the CPU.

        Samples are `(N, *sample_shape)`, images in [-1, 1].
        """
        ...

    def compute(self) -> Mapping[str, float]:
        """The figures by name, over everything taken in."""
        ...


class Density(Protocol):
    """The known law of a synthetic data set."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density, `(N, D)` to `(N,)`, in nats."""
        ...


@dataclass(frozen=True)
class RunInfo:
    """What a lifecycle hook is told about a run."""

    folder: Path
    """The run's folder; a plugin may write into a sub-folder of its own."""
    name: str
    """The recipe's name."""
    recipe: Mapping[str, Any]
    """The resolved recipe as plain tables."""
    start_iteration: int
    """0, or the iteration of the checkpoint from which the run goes on."""
