"""Compares recipes and runs, in values and in a report. Importing it does not import torch."""

from ganzoo.comparison.budget import Budget, parse_budget
from ganzoo.comparison.comparing import Comparison, compare

__all__ = ["Budget", "Comparison", "compare", "parse_budget"]
