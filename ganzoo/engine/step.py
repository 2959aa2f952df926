"""What a phase computes from one batch, each part once: see `ganzoo.protocols.Step`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.errors import RunError
from ganzoo.protocols import Augmentation, Networks


@dataclass(frozen=True)
class Batch:
    """One batch, in buffers that stay the same tensors for the whole run."""

    x: Tensor
    """Real samples, float32 `(N, *sample_shape)`."""
    z: Tensor
    """Latents, float32 `(N, latent_dim)`."""
    labels: Tensor | None = None
    """Classes of the real samples, int64 `(N,)`."""
    fake_labels: Tensor | None = None
    """Classes of the fakes, int64 `(N,)`, where the recipe is conditional."""
    indices: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    """Positions of the real samples in the training set, int64 `(N,)`."""
    iteration: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Completed iterations, 0-d float32."""

    def parts(self, count: int) -> Iterator[Batch]:
        """The batch in `count` equal parts, which share its memory."""
        if count == 1:
            yield self
            return
        size = len(self.x) // count
        for start in range(0, size * count, size):
            part = slice(start, start + size)
            yield Batch(
                x=self.x[part],
                z=self.z[part],
                labels=None if self.labels is None else self.labels[part],
                fake_labels=None if self.fake_labels is None else self.fake_labels[part],
                indices=self.indices[part],
                iteration=self.iteration,
            )


@dataclass(frozen=True)
class View:
    """How a step calls the networks."""

    conditional: frozenset[str] = frozenset()
    """Names of the networks that are called with labels."""
    pack: int = 1
    """Samples that the discriminator judges together."""
    augmentations: Sequence[Augmentation] = ()
    """Changes of everything that the discriminator sees, in their order."""
    paired: Sequence[bool] = ()
    """For each augmentation, whether a step has one draw for all of its samples."""


PLAIN = View()


class Step:
    """The step of one phase on one batch.

    `trains` are the names of what the phase trains; `differentiates` names the tensors (`x`, `z`,
    `fake`) with respect to which some term of the phase is differentiated.
    """

    def __init__(
        self,
        phase: str,
        networks: Networks,
        batch: Batch,
        *,
        trains: Iterable[str] = (),
        differentiates: Iterable[str] = (),
        view: View = PLAIN,
    ) -> None:
        self.phase, self.networks, self.view = phase, networks, view
        self.trains, self.differentiates = frozenset(trains), frozenset(differentiates)
        self.labels, self.fake_labels = batch.labels, batch.fake_labels
        self.indices, self.iteration = batch.indices, batch.iteration
        self.x, self.z = self._leaf("x", batch.x), self._leaf("z", batch.z)
        self._draws: dict[tuple[int, torch.Size], Any] = {}

    def _leaf(self, name: str, values: Tensor) -> Tensor:
        """The values, requiring a gradient where some term is differentiated with respect to them.

        They share the buffer's memory.
        """
        if name not in self.differentiates or values.requires_grad:
            return values
        return values.detach().requires_grad_()

    @cached_property
    def fake(self) -> Tensor:
        """G(z); with a graph of G where the phase trains the generator, or z is differentiated."""
        fake = self.generate(self.z)
        if not self.trains & {"generator"} and not self.z.requires_grad:
            fake = fake.detach()
        return self._leaf("fake", fake)

    @cached_property
    def real_logits(self) -> Tensor:
        """D(x)."""
        return self.discriminate(self.x)

    @cached_property
    def fake_logits(self) -> Tensor:
        """D(G(z))."""
        return self.discriminate(self.fake, self.fake_labels)

    @cached_property
    def code(self) -> Any:
        """E(x)."""
        return self.encode(self.x)

    def discriminate(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits of samples, through augmentations and packing; by default of the real classes."""
        x = packed(self._augmented(x), self.view.pack)
        return self._call("discriminator", x, self.labels if labels is None else labels)  # type: ignore[no-any-return]

    def generate(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples of latents; by default of the fakes' classes."""
        return self._call("generator", z, self.fake_labels if labels is None else labels)  # type: ignore[no-any-return]

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Any:
        """Codes of samples; by default of the real classes."""
        return self._call("encoder", x, self.labels if labels is None else labels)

    def _call(self, name: str, value: Tensor, labels: Tensor | None) -> Any:
        network = self.networks[name]
        return network(value, labels) if name in self.view.conditional else network(value)

    def _augmented(self, x: Tensor) -> Tensor:
        for number, augmentation in enumerate(self.view.augmentations):
            if self.view.paired[number]:
                key = (number, x.shape)
                if key not in self._draws:
                    self._draws[key] = augmentation.draw(x)
                x = augmentation(x, self._draws[key])
            else:
                x = augmentation(x, augmentation.draw(x))
        return x


def packed(x: Tensor, pack: int) -> Tensor:
    """Samples `(N, C, ...)` as `(N / pack, pack C, ...)`: neighbours share a row.

    PacGAN, Lin et al. 2018 (arXiv:1712.04086), section 3.
    """
    return x if pack == 1 else x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def packed_shape(sample_shape: tuple[int, ...], pack: int) -> tuple[int, ...]:
    """The shape of what a discriminator of packed samples reads."""
    return (pack * sample_shape[0], *sample_shape[1:])


def watch_outputs(networks: Networks, kinds: dict[str, str]) -> None:
    """Let every network return float32, also under autocast.

    A discriminator, by `kinds`, that gives something else than logits `(N,)` raises `RunError`
    when it is called.
    """
    for name, network in networks.items():
        network.register_forward_hook(_to_float32)
        if kinds[name] == "discriminator":
            network.register_forward_hook(_check_logits)


def _to_float32(module: nn.Module, inputs: Any, output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(_to_float32(module, inputs, part) for part in output)
    # float64 stays: gradients are checked in it.
    half = isinstance(output, Tensor) and output.dtype in (torch.bfloat16, torch.float16)
    return output.float() if half else output


def _check_logits(module: nn.Module, inputs: Any, output: Any) -> None:
    """Logits `(N, 1)` against others `(N,)` would make `(N, N)` of a difference, silently."""
    if not (isinstance(output, Tensor) and output.dim() == 1):
        shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise RunError(
            f"the discriminator gives {shown} for a batch of {len(inputs[0])}",
            hint="it should give logits (N,): `.squeeze(1)` takes a last dimension of 1 away",
        )
