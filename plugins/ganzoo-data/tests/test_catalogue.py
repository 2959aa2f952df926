"""What is known of files that are no pictures of any usual size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ganzoo_data.catalogue import Catalogue
from ganzoo_data.sources import LARGEST, Folder


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with (tmp_path / "pictures" / "large.png").open("wb") as file:
        file.truncate(2**42)  # a hole
    catalogue = Catalogue(Folder(tmp_path / "pictures"), tmp_path / "cache", "test")
    (entry,) = catalogue.entries(["large.png"]).values()
    assert (entry.digest, entry.failure) == ("", f"larger than {LARGEST // 2**20} MiB")


READER = """
import sys
from pathlib import Path
from ganzoo_data.catalogue import Catalogue
from ganzoo_data.sources import Folder
faces, cache = map(Path, sys.argv[1:])
names = sorted(str(file.relative_to(faces)) for file in faces.rglob("*.png"))
for _ in range(20):
    print(Catalogue(Folder(faces), cache, "faces").digest(names))
    for file in cache.glob("pictures-*.json"):
        file.unlink(missing_ok=True)  # written anew, while the others read it
"""


def test_several_processes_share_a_catalogue(faces: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", READER, str(faces), str(tmp_path / "cache")]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = [reader.communicate(timeout=120)[0].split() for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0, 0]
    assert [len(each) for each in digests] == [20, 20, 20]
    assert len({digest for each in digests for digest in each}) == 1
