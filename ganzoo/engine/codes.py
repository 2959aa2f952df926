"""Latent codes of real samples: a prior fitted to them, and pictures of what they decode to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import cast

import safetensors.torch
import torch
from torch import Tensor

from ganzoo.engine.networks import evaluating, generate
from ganzoo.engine.pictures import image_grid, save_png
from ganzoo.engine.random import generator_for, seeded
from ganzoo.engine.session import Session
from ganzoo.errors import RunError
from ganzoo.protocols import CodingLoss
from ganzoo.runs import RunFolder, whole_file

PAIRS = 32
"""Real samples shown beside what their codes decode to."""
LINES = 8
STEPS = 10
"""Points on a line between two codes, with both ends."""


@torch.no_grad()
def gather_codes(session: Session, count: int) -> tuple[Tensor, Tensor]:
    """Codes `(M, latent_dim)` of real training samples and the samples `(M, *sample_shape)`.

    They are the first `count` samples, or all if there are fewer, in the order of training; of
    several ranks, each gives its share. On the CPU.
    """
    loss = cast(CodingLoss, session.loss)
    share = len(session.batch.x)
    count = min(count, len(session.data.train) // session.ranks.size)
    codes, samples = [], []
    with ExitStack() as stack:
        for network in session.networks.values():
            stack.enter_context(evaluating(network))
        stack.enter_context(
            seeded(session.recipe.train.seed, "codes", device=session.backend.device)
        )
        for number in range(-(-count // share)):
            session.feed.fill(number)
            codes.append(loss.codes(session.view, session.batch).float().cpu())
            samples.append(session.batch.x.cpu().clone())
    return torch.cat(codes)[:count], torch.cat(samples)[:count]


def fit_mixture(codes: Tensor, components: int, seed: int) -> dict[str, Tensor]:
    """A Gaussian mixture with full covariances by maximum likelihood (EM, from k-means).

    `weights` `(K,)`, `means` `(K, latent_dim)`, `scale_tril` `(K, latent_dim, latent_dim)`, the
    lower Cholesky factors of the covariances. K is `components`, or the number of codes if that
    is smaller.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    mixture = GaussianMixture(
        min(components, len(codes)), reg_covar=1e-6, random_state=seed % 2**32
    )
    # Several threads add up in an order that is not the same twice. A hundred steps of EM are
    # enough for sampling, whether or not the last one still gained something.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(codes.double().numpy())
    factors = torch.linalg.cholesky(torch.from_numpy(mixture.covariances_))
    return {
        "weights": torch.from_numpy(mixture.weights_).float(),
        "means": torch.from_numpy(mixture.means_).float(),
        "scale_tril": factors.float().contiguous(),
    }


def draw_from_mixture(
    mixture: Mapping[str, Tensor], count: int, generator: torch.Generator
) -> Tensor:
    """Latents `(count, latent_dim)` from what `fit_mixture` gave, on the CPU."""
    which = torch.multinomial(mixture["weights"], count, replacement=True, generator=generator)
    noise = torch.randn(count, mixture["means"].shape[1], 1, generator=generator)
    return mixture["means"][which] + (mixture["scale_tril"][which] @ noise).squeeze(2)


def load_mixture(folder: RunFolder) -> dict[str, Tensor]:
    """The mixture that was fitted at the end of a run. Raises `RunError` where there is none."""
    path = folder.weights("prior")
    if not path.exists():
        raise RunError(
            f"{folder.path} has no mixture fitted to codes",
            hint="it is fitted at the end of a run whose loss knows the codes of real samples",
        )
    return safetensors.torch.load(path.read_bytes())


def finish_codes(session: Session, folder: RunFolder) -> None:
    """Fit the prior and draw the pictures of a trained run whose loss knows codes.

    `reconstructions`: real samples, each with what its code decodes to at its right. `lines`: in
    each row, between two real samples, what equal steps from one code to the other decode to.
    `mixture`: samples from the fitted prior.
    """
    prior, seed = session.recipe.prior, session.recipe.train.seed
    codes, samples = gather_codes(session, prior.codes)
    mixture = fit_mixture(codes, prior.components, seed)
    with whole_file(folder.weights("prior")) as file:
        file.write(safetensors.torch.save(mixture))
    if samples.ndim != 4 or samples.shape[1] not in (1, 3) or len(samples) < 2 * LINES:
        return
    device = session.backend.device

    def decode(z: Tensor) -> Tensor:
        with seeded(seed, "pictures", "noise", device=device):
            return generate(session.sampler, z.to(device)).cpu()

    pairs = torch.stack([samples[:PAIRS], decode(codes[:PAIRS])], dim=1).flatten(0, 1)
    save_png(image_grid(pairs, columns=8), folder.picture("reconstructions"))
    ends = codes[: 2 * LINES].unflatten(0, (-1, 2))
    z = torch.lerp(ends[:, :1], ends[:, 1:], torch.linspace(0, 1, STEPS)[:, None])
    decoded = decode(z.flatten(0, 1)).unflatten(0, (-1, STEPS))
    real = samples[: 2 * LINES].unflatten(0, (-1, 2))
    lines = torch.cat([real[:, :1], decoded, real[:, 1:]], dim=1)
    save_png(image_grid(lines.flatten(0, 1), columns=STEPS + 2), folder.picture("lines"))
    drawn = draw_from_mixture(mixture, session.recipe.log.samples, generator_for(seed, "pictures"))
    save_png(image_grid(decode(drawn)), folder.picture("mixture"))
