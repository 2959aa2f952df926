"""Terms that keep the discriminator smooth.

Every gradient norm is one per logit, over all values that the logit depends on: those of a sample,
or of the m samples of a pack. Shapes: samples `(N, C, H, W)` or `(N, D)`, logits `(N,)`, or
`(N / m,)` with packs. Weights are 0-d tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganzoo.api import Step


def input_gradients(logits: Tensor, x: Tensor) -> Tensor:
    """Gradient of each logit with respect to its samples, flat `(len(logits), ...)`.

    `logits` are computed from x `(N, *sample_shape)`, neighbours first where they are packed. The
    gradients can be differentiated. One gradient of the sum of all logits gives all of them,
    provided that a logit depends on its own samples only, which batch normalisation in D would
    break.
    """
    gradients: Tensor = torch.autograd.grad(logits.sum(), x, create_graph=True)[0]
    return gradients.reshape(len(logits), -1)


def squared_norm(logits: Tensor, x: Tensor) -> Tensor:
    """E ||grad D(x)||^2, a 0-d tensor, from logits of x."""
    return input_gradients(logits, x).square().sum(1).mean()


def norm_deviation(logits: Tensor, x: Tensor, *, target: float, one_sided: bool) -> Tensor:
    """E (||grad D(x)|| - target)^2, a 0-d tensor, from logits of x.

    One-sided, norms below the target cost nothing. The norm's own derivative is taken as 0 where
    the gradient is 0.
    """
    norms: Tensor = torch.linalg.vector_norm(input_gradients(logits, x), dim=1)
    excess = norms - target
    if one_sided:
        excess = excess.clamp(min=0)
    return excess.square().mean()


def one_for_each_logit(x: Tensor, logits: int) -> Tensor:
    """A number uniform on [0, 1) for each of `logits` packs of x, given to all samples of the
    pack: `(N, 1, ...)` for x `(N, ...)`."""
    numbers = torch.rand(logits, *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)
    return numbers.repeat_interleave(len(x) // logits, dim=0)


def between(real: Tensor, fake: Tensor, logits: int) -> Tensor:
    """For each pair a point drawn uniformly from the line between the two, shaped as they are.

    With fewer `logits` than samples, one line for each pack.
    """
    return torch.lerp(fake, real, one_for_each_logit(real, logits))


def around(x: Tensor, logits: int, *, scale: float) -> Tensor:
    """Perturbed samples x + a * scale * std(x) * u, shaped as x.

    std is that of all numbers of the batch; u is uniform on [0, 1) for each of them, a for each
    sample, or for each of `logits` packs.
    """
    deviation = x.std(correction=0)
    return x + one_for_each_logit(x, logits) * scale * deviation * torch.rand_like(x)


def translated(x: Tensor, *, shift: float, flip: bool) -> Tensor:
    """Images `(N, C, H, W)`, each moved by whole pixels, and mirrored with probability 1/2.

    Each moves by up to `shift` of its side along either axis, at least one pixel, with the
    picture mirrored at its border. Differentiable in x; no number leaves the device.
    """
    count, channels, height, width = x.shape
    down, across = (max(1, round(shift * side)) for side in (height, width))
    padded = pad(x, (across, across, down, down), mode="reflect")
    device = x.device
    rows = torch.arange(height, device=device) + torch.randint(
        2 * down + 1, (count, 1), device=device
    )
    columns = torch.arange(width, device=device) + torch.randint(
        2 * across + 1, (count, 1), device=device
    )
    if flip:
        mirrored = torch.rand(count, 1, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    sample = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[:, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


class RealPenalty:
    """gamma / 2 E ||grad D(x)||^2 at real samples: the term `penalty`."""

    def __init__(self, gamma: Tensor) -> None:
        self.gamma = gamma

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`. `step.x` requires a gradient."""
        return {"penalty": self.gamma / 2 * squared_norm(step.real_logits, step.x)}


class FakePenalty:
    """gamma / 2 E ||grad D(G(z))||^2 at generated samples: the term `penalty`."""

    def __init__(self, gamma: Tensor) -> None:
        self.gamma = gamma

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`. `step.fake` requires a gradient."""
        return {"penalty": self.gamma / 2 * squared_norm(step.fake_logits, step.fake)}


class NormPenalty:
    """weight E (||grad D|| - target)^2 at points that subclasses choose: the term `penalty`."""

    def __init__(self, *, weight: Tensor, target: float, one_sided: bool) -> None:
        self.weight = weight
        self.target = target
        self.one_sided = one_sided

    def points(self, step: Step) -> Tensor:
        """Where the norms are taken, `(N, *sample_shape)`, of the classes of the real samples."""
        raise NotImplementedError

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`."""
        points = self.points(step).detach().requires_grad_()
        deviation = norm_deviation(
            step.discriminate(points), points, target=self.target, one_sided=self.one_sided
        )
        return {"penalty": self.weight * deviation}


class GradientPenalty(NormPenalty):
    """The penalty between real and generated samples, of the same class in a conditional recipe."""

    def points(self, step: Step) -> Tensor:
        fake = step.fake
        if step.fake_labels is not None:
            # The classes of the fakes are drawn for themselves, and D judges a point as of one
            # class: both ends of its line have to be of that class.
            with torch.no_grad():
                fake = step.generate(step.z, step.labels)
        return between(step.x, fake, len(step.real_logits))


class DraganPenalty(NormPenalty):
    """The penalty around real samples."""

    def __init__(self, *, weight: Tensor, target: float, scale: float, one_sided: bool) -> None:
        super().__init__(weight=weight, target=target, one_sided=one_sided)
        self.scale = scale

    def points(self, step: Step) -> Tensor:
        return around(step.x, len(step.real_logits), scale=self.scale)


class Consistency:
    """weight E (D(x) - D(T(x)))^2 for a random translation T: the terms `real` and `fake`.

    Without a `fake_weight` there is no term `fake`.
    """

    def __init__(
        self, *, weight: Tensor, fake_weight: Tensor | None, shift: float, flip: bool
    ) -> None:
        self.weight = weight
        self.fake_weight = fake_weight
        self.shift = shift
        self.flip = flip

    def compute(self, step: Step) -> Mapping[str, Tensor]:
        """The terms; see `ganzoo.api.Regularizer`."""
        real = step.discriminate(self._moved(step.x))
        terms = {"real": self.weight * (step.real_logits - real).square().mean()}
        if self.fake_weight is not None:
            fake = step.discriminate(self._moved(step.fake), step.fake_labels)
            terms["fake"] = self.fake_weight * (step.fake_logits - fake).square().mean()
        return terms

    def _moved(self, x: Tensor) -> Tensor:
        return translated(x.detach(), shift=self.shift, flip=self.flip)
