"""Measures what a run has learned. Imports torch."""
