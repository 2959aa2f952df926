"""Training: the loop, the updates, the data feed, checkpoints. Imports torch."""

from ganzoo.engine.data import Data, Samples, Stream, to_unit
from ganzoo.engine.networks import evaluating
from ganzoo.engine.random import generator_for, seeded

__all__ = ["Data", "Samples", "Stream", "evaluating", "generator_for", "seeded", "to_unit"]
