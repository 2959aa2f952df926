"""What the built components must be able to do, and what the engine hands to them.

Everything here is annotations and plain data, so that importing it does not import torch. A
plugin need not inherit from any of these classes: having the methods is enough.

State. A loss, regularizer, augmentation, prior, schedule or probe that changes during a run has
`state_dict` and `load_state_dict`, as a `torch.nn.Module` does. The engine moves modules to the
run's device, saves the state of all of them in every checkpoint, and restores it on resuming.
Anything else that changes is lost when a run is resumed.

Observation. A loss, regularizer or augmentation may have a method `observe(step)`. It is called
without gradients after the gradients of each phase were taken, and sees what the phase computed.

Shapes: N is the batch size, C, H, W channels, height and width, D the dimension of points, K the
number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from PIL import Image
    from torch import Tensor, nn


class Networks(Mapping[str, "nn.Module"]):
    """The networks of a run by name, also as attributes: `networks.generator`.

    Each returns float32, whatever precision it computes in. A network that the recipe does not
    have raises `KeyError`, or `AttributeError` as an attribute; a component that declares what it
    `needs` may rely on those networks being there.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = dict(networks)

    def __getitem__(self, name: str) -> nn.Module:
        return self._networks[name]

    def __getattr__(self, name: str) -> nn.Module:
        if name.startswith("_") or name not in self._networks:
            raise AttributeError(f"this recipe has no network '{name}'")
        return self._networks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._networks)

    def __len__(self) -> int:
        return len(self._networks)


