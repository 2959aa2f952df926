"""Checks of networks: of generators, of discriminators, of encoders, and of all of them alike."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganzoo.engine.random import generator_for
from ganzoo.errors import UserError, describe
from ganzoo.specs import NETWORKS
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import conditional, first, shapes_and_labels, smallest, variants
from ganzoo.testing.checks import Skip, Subject, Wrong, check, examples
from ganzoo.testing.effects import one_line
from ganzoo.testing.modes import META, advice, other_device
from ganzoo.testing.tensors import (
    check_derivatives,
    check_gradients,
    largest_difference,
    not_finite,
    random_sum,
    trainable,
)


def check_shapes(bench: Bench, remedy: str) -> None:
    """Raise `Wrong` unless batches of 1, 2 and 3 give float32 of the expected shapes and device."""
    # Normalisation over a batch has nothing to go by in one sample.
    for count, training in ((1, False), (2, False), (2, True), (3, False), (3, True)):
        outputs = bench.outputs(bench.inputs(count), training=training)
        shapes, expected = [tuple(each.shape) for each in outputs], bench.expected(count)
        if shapes != expected:
            shown, wanted = (" and ".join(map(str, each)) for each in (shapes, expected))
            problem = f"{count} {bench.reads} give {bench.gives} of shape {shown}, not {wanted}"
            raise Wrong(f"{problem}, {bench.here}; {remedy}")
        if any(each.device != bench.device for each in outputs):
            problem = f"gives {bench.gives} that are on the CPU whatever the device"
            raise Wrong(f"{problem}; {advice(bench.component)}")
        if strange := [each.dtype for each in outputs if each.dtype != torch.float32]:
            raise Wrong(
                f"gives {bench.gives} in {strange[0]}; compute in that of the input, float32"
            )


@check("generator", on=shapes_and_labels)
def sample_shape(bench: Bench) -> None:
    """Samples of another shape than the data stop a run in its first iteration."""
    refusal = "raise UserError in `build` for samples that it does not make"
    check_shapes(bench, f"end `forward` with `.view(-1, *sample_shape)`, or {refusal}")


@check("generator", on=variants)
def sample_range(bench: Bench) -> None:
    """Images beyond [-1, 1] are cut off where they are saved, and one NaN spoils every value."""
    z, *labels = bench.inputs(12)
    z[4], z[5], z[6:8] = 5, -5, 5 * z[6:8].sign()  # one value of two million goes beyond
    for training in (False, True):
        (x,) = bench.outputs((z, *labels), training=training)
        if not_finite(x):
            problem = f"gives samples that are not finite {bench.here}"
            raise Wrong(f"{problem}, for latents of up to 5 deviations; bound what grows")
        farthest = x.abs().max().item()
        if len(bench.sample_shape) == 3 and farthest > 1 + 1e-6:
            problem = f"gives images that reach {farthest:.3g} {bench.here}"
            raise Wrong(f"{problem}; they lie in [-1, 1]: end `forward` with a tanh")


@check("generator")
def compiled(subject: Subject) -> None:
    """torch.compile falls back to slow Python at what it cannot capture, and says nothing."""
    declared: Any = subject.declared
    if not torch._dynamo.eval_frame.is_dynamo_supported():
        raise Skip("torch.compile does not work with this Python")
    if declared.compiles:
        if problem := _graph_break(subject):
            remedy = "take out of `forward` what is no plain torch, or set `compiles = False`"
            raise Wrong(f"torch.compile cannot take `forward` as one graph: {problem}; {remedy}")
    elif subject.number:
        raise Skip("`compiles` is judged by all examples together, with the first")
    elif not any(_graph_break(replace(subject, example=each)) for each in examples(declared)):
        problem = "torch.compile takes `forward` as one graph, but the class says that it does not"
        raise Wrong(f"{problem}; take `compiles = False` out")


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
    """With `pack = 2` a discriminator reads twice the channels, and gives one logit for both."""
    packing = replace(bench, spec=bench.spec.model_copy(update={"pack": 2}))
    try:
        packing.component  # noqa: B018
    except UserError as error:
        raise Skip(f"it refuses packed samples: {error.message}") from error
    check_shapes(packing, "build it for `context.sample_shape`, which counts the packed channels")


@check("encoder", on=shapes_and_labels)
def code_shape(bench: Bench) -> None:
    """The generator decodes codes as it would latents; a loss takes mean and variance apart."""
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
        problem = f"its logits change by {apart:.3g} when the samples of a batch change places"
        raise Wrong(f"{problem}, {bench.here}; in evaluation mode nothing may depend on the place")


@check("discriminator", on=variants)
def input_derivatives(bench: Bench) -> None:
    """A generator learns from the gradient to the samples, R1 from the gradient of that one."""
    x, *labels = bench.inputs(4)
    (logits,) = bench.outputs((x.requires_grad_(), *labels), training=True)
    remedy = "take out of `forward` what detaches, rounds or compares"
    check_derivatives(logits.sum(), x, bench.here, remedy)
    check_gradients(bench.component, " where a gradient penalty is trained")


@check("discriminator", on=first)
def raw_logits(bench: Bench) -> None:
    """Losses take the sigmoid themselves; taken twice, a sure discriminator teaches nothing."""
    weights, inputs = trainable(bench.component).values(), bench.inputs(8)
    if not weights:
        raise Skip("it has no weights that could be changed")
    stream, kept = generator_for(0, "weights"), []
    for draw in range(24):
        # A number without bounds is below 0 for one of two draws of the last layer's weights.
        with suppress(RuntimeError), torch.no_grad():
            for weight in weights:
                weight.normal_(0, (0.1, 0.5, 2)[draw % 3], generator=stream)
            (logits,) = bench.outputs(inputs)
            kept += [] if not_finite(logits) else [logits]
    if not kept:
        raise Skip("no weights drawn at random give finite logits")
    lowest, highest = (each.item() for each in torch.cat(kept).aminmax())
    if lowest >= 0 and highest <= 1:
        problem = f"gives numbers in [{lowest:.3g}, {highest:.3g}] whatever its weights are"
        raise Wrong(f"{problem}, as a probability is; return the logit, without a sigmoid")


@check(*NETWORKS, on=variants)
def parameter_gradients(bench: Bench) -> None:
    """A parameter without a gradient stays as it was drawn, and counts as one that learns."""
    weights = trainable(bench.component)
    if not weights:
        raise Skip("it has no weights to train")
    total = random_sum(bench.outputs(bench.inputs(4), training=True))
    if "log_prob" in bench.context.requested and not bench.conditional:
        total = total + bench.component.log_prob(bench.batch(4).x).sum()
    if not total.requires_grad:
        remedy = "take `no_grad`, `detach` and rounding out of `forward`"
        raise Wrong(f"its {bench.gives} carry no gradient; {remedy}")
    total.backward()
    without = [name for name, weight in weights.items() if weight.grad is None]
    # What else it can do may train them, such as features that a loss asks for.
    others = bench.spec.provides - {"classes", "variance", "log_prob"}
    if without and not (others and len(without) < len(weights)):
        more = f", nor do {len(without) - 1} others" if len(without) > 1 else ""
        remedy = "use it in `forward`, or freeze it by `requires_grad_(False)`"
        raise Wrong(f"'{without[0]}' gets no gradient{more}; {remedy}, or make it a buffer")
    check_gradients(bench.component, "; add a small number under a root, a logarithm or a norm")
    if not any(weight.grad is not None and bool(weight.grad.any()) for weight in weights.values()):
        raise Wrong("all gradients of its weights are zero; take out of `forward` what rounds")


@check(*NETWORKS, on=variants)
def state_dict_round_trip(bench: Bench) -> None:
    """A run is resumed and sampled from state dicts: one must hold all that a network became."""
    inputs = bench.inputs(4)
    if list(bench.component.state_dict()):
        bench.outputs(bench.inputs(4, seed=1), training=True)  # buffers may change by it
    other = bench.build(1, initialized=False)
    try:
        other.load_state_dict(bench.component.state_dict())
    except RuntimeError as error:
        problem = f"a second build cannot load the state dict of the first: {error}"
        raise Wrong(f"{problem}; give every build the same parameters and buffers") from error
    if apart := largest_difference(bench.outputs(inputs), bench.outputs(inputs, network=other)):
        problem = f"after loading a state dict its {bench.gives} differ by {apart:.3g}"
        remedy = "in `build` or in `initialize`, a parameter or a persistent buffer"
        raise Wrong(f"{problem}; make what decides them, {remedy}")


@check(*NETWORKS, on=variants)
def deep_copy(bench: Bench) -> None:
    """A moving average starts as a copy; one that shares weights with the network is none."""
    inputs = bench.inputs(4)
    before = bench.outputs(inputs)
    try:
        other = copy.deepcopy(bench.component)
    except Exception as error:
        remedy = "make tensors that it keeps parameters or buffers, and detach others"
        raise Wrong(f"copy.deepcopy fails: {one_line(error)}; {remedy}") from error
    if largest_difference(before, bench.outputs(inputs, network=other)):
        raise Wrong(f"a copy of it by copy.deepcopy gives other {bench.gives}")
    values: list[Tensor] = list(other.parameters())
    values = values or [each for each in other.buffers() if each.is_floating_point()]
    with torch.no_grad():
        for value in values:
            value.add_(1)
    if largest_difference(before, bench.outputs(inputs)):
        remedy = "keep no parameter outside of the module, and write no `__deepcopy__`"
        raise Wrong(f"its {bench.gives} change with the weights of a copy of it; {remedy}")
    if values and not largest_difference(before, bench.outputs(inputs, network=other)):
        problem = f"the {bench.gives} of a copy do not change with the copy's weights"
        reason = "a function kept as an attribute still means the first one"
        raise Wrong(f"{problem}; {reason}: write a method instead")


@check(*NETWORKS, on=variants)
def moves_with_its_device(bench: Bench) -> None:
    """What stays on the CPU when a network is moved stops the first iteration on a GPU."""
    moved = replace(bench, device=META)
    with other_device(moved.component):
        moved.modules  # noqa: B018  (moves the networks)
        check_shapes(moved, "on another device than the CPU let it be the same")


@check(*NETWORKS, on=variants)
def finite_in_bfloat16(bench: Bench) -> None:
    """`engine.precision = "bfloat16"` keeps three digits, and one NaN ends a run."""
    where = f" under bfloat16 autocast, {bench.here}"
    with torch.autocast("cpu", torch.bfloat16):
        outputs = bench.outputs(bench.inputs(4), training=True)
    if not_finite(*outputs):
        remedy = "compute roots, logarithms and exponentials in float32: `x.float()`"
        raise Wrong(f"gives {bench.gives} that are not finite{where}; {remedy}")
    total = random_sum([each.float() for each in outputs])
    if total.requires_grad:
        total.backward()
    check_gradients(bench.component, where)


@check(*NETWORKS, on=variants)
def same_in_evaluation(bench: Bench) -> None:
    """Fixed latents and codes tell something only if the same input means the same output."""
    inputs = bench.inputs(6)
    with torch.random.fork_rng(devices=[]):
        once, again = bench.outputs(inputs, seed=None), bench.outputs(inputs, seed=None)
    if apart := largest_difference(once, again):
        why = "changes with every call; let evaluation mode change nothing"
        if not largest_difference(bench.outputs(inputs), bench.outputs(inputs)):
            why = "draws noise in evaluation mode; draw where `self.training` is true, or expect "
            why += "this failure where the network is random by nature"
        problem = f"gives other {bench.gives} (by {apart:.3g}) for the same {bench.reads}"
        raise Wrong(f"{problem}: it {why}")
    if bench.spec.kind == "discriminator":
        return  # it may look at the whole batch
    alone = bench.outputs(tuple(each[:1] for each in inputs))
    if apart := largest_difference([each[:1] for each in once], alone):
        problem = f"for the same {bench.reads} alone and in a batch, {bench.here}"
        remedy = "in evaluation mode let nothing depend on the batch"
        raise Wrong(f"gives other {bench.gives} (by {apart:.3g}) {problem}; {remedy}")


@check(*NETWORKS, on=conditional)
def depends_on_labels(bench: Bench) -> None:
    """A network that passes over its labels makes a conditional recipe one without classes."""
    value, labels = bench.inputs(6)
    for seed in range(3):
        outputs = bench.outputs((value, labels)), bench.outputs((value, labels.roll(1)))
        if largest_difference(*outputs):
            return
        # What knows the classes may start at zero.
        stream = generator_for(seed, "weights")
        for weight in bench.component.parameters():
            weight.data += torch.randn(weight.shape, generator=stream) / 3
    remedy = "use the second argument where `context.conditional` is true, or take 'classes' out"
    raise Wrong(f"gives the same {bench.gives} whatever the labels are; {remedy} of `provides`")
