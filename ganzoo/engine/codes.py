"""Latent codes of real samples: priors fitted to them, and pictures of what they decode to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo.engine.checkpoints import save_prior
from ganzoo.engine.loader import BatchOrder
from ganzoo.engine.networks import generate
from ganzoo.engine.random import rows, seeded
from ganzoo.engine.session import Session
from ganzoo.pictures import has_picture, image_grid, save_png
from ganzoo.runs import RunFolder

FITTED = 10_000
"""Codes to which priors are fitted, at most."""
PAIRS = 32
"""Real samples shown beside what their codes decode to."""
LINES = 8
STEPS = 10
"""Points on a line between two codes, with both ends."""


def gather_codes(session: Session, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes `(M, latent_dim)` of real training samples, their classes `(M,)` and the samples.

    They are the first `count` samples, or all if there are fewer, in the order of training. On
    the CPU.
    """
    seed, size = session.parts.seed, session.recipe.train.batch_size
    count = min(count, len(session.data.train))
    order = BatchOrder(len(session.data.train), size, seed)
    with seeded(seed, "codes", device=session.backend.device):
        parts = [session.codes(order.batch(number)) for number in range(-(-count // size))]
    columns = zip(*parts, strict=True)
    codes, labels, samples = (torch.cat([each.cpu() for each in column]) for column in columns)
    return codes[:count], labels[:count], samples[:count]


def finish_codes(session: Session, folder: RunFolder, notes: Mapping[str, str]) -> None:
    """Fit the priors and draw the pictures of a trained run whose loss knows codes.

    `reconstructions`: real samples, each with what its code decodes to at its right. `lines`: in
    each row, between two real samples, what equal steps from one code to the other decode to. One
    picture for each fitted prior, of samples from it. `notes` go into the files of the priors.
    """
    recipe, seed, device = session.recipe, session.parts.seed, session.backend.device
    codes, labels, samples = gather_codes(session, FITTED)
    fitted = [name for name, each in recipe.all_priors.items() if each.spec.fitted]
    for name in fitted:
        with seeded(seed, "priors", name, device=device):
            session.parts.priors[name].fit(codes)
        save_prior(folder, name, session.parts.priors[name], notes)
    if not has_picture(tuple(samples.shape[1:])) or len(samples) < 2 * LINES:
        return
    generator = session.sampled_networks().generator
    conditional = "generator" in session.parts.plain_view.conditional

    def decode(z: Tensor, classes: Tensor) -> Tensor:
        given = classes.to(device) if conditional else None
        with seeded(seed, "pictures", "noise", device=device):
            return generate(generator, z.to(device), given).cpu()

    pairs = torch.stack([samples[:PAIRS], decode(codes[:PAIRS], labels[:PAIRS])], dim=1)
    save_png(image_grid(pairs.flatten(0, 1), columns=8), folder.picture("reconstructions"))
    ends = codes[: 2 * LINES].unflatten(0, (-1, 2))
    z = torch.lerp(ends[:, :1], ends[:, 1:], torch.linspace(0, 1, STEPS)[:, None])
    classes = labels[: 2 * LINES : 2].repeat_interleave(STEPS)
    decoded = decode(z.flatten(0, 1), classes).unflatten(0, (-1, STEPS))
    real = samples[: 2 * LINES].unflatten(0, (-1, 2))
    lines = torch.cat([real[:, :1], decoded, real[:, 1:]], dim=1)
    save_png(image_grid(lines.flatten(0, 1), columns=STEPS + 2), folder.picture("lines"))
    for name in fitted:
        z = rows(recipe.log.samples, session.parts.priors[name].sample, seed, "pictures")
        classes = labels[: len(z)].repeat(-(-len(z) // len(labels)))[: len(z)]
        save_png(image_grid(decode(z, classes)), folder.picture(name))
