"""What checks ask of tensors: finite, alike, with a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganzoo.engine.random import generator_for
from ganzoo.testing.checks import Wrong


def not_finite(*tensors: Tensor | None) -> bool:
    """Whether some value is infinite or not a number."""
    return not all(bool(each.isfinite().all()) for each in tensors if each is not None)


def largest_difference(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """Between tensors in pairs; 0 where it is of the size of rounding."""
    largest = 0.0
    for one, other in zip(first, second, strict=True):
        apart = float((one - other).detach().abs().max())
        if not apart <= 1e-4 * max(1.0, float(one.detach().abs().max())):
            largest = max(largest, apart) if apart == apart else float("inf")
    return largest


def random_sum(outputs: Sequence[Tensor]) -> Tensor:
    """A number that depends on every value of some tensors, each in its own way."""
    stream = generator_for(0, "cotangents")
    weighted = [each * torch.randn(each.shape, generator=stream) for each in outputs]
    return torch.cat([each.flatten() for each in weighted]).sum()


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that want to be trained, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def check_gradients(network: nn.Module, where: str) -> None:
    """Raise `Wrong` where the gradient of a weight is not finite; `where` ends the message."""
    for name, weight in trainable(network).items():
        if not_finite(weight.grad):
            raise Wrong(f"the gradient of '{name}' is not finite{where}")


def check_derivatives(total: Tensor, x: Tensor, here: str, remedy: str) -> None:
    """Raise `Wrong` unless a number has a gradient to samples that can be differentiated again."""
    gradient = torch.zeros_like(x)
    if total.requires_grad:
        (gradient,) = torch.autograd.grad(total, x, create_graph=True, materialize_grads=True)
    if not bool(gradient.any()):
        raise Wrong(f"has no gradient to the samples {here}; {remedy}")
    if not_finite(gradient):
        raise Wrong(f"has a gradient to the samples that is not finite, {here}")
    try:
        gradient.square().sum().backward()  # as the engine does, through all that there is
    except RuntimeError as error:
        problem = f"cannot be differentiated twice, as R1 and gradient penalties do: {error}"
        remedy = "take operations that torch can, also in the backward of an `autograd.Function`"
        raise Wrong(f"{problem}; {remedy}") from error
    if not_finite(x.grad):
        remedy = "add a small number under a root or a norm of zero"
        raise Wrong(f"has a second derivative that is not finite {here}; {remedy}")
