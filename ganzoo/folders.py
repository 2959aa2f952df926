"""The folders outside of a run: data sets, and what is computed once and kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_root() -> Path:
    """Where data sets are looked for: `GANZOO_DATA`, or a folder in the user's cache."""
    folder = os.environ.get("GANZOO_DATA")
    return Path(folder).expanduser() if folder else Path(platformdirs.user_cache_dir("ganzoo"))


def cache_root() -> Path:
    """Where features, classifiers and the like are kept: `GANZOO_CACHE`, or a folder in the user's
    cache."""
    folder = os.environ.get("GANZOO_CACHE")
    if folder:
        return Path(folder).expanduser()
    return Path(platformdirs.user_cache_dir("ganzoo")) / "evaluation"
