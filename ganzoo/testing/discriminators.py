"""Checks of discriminators and of encoders alone; `networks` has those of all networks."""

from __future__ import annotations

from contextlib import suppress

import torch

from ganzoo.engine.random import generator_for
from ganzoo.testing.attempts import attempt, attempts, check_shapes, not_finite
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.surroundings import worlds

DRAWS = 24


@check("discriminator")
def logit_shape(subject: Subject) -> None:
    """Logits `(N, 1)` against targets `(N,)` make `(N, N)` of a difference without any error."""
    for world in worlds(subject):
        check_shapes(attempt(world), "end `forward` with `.flatten()`")


@check("encoder")
def code_shape(subject: Subject) -> None:
    """The generator decodes codes `(N, latent_dim)` as it would latents, and a loss that asks
    for a variance takes a pair apart."""
    for world in worlds(subject):
        check_shapes(
            attempt(world, asked=frozenset()),
            "return one tensor where 'variance' is not in `context.asked`",
        )
        if "variance" in world.spec.provides:
            check_shapes(
                attempt(world, asked=frozenset({"variance"})),
                "return the pair mean, log-variance where 'variance' is in `context.asked`",
            )


@check("discriminator")
def batch_order(subject: Subject) -> None:
    """A logit that belongs to another sample, or to a place in the batch, judges nothing."""
    for tried in attempts(subject):
        x = tried.inputs(6)
        order = torch.randperm(6, generator=generator_for(0, "order"))
        (logits,), (moved,) = tried.outputs(x), tried.outputs(x[order])
        difference = float((moved - logits[order]).detach().abs().max())
        if not difference <= 1e-4 * max(1.0, float(logits.detach().abs().max())):
            raise Wrong(
                f"gives logits that change by {difference:.3g} when the samples of a batch change "
                f"places, {tried.here}; in evaluation mode nothing may depend on the place"
            )


@check("discriminator")
def input_derivatives(subject: Subject) -> None:
    """A generator learns from the gradient to the samples, and gradient penalties such as R1
    from the gradient of that gradient."""
    for tried in attempts(subject):
        x = tried.inputs(4).requires_grad_()
        (logits,) = tried.outputs(x, training=True)
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True, allow_unused=True)
        if gradient is None or not bool(gradient.any()):
            raise Wrong(
                f"has no gradient to the samples {tried.here}; take out of `forward` what "
                "detaches, rounds or compares"
            )
        if not_finite(gradient):
            raise Wrong(f"has a gradient to the samples that is not finite, {tried.here}")
        weights = [weight for weight in tried.network.parameters() if weight.requires_grad]
        penalty = gradient.square().sum()
        if not penalty.requires_grad:
            raise Wrong(
                "the gradient to the samples has no gradient of its own, so that R1 and gradient "
                "penalties have no effect; give a `torch.autograd.Function` a backward made of "
                "torch operations"
            )
        try:
            penalty.backward()  # as the engine does, through all that there is
        except RuntimeError as error:
            raise Wrong(
                f"cannot be differentiated twice, as R1 and gradient penalties do: {error}; take "
                "operations that torch can differentiate twice"
            ) from error
        if any(each.grad is not None and not_finite(each.grad) for each in (x, *weights)):
            raise Wrong(
                f"has a second derivative that is not finite {tried.here}; a root or a norm of "
                "zero does this: add a small number under it"
            )


@check("discriminator")
def raw_logits(subject: Subject) -> None:
    """Losses take the sigmoid themselves; of a probability they would take it twice, and a
    confident discriminator would teach nothing."""
    tried = next(attempts(subject))
    weights = [weight for weight in tried.network.parameters() if weight.requires_grad]
    if not weights:
        raise Skip("it has no weights that could be changed")
    x = tried.inputs(8)
    stream = generator_for(0, "weights")
    lowest, highest = [], []
    for draw in range(DRAWS):
        # A number without bounds is below 0 for one of two draws of the last layer's weights.
        with torch.no_grad():
            for weight in weights:
                weight.normal_(0, (0.1, 0.5, 2)[draw % 3], generator=stream)
        with suppress(RuntimeError), torch.no_grad():
            (logits,) = tried.outputs(x)
            if not_finite(logits):
                continue
            lowest.append(float(logits.min()))
            highest.append(float(logits.max()))
            if lowest[-1] < 0 or highest[-1] > 1:
                return
    if not lowest:
        raise Skip("no weights drawn at random give finite logits")
    raise Wrong(
        f"gives numbers in [{min(lowest):.3g}, {max(highest):.3g}] whatever its weights are, as a "
        "probability is; return the logit, without a sigmoid"
    )
