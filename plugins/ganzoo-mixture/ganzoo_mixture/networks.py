"""A mixture of Gaussians. Shapes: N points of D values, K components."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Mixture(nn.Module):
    """p(x) = sum_k share_k N(x; mean_k, L_k L_k^T), with L_k = diag(s_k) U_k.

    U_k is lower triangular with ones on its diagonal (the identity unless `covariance` is
    "full"), so a step of training shears a narrow Gaussian no more than a wide one. The
    scales are s = scale_floor + exp(log_excess): a factor on them is a sum in `log_excess`, and
    the density never exceeds (2 pi scale_floor^2)^(-D / 2). For D = 1, s is the standard
    deviation; in general s_kd is that of value d among points that agree in the values before.

    All components have equal shares, `U = 1` and the scale 1 at first, and means drawn from a
    standard normal distribution; `start` replaces means and scale. `latent_distribution` is that
    of each value of z, "normal" or "uniform" on [-1, 1].
    """

    _places: Tensor
    """Indices of the values of `shear` in a flattened U."""

    def __init__(
        self,
        *,
        components: int,
        dimension: int,
        covariance: str,
        scale_floor: float,
        latent_distribution: str = "normal",
    ) -> None:
        super().__init__()
        K, D = components, dimension
        self.scale_floor = scale_floor
        self.latent_distribution = latent_distribution
        self.logits = nn.Parameter(torch.zeros(K))
        self.means = nn.Parameter(torch.randn(K, D))
        self.log_excess = nn.Parameter(torch.empty(K, 1 if covariance == "spherical" else D))
        rows, columns = torch.tril_indices(D, D, -1)
        # A single value has no other to be correlated with.
        full = covariance == "full" and D > 1
        self.shear = nn.Parameter(torch.zeros(K, len(rows))) if full else None
        self.register_buffer("_places", rows * D + columns, persistent=False)
        self.start(self.means, torch.ones(()))

    @torch.no_grad()
    def start(self, means: Tensor, scale: Tensor) -> None:
        """Set the means `(K, D)`, and the scale of all components and directions, 0-d.

        A scale below `scale_floor` is replaced by one slightly above it.
        """
        self.means.copy_(means)
        self.log_excess.copy_((scale - self.scale_floor).clamp(min=0.1 * self.scale_floor).log())

    @property
    def shares(self) -> Tensor:
        """Share of each component, `(K,)`, positive, with sum 1."""
        return self.logits.softmax(0)

    @property
    def scales(self) -> Tensor:
        """s, `(K, D)`, above `scale_floor`, in units of the data."""
        return (self.scale_floor + self.log_excess.exp()).expand_as(self.means)

    @property
    def covariances(self) -> Tensor:
        """L L^T of each component, `(K, D, D)`."""
        factor = self.scales[:, :, None] * self._unit_factor()
        return factor @ factor.mT

    def forward(self, z: Tensor) -> Tensor:
        """z `(N, D + 1)` to x `(N, D)`; the same z gives the same x.

        The component is the inverse of the cumulated shares at the probability of z's first
        value, a step function without gradient; x is differentiable in means and covariances.
        """
        with torch.autocast(z.device.type, enabled=False):
            if self.latent_distribution == "uniform":
                probability, noise = (z[:, 0] + 1) / 2, normal_quantile(z[:, 1:])
            else:
                probability, noise = (1 + torch.erf(z[:, 0] / math.sqrt(2))) / 2, z[:, 1:]
            borders = self.shares.detach().cumsum(0)[:-1]
            component = torch.bucketize(probability, borders, right=True)
            if self.shear is not None:
                noise = (self._unit_factor()[component] @ noise[:, :, None]).squeeze(2)
            return self.means[component] + self.scales[component] * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density, `(N, D)` to `(N,)`, in nats.

        Differentiable in everything, and finite wherever the squares of x / s are. It has no
        matrix product that autocast could round, so the precision is that of the parameters.
        """
        scales = self.scales
        whitened = (x[:, None] - self.means) / scales
        if self.shear is not None:
            whitened = torch.linalg.solve_triangular(
                self._unit_factor(), whitened.permute(1, 2, 0), upper=False, unitriangular=True
            ).permute(2, 0, 1)
        constant = scales.log().sum(1) + self.means.shape[1] / 2 * math.log(2 * math.pi)
        components = -whitened.square().sum(2) / 2 - constant
        return torch.logsumexp(components + self.logits.log_softmax(0), dim=1)

    def _unit_factor(self) -> Tensor:
        """U, `(K, D, D)`."""
        K, D = self.means.shape
        unit = torch.eye(D, dtype=self.means.dtype, device=self.means.device).repeat(K, 1, 1)
        if self.shear is None:
            return unit
        below = torch.zeros_like(unit).flatten(1).index_copy(1, self._places, self.shear)
        return unit + below.view(K, D, D)


def normal_quantile(u: Tensor) -> Tensor:
    """Standard normal values for uniform ones on [-1, 1], of any shape, elementwise.

    The ends, whose quantiles are infinite, are moved inwards by half a unit in the last place:
    in float32 the values stay within +-5.5.
    """
    end = 1 - torch.finfo(u.dtype).eps / 2
    return math.sqrt(2) * torch.erfinv(u.clamp(-end, end))
