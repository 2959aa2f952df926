"""Whether a folder holds the report of a comparison already: its pictures take long to draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.records import finite

SOURCES = Path(__file__).parents[1]
FILES = ("report.html", "comparison.md")


def kept_document(comparison: ComparisonDocument, out: Path) -> ComparisonDocument | None:
    """The document in a folder if it differs in nothing but its date, and the report there was
    drawn since; else None.

    As `make` does it: a report is drawn anew where a file of its runs, or of ganzoo, is newer.
    """
    path = out / "comparison.json"
    with suppress(OSError, ValueError):  # ValueError: no JSON, or no text
        before: Any = json.loads(path.read_text(encoding="utf-8"))
        now: Any = finite(comparison)
        # A round trip, since JSON has no tuples and no keys but texts.
        if before != json.loads(json.dumps({**now, "created": before.get("created")})):
            return None
        drawn = min((out / name).stat().st_mtime_ns for name in FILES)
        if all(file.stat().st_mtime_ns <= drawn for file in [path, *_drawn_from(comparison)]):
            kept: ComparisonDocument = before
            return kept
    return None


def _drawn_from(comparison: ComparisonDocument) -> Iterator[Path]:
    folders = {run["path"] for model in comparison["models"] for run in model["runs"]}
    for folder in (SOURCES, *map(Path, folders)):
        yield folder  # whose time changes with its files, or it is gone
        for file in folder.rglob("*"):
            if "__pycache__" not in file.parts:
                yield file
