"""What a shell offers after the tabulator key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = "import sys; sys.argv = ['ganzoo']; from ganzoo.__main__ import main; main()"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("run digits-d", ["digits-dcgan"]),
        ("check mi", ["mine.toml"]),
        ("compare mnist-vae", ["mnist-vae", "mnist-vae-conv"]),
        ("sweep folder/", ["folder/other.toml"]),
        ("sample la", ["latest"]),
        ("resume digits", ["digits-vae"]),
        ("resume runs/digits", ["runs/digits-vae/"]),
        ("components lo", ["loss"]),
        ("components loss relat", ["relativistic"]),
        ("components nothing a", []),
    ],
)
def test_what_is_offered(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.toml").touch()
    (tmp_path / "runs" / "digits-vae").mkdir(parents=True)
    words = f"ganzoo {line}"
    completing = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_GANZOO_COMPLETE": "complete_bash",
    }
    shell = subprocess.run(
        [sys.executable, "-c", WORDS],
        cwd=tmp_path,
        env={**os.environ, **completing},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shell.stdout.split() == offered, shell.stderr
