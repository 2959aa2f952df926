"""Checks of generators, discriminators and encoders alike."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ganzoo.engine.random import generator_for
from ganzoo.specs import NETWORKS
from ganzoo.testing.bench import Bench
from ganzoo.testing.benches import conditional, variants
from ganzoo.testing.checks import Skip, Wrong, check
from ganzoo.testing.effects import one_line
from ganzoo.testing.modes import META, advice, other_device
from ganzoo.testing.tensors import largest_difference, not_finite, random_sum, trainable


def check_shapes(bench: Bench, remedy: str) -> None:
    """Raise `Wrong` unless batches of 1, 2 and 3 give float32 of the expected shapes."""
    for count in (1, 2, 3):
        # Normalisation over a batch has nothing to go by in one sample.
        for training in (False, True) if count > 1 else (False,):
            outputs = bench.outputs(bench.inputs(count), training=training)
            shapes, expected = [tuple(each.shape) for each in outputs], bench.expected(count)
            if shapes != expected:
                shown, wanted = (" and ".join(map(str, each)) for each in (shapes, expected))
                raise Wrong(
                    f"{count} {bench.reads} give {bench.gives} of shape {shown}, not {wanted}, "
                    f"{bench.here}; {remedy}"
                )
            if strange := [each.dtype for each in outputs if each.dtype != torch.float32]:
                raise Wrong(
                    f"gives {bench.gives} in {strange[0]}; compute in the precision of what comes "
                    "in, float32"
                )


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
        raise Wrong(
            f"its {bench.gives} carry no gradient; take `no_grad`, `detach` and rounding out of "
            "`forward`"
        )
    total.backward()
    without = [name for name, weight in weights.items() if weight.grad is None]
    # What else it can do may train them, such as features that a loss asks for.
    others = bench.spec.provides - {"classes", "variance", "log_prob"}
    if without and not (others and len(without) < len(weights)):
        more = f", nor do {len(without) - 1} others" if len(without) > 1 else ""
        raise Wrong(
            f"'{without[0]}' gets no gradient{more}; use it in `forward`, or freeze it by "
            "`requires_grad_(False)`: what is trained otherwise, as by a moving average, is a "
            "buffer"
        )
    gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    if bad := [name for name, gradient in gradients.items() if not_finite(gradient)]:
        raise Wrong(
            f"the gradient of '{bad[0]}' is not finite; a root, a logarithm or a norm of zero does "
            "this: add a small number under it"
        )
    if not any(bool(gradient.any()) for gradient in gradients.values()):
        raise Wrong("all gradients of its weights are zero; take out of `forward` what rounds")


@check(*NETWORKS, on=variants)
def state_dict_round_trip(bench: Bench) -> None:
    """A run goes on from its checkpoint, and is sampled from its exported weights, only if the
    state dict holds all that the network has become."""
    inputs = bench.inputs(4)
    if list(bench.component.state_dict()):
        bench.outputs(bench.inputs(4, seed=1), training=True)  # buffers may change by it
    other = bench.build(1, initialized=False)
    try:
        other.load_state_dict(bench.component.state_dict())
    except RuntimeError as error:
        raise Wrong(
            f"a second build cannot load the state dict of the first: {error}; register the same "
            "parameters and buffers in every build, with the same shapes"
        ) from error
    if apart := largest_difference(bench.outputs(inputs), bench.outputs(inputs, network=other)):
        raise Wrong(
            f"after loading a state dict its {bench.gives} differ by {apart:.3g}; make what decides"
            " them, in `build` or in `initialize`, a parameter or a persistent buffer"
        )


@check(*NETWORKS, on=variants)
def deep_copy(bench: Bench) -> None:
    """The moving average of a network is a copy of it; one that shares something with it, or
    computes with its weights, is not an average."""
    inputs = bench.inputs(4)
    before = bench.outputs(inputs)
    try:
        other = copy.deepcopy(bench.component)
    except Exception as error:
        raise Wrong(
            f"copy.deepcopy fails: {one_line(error)}; make tensors that it keeps parameters or "
            "buffers, and detach others"
        ) from error
    if largest_difference(before, bench.outputs(inputs, network=other)):
        raise Wrong(f"a copy of it by copy.deepcopy gives other {bench.gives}")
    values: Sequence[Tensor] = list(other.parameters())
    values = values or [each for each in other.buffers() if each.is_floating_point()]
    if not values:
        return  # nothing that a copy could share
    with torch.no_grad():
        for value in values:
            value.add_(1)
    if largest_difference(before, bench.outputs(inputs)):
        raise Wrong(
            f"its {bench.gives} change with the weights of a copy of it; keep no parameter outside "
            "of the module, and write no `__deepcopy__`"
        )
    if not largest_difference(before, bench.outputs(inputs, network=other)):
        raise Wrong(
            f"the {bench.gives} of a copy do not change with the copy's weights; a function kept "
            "as an attribute still means the first one: write a method instead"
        )


@check(*NETWORKS, on=variants)
def moves_with_its_device(bench: Bench) -> None:
    """What stays on the CPU when a network is moved stops the first iteration on a GPU."""
    network, inputs, what = bench.component, bench.inputs(4), "on another device than the CPU it"
    with other_device(network):
        for each in (network, *bench.parts.networks.values()):
            each.to(META)
        for training in (True, False):
            outputs = bench.outputs(tuple(each.to(META) for each in inputs), training=training)
            if any(each.device != META for each in outputs):
                raise Wrong(f"{what} gives {bench.gives} that are on the CPU; {advice(network)}")
            shapes, expected = [tuple(each.shape) for each in outputs], bench.expected(4)
            if shapes != expected:
                raise Wrong(f"{what} gives {bench.gives} of shape {shapes[0]}, not {expected[0]}")


@check(*NETWORKS, on=variants)
def finite_in_bfloat16(bench: Bench) -> None:
    """`engine.precision = "bfloat16"` computes products with three digits, and a run with one value
    that is not finite is lost."""
    with torch.autocast("cpu", torch.bfloat16):
        outputs = bench.outputs(bench.inputs(4), training=True)
    if any(map(not_finite, outputs)):
        raise Wrong(
            f"gives {bench.gives} that are not finite under bfloat16 autocast, {bench.here}; "
            "compute roots, logarithms and exponentials in float32: `x.float()`"
        )
    total = random_sum([each.float() for each in outputs])
    if total.requires_grad:
        total.backward()
    for name, weight in trainable(bench.component).items():
        if weight.grad is not None and not_finite(weight.grad):
            raise Wrong(
                f"the gradient of '{name}' is not finite under bfloat16 autocast, {bench.here}"
            )


@check(*NETWORKS, on=variants)
def same_in_evaluation(bench: Bench) -> None:
    """Fixed latents show the training of a generator, and codes what a sample is taken for, only
    if the same input means the same output, alone or in a batch."""
    inputs = bench.inputs(6)
    with torch.random.fork_rng(devices=[]):
        first, second = bench.outputs(inputs, seed=None), bench.outputs(inputs, seed=None)
    if apart := largest_difference(first, second):
        why = "changes with every call; let evaluation mode change nothing"
        if not largest_difference(bench.outputs(inputs, seed=0), bench.outputs(inputs, seed=0)):
            why = (
                "draws noise in evaluation mode; draw where `self.training` is true, or expect "
                "this failure where the network is random by nature"
            )
        raise Wrong(
            f"gives other {bench.gives} (by {apart:.3g}) for the same {bench.reads}: it {why}"
        )
    if bench.spec.kind == "discriminator":
        return  # it may look at the whole batch
    alone = bench.outputs(tuple(each[:1] for each in inputs))
    if apart := largest_difference([each[:1] for each in first], alone):
        raise Wrong(
            f"gives other {bench.gives} (by {apart:.3g}) for the same {bench.reads} alone and in a "
            f"batch, {bench.here}; in evaluation mode let nothing depend on the batch"
        )


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
        with torch.no_grad():
            for weight in bench.component.parameters():
                weight.add_(torch.randn(weight.shape, generator=stream) / 3)
    raise Wrong(
        f"gives the same {bench.gives} whatever the labels are; use the second argument where "
        "`context.conditional` is true, or take 'classes' out of `provides`"
    )
