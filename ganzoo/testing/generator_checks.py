"""Checks of generators, of discriminators and of encoders alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from ganzoo.engine.random import generator_for
from ganzoo.errors import UserError, describe
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import first, shapes_and_labels, smallest, variants
from ganzoo.testing.checks import Skip, Subject, Wrong, check, examples
from ganzoo.testing.network_checks import check_shapes
from ganzoo.testing.tensors import check_derivatives, largest_difference, not_finite, trainable

LARGE = 5.0
"""A latent that one value of two million goes beyond."""
DRAWS = 24


@check("generator", on=shapes_and_labels)
def sample_shape(bench: Bench) -> None:
    """Samples of another shape than the data stop a run in its first iteration."""
    check_shapes(
        bench,
        "end `forward` with `.view(-1, *sample_shape)`, or raise UserError in `build` for samples "
        "that it does not make",
    )


@check("generator", on=variants)
def sample_range(bench: Bench) -> None:
    """Images beyond [-1, 1] are cut off when they are saved and measured, while the
    discriminator sees them whole; a sample that is not finite spoils every value."""
    z, *labels = bench.inputs(12)
    z[4], z[5], z[6:8] = LARGE, -LARGE, LARGE * z[6:8].sign()
    for training in (False, True):
        (x,) = bench.outputs((z, *labels), training=training)
        if not_finite(x):
            raise Wrong(
                f"gives samples that are not finite {bench.here}, for latents of up to {LARGE:g} "
                "deviations; bound what grows"
            )
        farthest = float(x.detach().abs().max())
        if len(bench.sample_shape) == 3 and farthest > 1 + 1e-6:
            raise Wrong(
                f"gives images that reach {farthest:.3g} {bench.here}; they lie in [-1, 1]: end "
                "`forward` with a tanh"
            )


@check("generator")
def compiled(subject: Subject) -> None:
    """torch.compile falls back to slow Python at what it cannot capture, and says nothing."""
    from torch._dynamo.eval_frame import is_dynamo_supported

    declared: Any = subject.declared
    if not is_dynamo_supported():
        raise Skip("torch.compile does not work with this Python")
    if declared.compiles and (problem := _graph_break(subject)):
        raise Wrong(
            f"torch.compile cannot take `forward` as one graph: {problem}; take out of `forward` "
            "what is no plain torch, or set `compiles = False` in the class"
        )
    if subject.number and not declared.compiles:
        raise Skip("`compiles` is judged by all examples together, with the first")
    each_example = [replace(subject, example=each) for each in examples(declared)]
    if not declared.compiles and not any(map(_graph_break, each_example)):
        raise Wrong(
            "torch.compile takes `forward` as one graph, but the class says that it does not; "
            "take `compiles = False` out"
        )


def _graph_break(subject: Subject) -> str | None:
    """Why the forward pass is not captured, in training or in evaluation mode, or None."""
    bench = smallest(subject)[0]
    for training in (True, False):
        # An error of its own is no matter of the compiler.
        bench.outputs(bench.inputs(4), training=training)
        torch._dynamo.reset()
        try:
            captured: Any = torch.compile(bench.component, fullgraph=True, backend="eager")
            captured(*bench.inputs(4))
        except Exception as error:
            return describe(error).partition(" Explanation:")[0].partition(" from user code:")[0]
        finally:
            torch._dynamo.reset()
    return None


@check("discriminator", on=shapes_and_labels)
def logit_shape(bench: Bench) -> None:
    """Logits `(N, 1)` against targets `(N,)` make `(N, N)` of a difference without any error."""
    check_shapes(bench, "end `forward` with `.flatten()`")


@check("discriminator", on=first)
def packed_logits(bench: Bench) -> None:
    """With `pack = 2` a discriminator is built for samples of twice the channels, and gives one
    logit for both."""
    packing = replace(bench, spec=bench.spec.model_copy(update={"pack": 2}))
    try:
        packing.component  # noqa: B018
    except UserError as error:
        raise Skip(f"it refuses packed samples: {error.message}") from error
    check_shapes(packing, "build it for `context.sample_shape`, which counts the packed channels")


@check("encoder", on=shapes_and_labels)
def code_shape(bench: Bench) -> None:
    """The generator decodes codes `(N, latent_dim)` as it would latents, and a loss that asks
    for a variance takes a pair apart."""
    where = "where 'variance' is {}in `context.requested`"
    plain = replace(bench, requested=frozenset())
    check_shapes(plain, "return one tensor " + where.format("not "))
    if "variance" in bench.spec.provides:
        pair = replace(bench, requested=frozenset({"variance"}))
        check_shapes(pair, "return the pair mean, log-variance " + where.format(""))


@check("discriminator", on=variants)
def batch_order(bench: Bench) -> None:
    """A logit that belongs to another sample, or to a place in the batch, judges nothing."""
    inputs, order = bench.inputs(6), torch.randperm(6, generator=generator_for(0, "order"))
    (logits,), (moved,) = bench.outputs(inputs), bench.outputs(tuple(x[order] for x in inputs))
    if apart := largest_difference([logits[order]], [moved]):
        raise Wrong(
            f"gives logits that change by {apart:.3g} when the samples of a batch change places, "
            f"{bench.here}; in evaluation mode nothing may depend on the place"
        )


@check("discriminator", on=variants)
def input_derivatives(bench: Bench) -> None:
    """A generator learns from the gradient to the samples, and gradient penalties such as R1
    from the gradient of that gradient."""
    x, *labels = bench.inputs(4)
    (logits,) = bench.outputs((x.requires_grad_(), *labels), training=True)
    weights, remedy = trainable(bench.component), "detaches, rounds or compares"
    check_derivatives(logits.sum(), x, bench.here, f"take out of `forward` what {remedy}")
    for name, weight in weights.items():
        if weight.grad is not None and not_finite(weight.grad):
            raise Wrong(f"a gradient penalty has a gradient to '{name}' that is not finite")


@check("discriminator", on=first)
def raw_logits(bench: Bench) -> None:
    """Losses take the sigmoid themselves; of a probability they would take it twice, and a
    confident discriminator would teach nothing."""
    weights, inputs = list(trainable(bench.component).values()), bench.inputs(8)
    if not weights:
        raise Skip("it has no weights that could be changed")
    stream, kept = generator_for(0, "weights"), []
    for draw in range(DRAWS):
        # A number without bounds is below 0 for one of two draws of the last layer's weights.
        with suppress(RuntimeError), torch.no_grad():
            for weight in weights:
                weight.normal_(0, (0.1, 0.5, 2)[draw % 3], generator=stream)
            (logits,) = bench.outputs(inputs)
            kept += [] if not_finite(logits) else [logits]
    if not kept:
        raise Skip("no weights drawn at random give finite logits")
    lowest, highest = float(torch.cat(kept).min()), float(torch.cat(kept).max())
    if lowest >= 0 and highest <= 1:
        raise Wrong(
            f"gives numbers in [{lowest:.3g}, {highest:.3g}] whatever its weights are, as a "
            "probability is; return the logit, without a sigmoid"
        )
