"""The priors of the core. M codes, K Gaussians, latents of `latent_dim` values."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


class LatentPrior(nn.Module):
    """Independent values, standard normal or uniform on [-1, 1]; nothing is fitted."""

    def __init__(self, latent_dim: int, distribution: str) -> None:
        super().__init__()
        self.latent_dim, self.distribution = latent_dim, distribution

    def fit(self, codes: Tensor) -> None:
        """Nothing."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents `(count, latent_dim)`."""
        z = torch.empty(count, self.latent_dim)
        if self.distribution == "uniform":
            return z.uniform_(-1, 1, generator=generator)
        return z.normal_(generator=generator)


class MixturePrior(nn.Module):
    """A Gaussian mixture: `weights` `(K,)`, `means` `(K, latent_dim)` and `scale_tril`
    `(K, latent_dim, latent_dim)`, the lower Cholesky factors of the covariances."""

    weights: Tensor
    means: Tensor
    scale_tril: Tensor

    def __init__(self, latent_dim: int, *, components: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, latent_dim))
        identity = torch.eye(latent_dim).repeat(components, 1, 1)
        self.register_buffer("scale_tril", identity)

    def fit(self, codes: Tensor) -> None:
        """Maximum likelihood by EM from k-means, for codes `(M, latent_dim)`.

        Where there are fewer codes than Gaussians, the rest of these have no weight.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        used = min(len(self.weights), len(codes))
        seed = int(torch.randint(2**31, ()))  # of torch's default stream, which the engine seeds
        mixture = GaussianMixture(used, reg_covar=1e-6, random_state=seed)
        # Several threads add up in an order that is not the same twice. A hundred steps of EM are
        # enough for sampling, whether or not the last one still gained something.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # scikit-learn wants two.
            mixture.fit((codes if len(codes) > 1 else codes.repeat(2, 1)).double().numpy())
        factors = torch.linalg.cholesky(torch.from_numpy(mixture.covariances_))
        self.weights.zero_()
        self.weights[:used] = torch.from_numpy(mixture.weights_)
        self.means[:used] = torch.from_numpy(mixture.means_)
        self.scale_tril[:used] = factors

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents `(count, latent_dim)`."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], 1, generator=generator)
        return self.means[which] + (self.scale_tril[which] @ noise).squeeze(2)