class Step(Protocol):
    """What a loss and the regularizers of a phase see.

    Samples, logits and codes are computed when they are first asked for, once, and shared by all
    terms of the phase. Whether the networks are conditional, the discriminator is packed or
    samples are augmented makes no difference to who reads them. The tensors of the batch are
    buffers that the engine refills in place: a component must not keep or change them.
    """

    @property
    def phase(self) -> str:
        """Name of the phase."""
        ...

    @property
    def iteration(self) -> Tensor:
        """Completed iterations, 0-d float32."""
        ...

    @property
    def x(self) -> Tensor:
        """Real samples, float32 `(N, C, H, W)` in [-1, 1] or `(N, D)`."""
        ...

    @property
    def z(self) -> Tensor:
        """Latents, float32 `(N, latent_dim)`, drawn from the recipe's latent distribution."""
        ...

    @property
    def labels(self) -> Tensor | None:
        """Class of each real sample, int64 `(N,)` in [0, K), or None for data without classes."""
        ...

    @property
    def fake_labels(self) -> Tensor | None:
        """Classes of the fakes, int64 `(N,)`, drawn with the shares of the data; None unless the
        recipe is conditional."""
        ...

    @property
    def indices(self) -> Tensor:
        """Position of each real sample in the training set, int64 `(N,)`; empty for samples that
        are not from the training set."""
        ...

    @property
    def networks(self) -> Networks:
        """The networks, as they are."""
        ...

    @property
    def fake(self) -> Tensor:
        """Generated samples G(z) `(N, *sample_shape)`; a graph of G only where the phase trains
        the generator."""
        ...

    @property
    def real_logits(self) -> Tensor:
        """D(x) `(N,)`, or `(N / m,)` where the discriminator packs m samples."""
        ...

    @property
    def fake_logits(self) -> Tensor:
        """D(G(z)), of the shape of `real_logits`."""
        ...

    @property
    def code(self) -> Any:
        """E(x): a tensor `(N, latent_dim)`, or the pair mean, log-variance where the loss needs
        `encoder.variance`."""
        ...

    def discriminate(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits `(N,)` of other samples, through augmentations and packing.

        `labels` are by default those of the real samples.
        """
        ...

    def generate(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples `(N, *sample_shape)` of other latents `(N, latent_dim)`.

        `labels` are by default those of the fakes.
        """
        ...

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Any:
        """Codes of other samples, as `code`; `labels` are by default those of the real samples."""
        ...


class Loss(Protocol):
    """What each network is pushed towards.

    It may be a module with weights of its own; its declaration then says `has_weights`.
    """

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms of the phase `step.phase`, each a 0-d tensor under a short name.

        The terms that carry a gradient are summed and minimised by the networks that the phase
        trains; the others are frozen while this runs. A detached term is a statistic: it is
        logged and nothing else. The call must not wait for the device (no `.item()`).
        """
        ...


class CodingLoss(Loss, Protocol):
    """A loss that knows the latent codes of real samples; its declaration provides `"codes"`."""

    def codes(self, step: Step) -> Tensor:
        """Codes `(N, latent_dim)` of the step's real samples, for the generator to decode."""
        ...


class Augmentation(Protocol):
    """A change to everything that the discriminator sees in training, real or generated."""

    def draw(self, x: Tensor) -> Any:
        """What is random in the change of samples `x` `(N, *sample_shape)`: tensors."""
        ...

    def __call__(self, x: Tensor, draw: Any) -> Tensor:
        """`x` changed, differentiably, as `draw` says; of the same shape."""
        ...


class Regularizer(Protocol):
    """An extra term of one phase, added every k-th iteration.

    A phase in which a regularizer is due is computed in float32 as a whole: derivatives of
    derivatives lose too much in bfloat16.
    """

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """Terms as `Loss.compute` gives them. The engine multiplies by k what is minimised."""
        ...


class Schedule(Protocol):
    """Which phases run in an iteration: a pure function of its arguments, without tensors."""

    def phases(self, iteration: int, statistics: Mapping[str, float]) -> Sequence[Sequence[str]]:
        """Groups of phase names for `iteration` (from 0), in the order they run.

        Each group sees one batch. Gradients are summed over the phases of a group, then each of
        its networks steps once; a group of two phases is a simultaneous update. No phase is named
        twice in a group. `statistics` are the means over the last `ScheduleSpec.observes`
        iterations, empty for a schedule that observes none.
        """
        ...


class Prior(Protocol):
    """Where latents come from when a trained generator is sampled.

    Its state, tensors by name from `state_dict`, is saved as safetensors.
    """

    def fit(self, codes: Tensor) -> None:
        """Fit to codes `(M, latent_dim)` of real samples, float32 on the CPU."""
        ...

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents `(count, latent_dim)`, float32 on the CPU, drawn from `generator`."""
        ...


class Probe(Protocol):
    """Measures the networks while they are trained, and leaves them and torch's default random
    streams as they were. It may wait for the device."""

    def before(self, phases: Sequence[str], step: Step) -> None:
        """A group of phases is about to run in an iteration that is measured."""
        ...

    def after(self, phases: Sequence[str], step: Step) -> None:
        """The group has run on the batch of `step`."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The values by name, after the last group of the iteration."""
        ...

    def draw(self) -> Image.Image | None:
        """A picture of the iteration, or None."""
        ...


class Metric(Protocol):
    """Measures generated samples against real ones, in the manner of torchmetrics."""

    def update(self, samples: Tensor, *, real: bool, labels: Tensor | None = None) -> None:
        """Take in a batch of what `MetricSpec.reads` says, float32 on the CPU.

        Samples are `(N, *sample_shape)`, images in [-1, 1]. `labels`, int64 `(N,)`, are the
        classes of real samples, and those that were requested of generated ones; None for data
        without classes and for generators that are not conditional.
        """
        ...

    def compute(self) -> Mapping[str, float]:
        """The values by name, over everything taken in."""
        ...


class Density(Protocol):
    """The known distribution of a synthetic data set."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density, `(N, D)` to `(N,)`, in nats."""
        ...


@dataclass(frozen=True)
class RunInfo:
    """What a lifecycle hook gets to know about a run."""

    folder: Path
    """The run's folder; a plugin may write into a sub-folder of its own."""
    name: str
    """The recipe's name."""
    recipe: Mapping[str, Any]
    """The resolved recipe as plain tables."""
    start_iteration: int
    """0, or the iteration of the checkpoint from which the run resumes."""
