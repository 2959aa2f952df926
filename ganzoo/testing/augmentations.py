"""Checks of augmentations; `losses` has two more."""

from __future__ import annotations

import torch

from ganzoo.testing.attempts import not_finite, pushed
from ganzoo.testing.checks import Subject, Wrong, check
from ganzoo.testing.surroundings import worlds
from ganzoo.testing.trials import parts, trial, trials


@check("augmentation")
def augmented_shape(subject: Subject) -> None:
    """The discriminator reads augmented samples as it would read real ones."""
    for world in worlds(subject):
        for count in (1, 2, 3):
            tried = trial(world, parts(world.spec)[0], count=count)
            x, changed = tried.batch.x, tried.compute()["samples"]
            if changed.shape != x.shape:
                raise Wrong(f"makes {tuple(changed.shape)} of {tuple(x.shape)}; keep the shape")
            if changed.dtype != x.dtype:
                raise Wrong(f"makes {changed.dtype} of {x.dtype}; draw numbers in `dtype=x.dtype`")
            if not_finite(changed):
                raise Wrong(
                    f"makes values that are not finite of samples of shape {world.sample_shape}"
                )


@check("augmentation")
def augmentation_gradient(subject: Subject) -> None:
    """The generator learns through the augmentation, and a gradient penalty through the gradient
    of what is seen through it."""
    for tried in trials(subject):
        x = tried.batch.x.requires_grad_()
        changed = tried.compute()["samples"]
        gradient = None
        if changed.requires_grad:
            total = pushed([changed.square()])
            (gradient,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True)
        if gradient is None or not bool(gradient.any()):
            raise Wrong(
                "no gradient goes through it to the samples; do not detach, round or index by "
                "values"
            )
        try:
            gradient.square().sum().backward()  # as the engine does, through all that there is
        except RuntimeError as error:
            raise Wrong(
                f"cannot be differentiated twice, as R1 and gradient penalties do: {error}; take "
                "operations that torch can differentiate twice"
            ) from error
        if not_finite(gradient) or (x.grad is not None and not_finite(x.grad)):
            raise Wrong("has a gradient that is not finite; a root of 0 does this")


@check("augmentation")
def augmentation_seed(subject: Subject) -> None:
    """A run is the same run again only if all that is random in it follows torch's streams."""
    for tried in trials(subject):
        once, again = tried.compute()["samples"], tried.compute()["samples"]
        if not torch.equal(once, again):
            raise Wrong(
                "makes other samples under the same seed; draw from torch's default stream, "
                "with `torch.rand` and the like, and keep nothing from call to call"
            )


@check("augmentation")
def augmentation_input(subject: Subject) -> None:
    """The batch is read by several phases and terms; each would find it augmented once more."""
    for tried in trials(subject):
        before = tried.batch.x.clone()
        tried.compute()
        if not torch.equal(before, tried.batch.x):
            raise Wrong("changes the samples that it is given; write no operation in place on x")
