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


def _draw(bench: Bench, x: Tensor, seed: int) -> Any:
    with seeded(seed, "noise", device=CPU):
        return bench.component.draw(x)


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
            raise Wrong(
                f"makes values that are not finite of samples of shape {bench.sample_shape}"
            )


@check("augmentation", on=smallest)
def augmentation_gradient(bench: Bench) -> None:
    """The generator learns through the augmentation, and a gradient penalty through the gradient
    of what is seen through it."""
    batch = bench.batch()
    batch.x.requires_grad_()
    changed = bench.compute(batch)["samples"]
    remedy = "do not detach, round or index by values"
    check_derivatives(random_sum([changed.square()]), batch.x, bench.here, remedy)


@check("augmentation", on=smallest)
def augmentation_seed(bench: Bench) -> None:
    """A run is the same run again only if all that is random in it follows torch's streams."""
    once, again = bench.compute()["samples"], bench.compute()["samples"]
    if not torch.equal(once, again):
        raise Wrong(
            "makes other samples under the same seed; draw from torch's default stream, "
            "with `torch.rand` and the like, and keep nothing from call to call"
        )


@check("augmentation", on=smallest)
def augmentation_draw(bench: Bench) -> None:
    """`paired` gives real samples and fakes the same draw, so that nothing but the samples makes a
    difference: all that is random has to be in it."""
    x, draws = bench.batch().x, []
    for seed in range(SEEDS):
        draws.append(_draw(bench, x, seed))
        with streams_at(seed) as moved:
            bench.component(x, draws[-1])
            if stream := moved():
                raise Wrong(
                    f"`__call__` draws from {stream}; draw in `draw`, and let `__call__` apply "
                    "what was drawn"
                )
    leaves = [tree_leaves(draw) for draw in draws]
    if strange := [leaf for leaf in leaves[0] if not isinstance(leaf, Tensor)]:
        raise Wrong(f"`draw` gives {strange[0]!r:.40}; give tensors, on the device of the samples")
    outputs = [bench.component(x, draw) for draw in draws]
    if not torch.equal(outputs[0], bench.component(x, draws[0])):
        raise Wrong("makes other samples of the same draw; put all that is random into `draw`")
    differ = any(
        one.shape != other.shape or not torch.equal(one, other)
        for one, other in zip(leaves[0], leaves[1], strict=True)
    )
    if differ and all(torch.equal(outputs[0], other) for other in outputs):
        raise Wrong("makes the same samples whatever the draw is; let `__call__` use it")


@check("augmentation", on=smallest)
def augmentation_input(bench: Bench) -> None:
    """The batch is read by several phases and terms; each would find it augmented once more."""
    batch = bench.batch()
    before = batch.x.clone()
    bench.compute(batch)
    if not torch.equal(before, batch.x):
        raise Wrong("changes the samples that it is given; write no operation in place on x")
