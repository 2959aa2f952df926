"""The bar of a run on a terminal: where there is little room, statistics give way."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from tiny import tiny, train

from ganzoo import display as progress
from ganzoo.recipe import load_recipe


def last_line(width: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr(progress, "stderr", lambda: console)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    folder.mkdir()
    file = folder / "tiny.toml"
    file.write_text(tiny())
    train(load_recipe(file), folder, progress.TerminalProgress())
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", terminal.getvalue()))
    return next(line for line in reversed(lines) if "it/s" in line)


def test_the_bar_stays_and_statistics_that_would_be_cut_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wide = last_line(200, monkeypatch, tmp_path / "wide")
    for name in ("━━━", "20/20", "img/s", "d/real ", "d/fake ", "d/D(x) ", "d/D(G(z)) ", "g/loss "):
        assert name in wide
    narrow = last_line(80, monkeypatch, tmp_path / "narrow")
    for name in ("━━━━━━━━", "20/20", "it/s", "img/s", "0:00:00"):
        assert name in narrow
    assert "…" not in narrow
    assert "g/loss" not in narrow
    assert len(narrow.rstrip()) <= 76
