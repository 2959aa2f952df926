"""Checks of generators, discriminators and encoders alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ganzoo.specs import NETWORKS
from ganzoo.testing.attempts import GIVES, READS, Attempt, attempt, attempts, not_finite, pushed
from ganzoo.testing.checks import Skip, Subject, Wrong, check
from ganzoo.testing.moving import META, advice, elsewhere, immobile
from ganzoo.testing.watching import said


@check(*NETWORKS)
def parameter_gradients(subject: Subject) -> None:
    """A parameter without a gradient stays as it was drawn, and counts as one that learns."""
    for tried in attempts(subject):
        weights = _trainable(tried.network)
        if not weights:
            raise Skip("it has no weights to train")
        total = pushed(tried.outputs(tried.inputs(4), training=True))
        if "log_prob" in tried.asked:
            total = total + tried.network.log_prob(tried.world.batch(4).x).sum()  # type: ignore[operator]
        if not total.requires_grad:
            raise Wrong(
                f"its {GIVES[tried.kind]} carry no gradient; take `no_grad`, `detach` and rounding "
                "out of `forward`"
            )
        total.backward()
        _check_gradients(weights)


@check(*NETWORKS)
def state_dict_round_trip(subject: Subject) -> None:
    """A run goes on from its checkpoint, and is sampled from its exported weights, only if the
    state dict holds all that the network has become."""
    for tried in attempts(subject):
        x = tried.inputs(4)
        if list(tried.network.state_dict()):
            tried.outputs(tried.inputs(4, seed=1), training=True)  # buffers may change by it
        other = attempt(tried.world, seed=1)
        try:
            other.network.load_state_dict(tried.network.state_dict())
        except RuntimeError as error:
            raise Wrong(
                f"a second build cannot load the state dict of the first: {error}; register the "
                "same parameters and buffers in every build, with the same shapes"
            ) from error
        if difference := _difference(tried.outputs(x), other.outputs(x)):
            raise Wrong(
                f"after loading a state dict its {GIVES[tried.kind]} differ by {difference:.3g}; "
                "make what decides them a parameter or a buffer"
            )


@check(*NETWORKS)
def deep_copy(subject: Subject) -> None:
    """The moving average of a network is a copy of it; one that shares something with it, or
    computes with its weights, is not an average."""
    for tried in attempts(subject):
        x = tried.inputs(4)
        before = tried.outputs(x)
        try:
            other = Attempt(tried.world, copy.deepcopy(tried.network), tried.asked)
        except Exception as error:
            raise Wrong(
                f"copy.deepcopy fails: {said(error)}; make tensors that it keeps parameters or "
                "buffers, and detach others"
            ) from error
        if _difference(before, other.outputs(x)):
            raise Wrong(f"a copy of it by copy.deepcopy gives other {GIVES[tried.kind]}")
        if not _moved(other.network):
            continue  # nothing that a copy could share
        if _difference(before, tried.outputs(x)):
            raise Wrong(
                f"its {GIVES[tried.kind]} change with the weights of a copy of it; keep no "
                "parameter outside of the module, and write no `__deepcopy__`"
            )
        if not _difference(before, other.outputs(x)):
            raise Wrong(
                f"the {GIVES[tried.kind]} of a copy do not change with the copy's weights; a "
                "function kept as an attribute still means the first one: write a method instead"
            )


@check(*NETWORKS)
def moves_with_its_device(subject: Subject) -> None:
    """What stays on the CPU when a network is moved stops the first iteration on a GPU."""
    for tried in attempts(subject):
        x, gives = tried.inputs(4), GIVES[tried.kind]
        with elsewhere():
            for network in (tried.network, *tried.world.networks.values()):
                network.to(META)
            for training in (True, False):
                try:
                    made = tried.outputs(x.to(META), training=training)
                except Exception as error:
                    raise immobile(error, tried.network) from error
                if any(each.device != META for each in made):
                    raise Wrong(
                        f"on another device than the CPU it gives {gives} that are on the CPU; "
                        f"{advice(tried.network)}"
                    )
                if [tuple(each.shape) for each in made] != tried.expected(4):
                    raise Wrong(
                        f"on another device than the CPU it gives {gives} of shape "
                        f"{tuple(made[0].shape)}, not {tried.expected(4)[0]}"
                    )


@check(*NETWORKS)
def finite_in_bfloat16(subject: Subject) -> None:
    """`engine.precision = "bfloat16"` computes products with three digits, and a run with one value
    that is not finite is lost."""
    for tried in attempts(subject):
        with torch.autocast("cpu", torch.bfloat16):
            made = tried.outputs(tried.inputs(4), training=True)
        if any(map(not_finite, made)):
            raise Wrong(
                f"gives {GIVES[tried.kind]} that are not finite under bfloat16 autocast, "
                f"{tried.here}; compute roots, logarithms and exponentials in float32: "
                "`x.float()`"
            )
        total = pushed([each.float() for each in made])
        if total.requires_grad:
            total.backward()
        for name, weight in _trainable(tried.network).items():
            if weight.grad is not None and not_finite(weight.grad):
                raise Wrong(
                    f"the gradient of '{name}' is not finite under bfloat16 autocast, {tried.here}"
                )


@check(*NETWORKS)
def same_in_evaluation(subject: Subject) -> None:
    """Fixed latents show the training of a generator, and codes what a sample is taken for, only
    if the same input means the same output, alone or in a batch."""
    for tried in attempts(subject):
        reads, gives = READS[tried.kind], GIVES[tried.kind]
        x = tried.inputs(6)
        with torch.random.fork_rng(devices=[]):
            first, second = tried.outputs(x, seed=None), tried.outputs(x, seed=None)
        if difference := _difference(first, second):
            fixed = not _difference(tried.outputs(x, seed=0), tried.outputs(x, seed=0))
            why = (
                "draws noise in evaluation mode; draw where `self.training` is true, or expect "
                "this failure where the network is random by nature"
                if fixed
                else "changes with every call; let evaluation mode change nothing"
            )
            raise Wrong(f"gives other {gives} (by {difference:.3g}) for the same {reads}: it {why}")
        if tried.kind == "discriminator":
            continue  # it may look at the whole batch
        alone = tried.outputs(x[:1])
        if difference := _difference([each[:1] for each in first], alone):
            raise Wrong(
                f"gives other {gives} (by {difference:.3g}) for the same {reads} alone and in a "
                f"batch, {tried.here}; in evaluation mode let nothing depend on the batch"
            )


def _trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that want to be trained, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def _check_gradients(weights: Mapping[str, nn.Parameter]) -> None:
    """Raise `Wrong` unless every weight has a finite gradient, and some one that is not zero."""
    without = [name for name, weight in weights.items() if weight.grad is None]
    if without:
        raise Wrong(
            f"'{without[0]}' gets no gradient"
            + (f", nor do {len(without) - 1} others" if len(without) > 1 else "")
            + "; use it in `forward`, or freeze it by `requires_grad_(False)`"
        )
    gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    for name, gradient in gradients.items():
        if not_finite(gradient):
            raise Wrong(
                f"the gradient of '{name}' is not finite; a root, a logarithm or a norm of zero "
                "does this: add a small number under it"
            )
    if not any(bool(gradient.any()) for gradient in gradients.values()):
        raise Wrong("all gradients of its weights are zero; take out of `forward` what rounds")


def _difference(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """Largest difference between tensors in pairs; 0 where it is of the size of rounding."""
    largest = 0.0
    for one, other in zip(first, second, strict=True):
        difference = float((one - other).detach().abs().max())
        if not difference <= 1e-4 * max(1.0, float(one.detach().abs().max())):
            largest = max(largest, difference) if difference == difference else float("inf")
    return largest


@torch.no_grad()
def _moved(network: nn.Module) -> bool:
    """Change the weights, or the buffers where there are no weights; whether there are any."""
    values: Sequence[Tensor] = list(network.parameters())
    values = values or [each for each in network.buffers() if each.is_floating_point()]
    for value in values:
        value.add_(1)
    return bool(values)
