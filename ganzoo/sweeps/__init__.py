"""Varies the keys of a recipe over a grid or by a search. Importing it does not import torch."""

from ganzoo.sweeps.sweeping import Sweep, sweep

__all__ = ["Sweep", "sweep"]
