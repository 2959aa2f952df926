"""Training: the loop, the updates, the data feed, checkpoints. Imports torch."""

from ganzoo.engine.data import Data, Samples, Stream, to_unit
from ganzoo.engine.random import generator_for

__all__ = ["Data", "Samples", "Stream", "generator_for", "to_unit"]
