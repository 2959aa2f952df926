"""Measures runs and writes the reports of comparisons."""
