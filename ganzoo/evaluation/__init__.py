"""Measures what runs have learned, and compares them. Imports torch."""

from ganzoo.evaluation.features import Features

__all__ = ["Features"]
