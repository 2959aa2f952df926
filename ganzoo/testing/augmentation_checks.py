"""Checks of augmentations; `loss_checks` has two more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ganzoo.engine.random import seeded
from ganzoo.testing.bench import CPU, Bench
from ganzoo.testing.benches import every_shape, smallest
from ganzoo.testing.checks import Wrong, check
from ganzoo.testing.effects import streams_at
from ganzoo.testing.tensors import check_derivatives, not_finite, random_sum

SEEDS = 6
"""Draws, of which some should change a batch of eight samples in different ways."""


@check("augmentation", on=every_shape)
def augmented_shape(bench: Bench) -> None:
    """The discriminator reads augmented samples as it would read real ones."""
    for count in (1, 2, 3):
        batch = bench.batch(count)
        x, changed = batch.x, bench.compute(batch)["samples"]
        if changed.shape != x.shape:
            raise Wrong(f"makes {tuple(changed.shape)} of {tuple(x.shape)}; keep the shape")
        if changed.dtype != x.dtype:
            raise Wrong(f"makes {changed.dtype} of {x.dtype}; draw numbers in `dtype=x.dtype`")
        if not_finite(changed):
            raise Wrong(f"makes values that are not finite {bench.here}; bound what is divided by")


@check("augmentation", on=smallest)
def augmentation_gradient(bench: Bench) -> None:
    """The generator learns through the augmentation, and a gradient penalty through the gradient
    of what is seen through it."""
    batch = bench.batch()
    batch.x.requires_grad_()
    total = random_sum([bench.compute(batch)["samples"].square()])
    check_derivatives(total, batch.x, bench.here, "do not detach, round or index by values")


@check("augmentation", on=smallest)
def augmentation_seed(bench: Bench) -> None:
    """A run is the same run again only if all that is random in it follows torch's streams."""
    if not torch.equal(bench.compute()["samples"], bench.compute()["samples"]):
        raise Wrong(
            "makes other samples under the same seed; draw from torch's default stream, with "
            "`torch.rand` and the like, and keep nothing from call to call"
        )


@check("augmentation", on=smallest)
def augmentation_draw(bench: Bench) -> None:
    """`paired` gives real samples and fakes the same draw, so that nothing but the samples makes a
    difference: all that is random has to be in it."""
    x, augmentation = bench.batch().x, bench.component
    draws: list[Any] = []
    for seed in range(SEEDS):
        with seeded(seed, "noise", device=CPU):
            draws.append(augmentation.draw(x))
        with streams_at(seed) as moved:
            augmentation(x, draws[-1])
            if stream := moved():
                raise Wrong(
                    f"`__call__` draws from {stream}; draw in `draw`, and let `__call__` apply it"
                )
    first, second = (tree_leaves(draw) for draw in draws[:2])
    if strange := [leaf for leaf in first if not isinstance(leaf, Tensor)]:
        raise Wrong(f"`draw` gives {strange[0]!r:.40}; give tensors, on the device of the samples")
    outputs = [augmentation(x, draw) for draw in draws]
    if not torch.equal(outputs[0], augmentation(x, draws[0])):
        raise Wrong("makes other samples of the same draw; put all that is random into `draw`")
    alike = all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    if not alike and all(torch.equal(outputs[0], other) for other in outputs):
        raise Wrong("makes the same samples whatever the draw is; let `__call__` use it")


@check("augmentation", on=smallest)
def augmentation_input(bench: Bench) -> None:
    """The batch is read by several phases and terms; each would find it augmented once more."""
    batch = bench.batch()
    before = batch.x.clone()
    bench.compute(batch)
    if not torch.equal(before, batch.x):
        raise Wrong("changes the samples that it is given; write no operation in place on x")
