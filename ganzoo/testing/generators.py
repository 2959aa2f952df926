"""Checks of generators alone; `networks` has those of all networks."""

from __future__ import annotations

from typing import cast

import torch

from ganzoo.errors import describe
from ganzoo.specs import GeneratorSpec
from ganzoo.testing.attempts import Attempt, attempt, attempts, check_shapes, not_finite
from ganzoo.testing.checks import Skip, Subject, Wrong, check, examples
from ganzoo.testing.surroundings import smallest, worlds

LARGE = 5.0
"""A latent that one value of two million goes beyond."""


@check("generator")
def sample_shape(subject: Subject) -> None:
    """Samples of another shape than the data stop a run in its first iteration."""
    for world in worlds(subject):
        check_shapes(
            attempt(world),
            "end `forward` with `.view(-1, *sample_shape)`, or raise UserError in `build` for "
            "samples that it does not make",
        )


@check("generator")
def sample_range(subject: Subject) -> None:
    """Images beyond [-1, 1] are cut off when they are saved and measured, while the
    discriminator sees them whole; a sample that is not finite spoils every figure."""
    for tried in attempts(subject):
        z = tried.inputs(12)
        z[4], z[5], z[6:8] = LARGE, -LARGE, LARGE * z[6:8].sign()
        for training in (False, True):
            (x,) = tried.outputs(z, training=training)
            if not_finite(x):
                raise Wrong(
                    f"gives samples that are not finite {tried.here}, for latents of up to "
                    f"{LARGE:g} deviations; bound what grows"
                )
            farthest = float(x.detach().abs().max())
            if len(tried.world.sample_shape) == 3 and farthest > 1 + 1e-6:
                raise Wrong(
                    f"gives images that reach {farthest:.3g} {tried.here}; they lie in [-1, 1]: "
                    "end `forward` with a tanh"
                )


@check("generator")
def compiled(subject: Subject) -> None:
    """torch.compile falls back to slow Python at what it cannot capture, and says nothing."""
    from torch._dynamo.eval_frame import is_dynamo_supported

    if not is_dynamo_supported():
        raise Skip("torch.compile does not work with this Python")
    declared = cast(type[GeneratorSpec], subject.declared)
    if declared.compiles:
        problem = _graph_break(subject)
        if problem is not None:
            raise Wrong(
                f"torch.compile cannot take `forward` as one graph: {problem}; take out of "
                "`forward` what is no plain torch, or set `compiles = False` in the class"
            )
        return
    if subject.number:
        raise Skip("`compiles` is judged by all examples together, with the first")
    tried = [
        Subject(subject.plugin, declared, example, number)
        for number, example in enumerate(examples(declared))
    ]
    if all(_graph_break(each) is None for each in tried):
        raise Wrong(
            "torch.compile takes `forward` as one graph, but the class says that it does not; "
            "take `compiles = False` out"
        )


def _graph_break(subject: Subject) -> str | None:
    """Why the forward pass is not captured, in training or in evaluation mode, or None."""
    tried = attempt(smallest(subject)[0])
    z = tried.inputs(4)
    for training in (True, False):
        if problem := _uncaptured(tried, z, training):
            return problem
    return None


def _uncaptured(tried: Attempt, z: torch.Tensor, training: bool) -> str | None:
    tried.outputs(z, training=training)  # an error of its own is no matter of the compiler
    torch._dynamo.reset()
    try:
        captured = torch.compile(tried.network, fullgraph=True, backend="eager")
        captured(z)
    except Exception as error:
        return describe(error).partition(" Explanation:")[0].partition(" from user code:")[0]
    finally:
        torch._dynamo.reset()
    return None
