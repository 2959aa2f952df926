"""Training: the loop, the updates, the data, checkpoints. Imports torch.

What is listed in `__all__` may be used by plugins.
"""

from ganzoo.data import Data, Samples, Stream, labels_of, real_samples, take, to_unit
from ganzoo.engine.networks import evaluating
from ganzoo.engine.random import fill_latents, generator_for, seeded
from ganzoo.folders import why_unwritable
from ganzoo.recipe.settings import Latent

__all__ = [
    "Data",
    "Latent",
    "Samples",
    "Stream",
    "evaluating",
    "fill_latents",
    "generator_for",
    "labels_of",
    "real_samples",
    "seeded",
    "take",
    "to_unit",
    "why_unwritable",
]
