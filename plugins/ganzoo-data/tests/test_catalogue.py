"""What is known of files that are no pictures of any usual size."""

from __future__ import annotations

from pathlib import Path

from ganzoo_data.catalogue import LARGEST, Catalogue


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with (tmp_path / "pictures" / "large.png").open("wb") as file:
        file.truncate(2**42)  # a hole
    catalogue = Catalogue(tmp_path / "pictures", tmp_path / "cache", "test")
    (entry,) = catalogue.entries(["large.png"]).values()
    assert (entry.digest, entry.failure) == ("", f"larger than {LARGEST // 2**20} MiB")
