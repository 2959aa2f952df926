"""Terms that keep the discriminator smooth.

Every gradient norm is one per sample, over all dimensions but the batch. Shapes: samples
`(N, C, H, W)` or `(N, D)`, logits `(N,)`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganzoo.api import Batch, Networks

from .courses import Course


def input_gradients(discriminator: nn.Module, x: Tensor) -> Tensor:
    """Gradient of each sample's logit at that sample, flat `(N, D)`, itself differentiable.

    One gradient of the sum of all logits gives all of them, provided that a logit depends on
    its own sample only, which batch normalisation in D would break.
    """
    x = x.detach().requires_grad_()
    logits: Tensor = discriminator(x)
    gradients: Tensor = torch.autograd.grad(logits.sum(), x, create_graph=True)[0]
    return gradients.flatten(1)


def squared_norm(discriminator: nn.Module, x: Tensor) -> Tensor:
    """E ||grad D(x)||^2, a 0-d tensor."""
    return input_gradients(discriminator, x).square().sum(1).mean()


def norm_deviation(
    discriminator: nn.Module, x: Tensor, *, target: float, one_sided: bool
) -> Tensor:
    """E (||grad D(x)|| - target)^2, a 0-d tensor; one-sided, norms below the target cost nothing.

    The norm's own derivative is taken as 0 where the gradient is 0.
    """
    norms: Tensor = torch.linalg.vector_norm(input_gradients(discriminator, x), dim=1)
    excess = norms - target
    if one_sided:
        excess = excess.clamp(min=0)
    return excess.square().mean()


def one_for_each_sample(x: Tensor) -> Tensor:
    """A number uniform on [0, 1) for each sample, `(N, 1, ...)` for x `(N, ...)`."""
    return torch.rand(len(x), *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """For each pair a point drawn uniformly from the line between the two, shaped as they are."""
    return torch.lerp(fake, real, one_for_each_sample(real))


def around(x: Tensor, *, scale: float) -> Tensor:
    """Perturbed samples x + a * scale * std(x) * u, shaped as x.

    std is that of all numbers of the batch; u is uniform on [0, 1) for each of them, a for each
    sample.
    """
    deviation = x.std(correction=0)
    return x + one_for_each_sample(x) * scale * deviation * torch.rand_like(x)


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


class ZeroCentredPenalty:
    """gamma / 2 E ||grad D||^2 at samples that subclasses choose: the term `penalty`.

    gamma is a number, or a course over the run, which is then the statistic `gamma` as well.
    """

    def __init__(self, gamma: float | Course) -> None:
        self.gamma = gamma

    def samples(self, networks: Networks, batch: Batch) -> Tensor:
        """Where D is to be flat, `(N, *sample_shape)`."""
        raise NotImplementedError

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`."""
        norm = squared_norm(networks.discriminator, self.samples(networks, batch))
        if not callable(self.gamma):
            return {"penalty": self.gamma / 2 * norm}
        gamma = self.gamma(batch.iteration)
        return {"penalty": gamma / 2 * norm, "gamma": gamma}


class RealPenalty(ZeroCentredPenalty):
    """gamma / 2 E ||grad D(x)||^2 at real samples."""

    def samples(self, networks: Networks, batch: Batch) -> Tensor:
        return batch.x


class FakePenalty(ZeroCentredPenalty):
    """gamma / 2 E ||grad D(G(z))||^2 at generated samples."""

    def samples(self, networks: Networks, batch: Batch) -> Tensor:
        samples: Tensor = networks.generator(batch.z)
        return samples


class GradientPenalty:
    """weight E (||grad D|| - target)^2 between real and generated samples: the term `penalty`."""

    def __init__(self, *, weight: float, target: float, one_sided: bool) -> None:
        self.weight = weight
        self.target = target
        self.one_sided = one_sided

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`."""
        fake = networks.generator(batch.z)
        deviation = norm_deviation(
            networks.discriminator,
            between(batch.x, fake),
            target=self.target,
            one_sided=self.one_sided,
        )
        return {"penalty": self.weight * deviation}


class DraganPenalty:
    """weight E (||grad D|| - target)^2 around real samples: the term `penalty`."""

    def __init__(self, *, weight: float, target: float, scale: float, one_sided: bool) -> None:
        self.weight = weight
        self.target = target
        self.scale = scale
        self.one_sided = one_sided

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The term; see `ganzoo.api.Regularizer`."""
        deviation = norm_deviation(
            networks.discriminator,
            around(batch.x, scale=self.scale),
            target=self.target,
            one_sided=self.one_sided,
        )
        return {"penalty": self.weight * deviation}


class Consistency:
    """weight E (D(x) - D(T(x)))^2 for a random translation T: the terms `real` and `fake`."""

    def __init__(self, *, weight: float, fake_weight: float, shift: float, flip: bool) -> None:
        self.weight = weight
        self.fake_weight = fake_weight
        self.shift = shift
        self.flip = flip

    def compute(self, networks: Networks, batch: Batch) -> Mapping[str, Tensor]:
        """The terms; see `ganzoo.api.Regularizer`. Without `fake_weight` G is not run."""
        discriminator = networks.discriminator
        terms = {"real": self.weight * self._change(discriminator, batch.x)}
        if self.fake_weight:
            fake = networks.generator(batch.z).detach()
            terms["fake"] = self.fake_weight * self._change(discriminator, fake)
        return terms

    def _change(self, discriminator: nn.Module, x: Tensor) -> Tensor:
        moved = translated(x, shift=self.shift, flip=self.flip)
        change: Tensor = discriminator(x) - discriminator(moved)
        return change.square().mean()
