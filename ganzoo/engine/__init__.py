"""Training: the loop, the updates, the data feed, checkpoints. Imports torch."""

from ganzoo.engine.data import Data, Samples, Stream

__all__ = ["Data", "Samples", "Stream"]
