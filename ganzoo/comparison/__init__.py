"""Compares recipes and runs, in figures and in a report. Imports torch only when it works."""

from ganzoo.comparison.budget import Budget, parse_budget
from ganzoo.comparison.comparing import Comparison, compare

__all__ = ["Budget", "Comparison", "compare", "parse_budget"]
