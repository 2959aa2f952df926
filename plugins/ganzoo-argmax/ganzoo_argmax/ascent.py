"""Gradient ascent on the discriminator's logit, from a start to a sample.

Shapes: N samples `(N, *sample_shape)`, float32. D is in evaluation mode, so that a logit depends on
its own sample only, also where D normalises over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.engine import evaluating


def input_gradient(discriminator: nn.Module, x: Tensor) -> Tensor:
    """Gradient of each sample's logit at that sample, shaped as `x`, without a graph.

    Works under `torch.no_grad` and leaves the weights' own gradients alone.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits: Tensor = discriminator(x)
        (gradient,) = torch.autograd.grad(logits.sum(), x)
    return gradient


def shortened(gradient: Tensor, longest: float) -> Tensor:
    """`gradient` with each sample's Euclidean norm, over all its values, at most `longest`."""
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    # The small number avoids 0 / 0; it is far below every norm that matters.
    factors = (longest / (norms + 1e-12)).clamp(max=1)
    return gradient * factors.view(-1, *[1] * (gradient.dim() - 1))


def climb(
    discriminator: nn.Module,
    x: Tensor,
    *,
    low: Tensor,
    high: Tensor,
    steps: int,
    step_size: float,
    momentum: float = 0.0,
    longest_gradient: float = 0.0,
    noise: float = 0.0,
) -> Tensor:
    """Samples `(N, *sample_shape)` after `steps` steps uphill from `x`; they carry no graph.

    With v = 0 at the start, each step is

        v <- momentum v + grad D(x),   x <- clip(x + step_size v + noise e, low, high),

    e being standard normal, drawn from torch's default stream only where `noise` is not 0.
    `step_size` is in units of x squared per logit, `noise` in units of x. `longest_gradient`
    bounds each sample's gradient norm (0: no bound). `low` and `high` broadcast with `x`.
    """
    x = x.detach().clamp(low, high)
    velocity = torch.zeros_like(x)
    with torch.no_grad(), evaluating(discriminator):
        for _ in range(steps):
            gradient = input_gradient(discriminator, x)
            if longest_gradient:
                gradient = shortened(gradient, longest_gradient)
            velocity = gradient.add(velocity, alpha=momentum) if momentum else gradient
            x = x.add(velocity, alpha=step_size)
            if noise:
                x = x.add_(torch.randn_like(x), alpha=noise)
            x = x.clamp_(low, high)
    return x
