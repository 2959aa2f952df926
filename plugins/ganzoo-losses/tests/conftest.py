"""Steps as the engine makes them, and critics whose gradients are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganzoo.api import Augmentation, Networks
from ganzoo.engine.step import Batch, Step, View

Call = Callable[..., Tensor]


def make_step(
    phase: str,
    generator: Call,
    discriminator: Call,
    x: Tensor,
    z: Tensor,
    *,
    labels: Tensor | None = None,
    fake_labels: Tensor | None = None,
    differentiates: Iterable[str] = (),
    pack: int = 1,
    augmentations: Sequence[Augmentation] = (),
    paired: bool = False,
) -> Step:
    """A step of a phase that trains the network of its name.

    With `fake_labels` both networks are called with labels. What is not trained is frozen, as the
    engine does it.
    """
    networks = {"generator": generator, "discriminator": discriminator}
    for name, network in networks.items():
        if isinstance(network, nn.Module):
            network.requires_grad_(name == phase)
    conditional = frozenset(networks) if fake_labels is not None else frozenset()
    return Step(
        phase,
        Networks(networks),  # type: ignore[arg-type]
        Batch(x, z, labels, fake_labels, torch.arange(len(x))),
        trains={phase},
        differentiates=differentiates,
        view=View(conditional, pack, augmentations, [paired] * len(augmentations)),
    )


def minimised(terms: Mapping[str, Tensor]) -> Tensor:
    """What the engine minimises: the sum of the terms that carry a gradient."""
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()


class Slopes(nn.Module):
    """D(x) = w . x, with a slope w for each class where it is called with labels.

    Its gradient with respect to x is w everywhere. `weight` is `(K, *sample_shape)`.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = torch.zeros(len(x), dtype=torch.int64) if labels is None else labels
        return (x * self.weight[labels]).flatten(1).sum(1)


class Quadratic(nn.Module):
    """D(x) = c |x|^2 / 2, whose gradient is c x."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.c * x.flatten(1).square().sum(1) / 2


class Fakes(nn.Module):
    """G(z): z times a weight, shaped as a sample; with labels, plus the label's number."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = (z * self.weight).view(-1, *self.shape)
        return x if labels is None else x + labels.view(-1, *[1] * len(self.shape))
