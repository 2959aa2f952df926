"""Measures runs and writes the reports of comparisons. Imports torch."""

from ganzoo.evaluation.features import Features

__all__ = ["Features"]
